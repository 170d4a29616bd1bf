"""Prompts in shards: what is given to a worker on another machine at once, and what comes back.

The prompts of a run are written to a file, a group of shards behind the other, so that memory does not grow
with their number and any program on this machine reads a group by its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from trio_beam.batch.prompts import PromptRecord

#: Shards that are read together.
_GROUP = 64
#: Searches of a worker for each prompt of a shard, and the longest shard.
_SEARCHES_PER_PROMPT, _LONGEST = 8, 64


class Shard(msgspec.Struct, frozen=True, gc=False):
    """Prompts that are searched by the same worker, and lost with it.

    Attributes:
        first: number of the first, from 0; the others follow.
        records: id, prompt and own parameters of each.
    """

    first: int
    records: list[tuple[str, Any, Mapping[str, Any]]]

    def prompts(self) -> list[PromptRecord]:
        """Return the prompts."""
        return [PromptRecord(id=i, prompt=p, search=s) for i, p, s in self.records]


class ShardOutcome(msgspec.Struct, frozen=True, gc=False):
    """The outcomes of a shard.

    Attributes:
        first: as of the shard.
        lines: a record for each prompt; None where there is none, because the run stops.
        stopped: why the run stops; "" if it goes on.
    """

    first: int
    lines: list[bytes | None]
    stopped: str = ""


class Group(NamedTuple):
    """A place in the file.

    Attributes:
        start, length: in bytes.
        prompts: number of prompts there.
    """

    start: int
    length: int
    prompts: int


def shard_size(max_searches: int) -> int:
    """Return how many prompts a shard has for workers with so many searches at the same time.

    A worker has several shards at a time: a slow prompt holds up only those that share its shard.
    """
    return max(1, min(_LONGEST, max_searches // _SEARCHES_PER_PROMPT))


def write_shards(path: Path, records: Iterable[PromptRecord], size: int) -> Iterator[Group]:
    """Write the prompts to a file; yield the groups as they are written.

    Args:
        path: of the file.
        records: the prompts.
        size: number of prompts in a shard.
    """
    with path.open("wb") as file:
        start = number = 0
        left = iter(records)
        while taken := [(one.id, one.prompt, one.search) for one in islice(left, size * _GROUP)]:
            shards = [
                msgspec.msgpack.encode(Shard(number + place, taken[place : place + size]))
                for place in range(0, len(taken), size)
            ]
            length = file.write(msgspec.msgpack.encode(shards))
            yield Group(start, length, len(taken))
            start, number = start + length, number + len(taken)


def read_shards(path: Path, start: int, length: int) -> list[bytes]:
    """Read the shards of a group, each encoded."""
    with path.open("rb") as file:
        file.seek(start)
        return msgspec.msgpack.decode(file.read(length), type=list[bytes])
