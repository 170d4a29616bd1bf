"""Blocks that are steps: `Steps`, and where a block ends as one.

Delimiters are found here, not by the server, for the reason given in `core.stop`. Unlike a stop string, a
delimiter stays in the text, with the rest of the token that completes it: no token is ever split, so
token ids and log-probabilities stay those of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, STOP, Continuation
from trio_beam.core.reasoning import split
from trio_beam.core.registry import Registry
from trio_beam.core.validation import (
    PARAMETER,
    Parameter,
    as_tuple,
    check_declared,
    documented,
    integer,
)
from trio_beam.errors import ConfigError

BLOCKS: Registry[type[Steps]] = Registry("block")


@BLOCKS.register("steps")
@documented
@attrs.frozen
class Steps:
    r"""Blocks that are steps: each ends behind a delimiter, or at ``tokens_per_step``.

    ``BeamSearchConfig(block=Steps("\n\n"))``. A block ends with the first token that completes a delimiter,
    which may have begun in earlier blocks of the same step. The tokens behind it are thrown away (counted
    in ``usage.discarded_tokens``), and so is an end of the text behind it: the next block samples what
    follows anew. A model's thinking has no steps: delimiters count in the answer only.

    Raises:
        ConfigError: names the field and its bound.
    """

    delimiter: tuple[str, ...] = attrs.field(
        default=("\n\n",),
        converter=as_tuple,
        validator=check_declared,
        metadata={
            PARAMETER: Parameter(
                kind="texts", help="Texts behind which a step ends; they belong to it."
            )
        },
    )
    min_tokens: int = integer(
        1,
        minimum=1,
        unit="tokens",
        help="Minimum length of a step; a delimiter that is complete before does not end it.",
    )

    def __attrs_post_init__(self) -> None:
        if not self.delimiter:
            raise ConfigError(
                "delimiter", "a text or some, strings that are not empty", self.delimiter
            )

    @property
    def server_delimiters(self) -> tuple[str, ...]:
        """The texts behind which a server may stop as well: none if it might stop too early."""
        return self.delimiter if self.min_tokens == 1 else ()

    def cut(self, beam: Beam, continuation: Continuation) -> Continuation:
        """Return the block up to the end of the step, all of it if the step goes on.

        Where the tokens do not spell the text, so that nobody can say which of them completes the
        delimiter, the block ends with the next token whose place in the text is known.

        Args:
            beam: the beam that it continues.
            continuation: the block.
        """
        words = [word.encode("utf-8", "replace") for word in self.delimiter]
        before = _open_step(beam, max(map(len, words)) - 1)
        text = before + continuation.data
        inside = attrs.evolve(continuation, ends_step=False)
        if not len(continuation) or not any(word in text for word in words):
            return inside  # nearly always for short blocks: tokens are made on demand
        first = _answer_start(beam, continuation) + len(before)
        ends = sorted({end - len(before) for word in words for end in _ends(text, word, first)})
        if not ends:
            return inside
        pieces = [token.data for token in continuation.tokens]
        last = 0
        for count, place in enumerate(_places(pieces, continuation.data), 1):
            if place is None or place < last:
                continue
            if count >= self.min_tokens and any(last < end <= place for end in ends):
                return _cut(continuation, count, place, pieces)
            last = place
        return inside


def _open_step(beam: Beam, size: int) -> bytes:
    """Return the last `size` bytes of the step that the beam has begun but not ended."""
    parts: list[bytes] = []
    node: Beam | None = beam
    while size > 0 and node is not None and node.continuation is not None:
        if node.continuation.ends_step:
            break
        parts.append(node.continuation.data[-size:])
        size -= len(parts[-1])
        node = node.parent
    return b"".join(reversed(parts))


def _answer_start(beam: Beam, continuation: Continuation) -> int:
    """Return where the answer begins, as a byte of a block; it may be before or behind it."""
    before = b"".join(
        one.continuation.data for one in beam.lineage() if one.continuation is not None
    )
    text = (before + continuation.data).decode("utf-8", "replace")
    start = split(text, beam.thinking).start
    return len(text[:start].encode()) - len(before)


def _ends(text: bytes, word: bytes, first: int) -> Iterator[int]:
    """Yield where each occurrence of a word from byte `first` on ends, overlapping ones too."""
    start = text.find(word, max(0, first))
    while start >= 0:
        yield start + len(word)
        start = text.find(word, start + 1)


def _places(pieces: Sequence[bytes], data: bytes) -> list[int | None]:
    """Return where each token ends in the block's data; None where the tokens do not spell it."""
    places: list[int | None] = [None] * len(pieces)
    at = len(data)
    for index in reversed(range(len(pieces))):
        places[index] = at
        if not data.endswith(pieces[index], 0, at):
            break
        at -= len(pieces[index])
    at = 0
    for index, piece in enumerate(pieces[:-1]):
        if not data.startswith(piece, at):
            break
        at += len(piece)
        places[index] = at
    return places


def _cut(
    continuation: Continuation, count: int, place: int, pieces: Sequence[bytes]
) -> Continuation:
    whole = count == len(continuation)
    kept = continuation.data[:place]
    keys = list(continuation.keys[:count])
    if b"".join(pieces[:count]) != kept and isinstance(keys[-1], bytes):
        keys[-1] = kept  # parts of characters look alike without ids
    reason = continuation.finish_reason
    return attrs.evolve(
        continuation.cut(count, LENGTH if reason == STOP or not whole else reason),
        data=kept,
        keys=keys,
        ends_step=True,
    )
