"""Usage of a rate by all processes that share it: a small file, read and written under a lock.

Every process has a part of the file, which it writes anew from what it knows itself at each request. So a
part that got lost comes back, and what a killed process has sent leaves as it would have: after its minute.

The lock is held for a read and a write, and never waited for: who does not get it comes again. The times in
the file are those of the machine's monotonic clock, which all its processes share and nobody sets.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import attrs
import msgspec

from trio_beam.endpoint.rates import MINUTE, TRAVEL, Share
from trio_beam.errors import ConfigError
from trio_beam.records.lock import try_lock

#: Seconds between two looks into the file by a request that waits.
POLL = 1.0
#: Seconds without a look after which such a request is not waited for any more.
_LOST = 5.0
#: More than any rate.
_ALL = 1 << 50
#: How the file begins, so that no other is written over.
_MARK = b'{"trio_beam_rates":'


class _Part(msgspec.Struct, array_like=True):
    """The part of one process: see `Own`; `seen` is when it was written."""

    seen: float
    sent: Sequence[tuple[float, int, int]]
    resume: float = 0.0
    since: float | None = None
    tokens: int = 0


class _Content(msgspec.Struct):
    trio_beam_rates: int
    parts: dict[str, _Part]


@attrs.frozen(kw_only=True)
class Own:
    """The part of this process.

    Attributes:
        sent: what it has sent.
        resume: until when the server wants no requests.
        since: since when a request waits; None: none does.
        tokens: that it may cost.
    """

    sent: Sequence[Share] = ()
    resume: float = 0.0
    since: float | None = None
    tokens: int = 0


@attrs.frozen
class Others:
    """The parts of the other processes.

    Attributes:
        sent: what they have sent, or have waited for longer than this process, as it leaves.
        resume: until when the server wants no requests.
    """

    sent: Sequence[Share]
    resume: float


class RateFile:
    """A file that processes on one machine share.

    Args:
        path: of the file; it is made if there is none.
        clock: seconds, the same in all processes.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Callable[[], float] = time.monotonic):
        self.path = Path(path)
        self._clock = clock
        self._name = uuid.uuid4().hex[:12]

    @contextmanager
    def locked(self, now: float) -> Iterator[Board | None]:
        """Lock the file inside the ``with`` block; None if another process has it locked.

        Args:
            now: the time on the caller's clock, in which the board speaks.

        Raises:
            ConfigError: the file cannot be used.
        """
        try:
            # Anew each time: it may have been removed, and would otherwise be shared with nobody.
            with open(self.path, "r+b", buffering=0, opener=_open) as file:
                if try_lock(file.fileno()):
                    yield Board(file, self._name, now, self._clock() - now)
                else:
                    yield None
        except OSError as error:
            bound = f"a file that can be read and written ({error.strerror})"
            raise ConfigError("rate_file", bound, str(self.path)) from None


class Board:
    """The file while it is locked.

    Raises:
        ConfigError: it is another kind of file.
    """

    def __init__(self, file: BinaryIO, name: str, now: float, offset: float) -> None:
        self._file = file
        self._name = name
        self._now = now + offset
        self._offset = offset
        self._parts = {name: part for name, part in self._read().items() if self._speaks(part)}

    def others(self, since: float | None) -> Others:
        """Return what the other processes say.

        Args:
            since: since when a request of this process waits; None: none does.
        """
        mine = None if since is None else (since + self._offset, self._name)
        sent: list[Share] = []
        resume = 0.0
        for name, part in self._parts.items():
            if name == self._name:
                continue
            sent += [Share(at - self._offset, *more) for at, *more in part.sent if at > self._now]
            resume = max(resume, part.resume)
            if self._waits(part) and (mine is None or (part.since, name) < mine):
                sent.append(Share(self._now + POLL - self._offset, 1, part.tokens))
        return Others(sorted(sent), resume - self._offset)

    def write(self, own: Own) -> None:
        """Write what this process says."""
        self._parts[self._name] = _Part(
            self._now,
            [(one.leaves + self._offset, one.requests, one.tokens) for one in own.sent],
            own.resume + self._offset,
            None if own.since is None else own.since + self._offset,
            own.tokens,
        )
        data = msgspec.json.encode(_Content(1, self._parts)) + b"\n"
        self._file.seek(0)
        self._file.write(data)  # in one call, which a signal does not divide
        self._file.truncate()

    def _read(self) -> dict[str, _Part]:
        # What stands behind the line is left of a longer one, by a process killed before it was cut off.
        content = self._file.readall().partition(b"\n")[0]  # type: ignore[attr-defined]
        if not content:
            return {}
        if not content.startswith(_MARK):
            bound = "a file that trio_beam has made, or none yet"
            raise ConfigError("rate_file", bound, self._file.name)
        try:
            return msgspec.json.decode(content, type=_Content).parts
        except msgspec.DecodeError:
            # Whatever was sent before leaves in the next minute.
            return {"": _Part(self._now, [(self._now + MINUTE + TRAVEL, _ALL, _ALL)])}

    def _waits(self, part: _Part) -> bool:
        return part.since is not None and self._now - part.seen < _LOST

    def _speaks(self, part: _Part) -> bool:
        """Return whether a part says something still; one of the future is from before a restart."""
        leaves = max((at for at, *_ in part.sent), default=0.0)
        return part.seen <= self._now + 1 and (
            max(leaves, part.resume) > self._now or self._waits(part)
        )


def _open(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT, 0o600)
