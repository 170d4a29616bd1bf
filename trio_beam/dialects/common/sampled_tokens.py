"""The tokens of one choice as parallel lists, converted to `Token` only on demand."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import attrs

from trio_beam.core.block import Token
from trio_beam.errors import LogprobsUnavailable, MalformedResponse

#: Nats by which rounding may lift a log-probability above 0.
_LOGPROB_TOLERANCE = 1e-3
#: Lower values are sentinels: OpenAI's -9999 means "not among the most probable".
NO_LOGPROB = -1000.0


@attrs.define(eq=False)
class SampledTokens:
    """Parallel lists with one entry per token.

    Attributes:
        pieces: bytes each token adds to the text.
        keys: identity of each token: its id, else its bytes.
        values: log-probabilities, in nats.
        make: returns all tokens.
        bounded: whether some log-probability is only bounded by its alternatives.
        hides_last: whether the last token shows itself, but not in the text: a control token.
    """

    pieces: list[bytes]
    keys: list[int | bytes]
    values: list[float]
    make: Callable[[], list[Token]]
    bounded: bool = False
    hides_last: bool = attrs.field(default=False, init=False)
    _blank: bool = attrs.field(default=False, init=False)

    def __len__(self) -> int:
        return len(self.keys)

    def spell(self, data: bytes) -> bool:
        """Return whether the tokens spell `data`, all of them or all but the last."""
        joined = b"".join(self.pieces)
        last = len(self.pieces[-1])
        self.hides_last = bool(last) and joined[:-last] == data
        return joined == data or self.hides_last

    def spell_truly(self, data: bytes, *, ended: bool) -> bool:
        """Return whether the tokens spell `data`, from a server that is sure to say whether it has ended."""
        spelt = self.spell(data) and (ended or not self.hides_last)
        if ended:
            self.end()
        return spelt

    def end(self) -> None:
        """Blank the last token, which ends the text and is no part of it."""
        if self.hides_last:
            self.pieces[-1] = b""
            if isinstance(self.keys[-1], bytes):
                self.keys[-1] = b""
            self._blank = True

    def spell_stripped(self, text: str) -> bytes | None:
        """Return what the tokens spell if a text is the same but for white space around it, else None."""
        wanted = text.strip().encode("utf-8", "replace")
        for count in (len(self.pieces), len(self.pieces) - 1):
            data = b"".join(self.pieces[:count])
            if data.strip() == wanted and self.spell(data):
                return data
        return None

    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens."""
        made = self.make()
        if self._blank:
            made[-1] = made[-1]._replace(text="", bytes=b"")
        return tuple(made)


def checked_logprobs(values: Iterable[float | None]) -> list[float]:
    """Validate log-probabilities and clip them to at most 0 nats.

    Raises:
        LogprobsUnavailable: one is missing or a sentinel such as -9999 or minus infinity.
        MalformedResponse: one exceeds 0 by more than rounding.
    """
    found = cast("list[float]", list(values))
    try:
        highest, lowest = max(found, default=0.0), min(found, default=0.0)
        positive = highest > 0
    except TypeError:  # None is not ordered; searching for it would cost more than everything else
        message = "the server sent a token without its log-probability"
        raise LogprobsUnavailable(message) from None
    if lowest < NO_LOGPROB or math.isnan(sum(found)):
        shown = next(value for value in found if not value >= NO_LOGPROB)
        message = f"the server sent {shown:g} where a token's log-probability should be"
        raise LogprobsUnavailable(message)
    if highest > _LOGPROB_TOLERANCE:
        raise MalformedResponse(f"a log-probability of {highest} is above 0")
    return [min(value, 0.0) for value in found] if positive else found


def is_logprob(value: float | None) -> bool:
    """Return whether a value is a log-probability rather than a sentinel."""
    return value is not None and value >= NO_LOGPROB


def best_of(row: Mapping[str, float | None] | None, top: int) -> tuple[Token, ...]:
    """Return the most probable alternatives of one entry of the legacy arrays, best first."""
    if not row or not top:
        return ()
    known = [
        (text, value) for text, value in row.items() if value is not None and is_logprob(value)
    ]
    best = sorted(known, key=lambda item: -item[1])[:top]
    return tuple([Token(text, min(value, 0.0)) for text, value in best])


def all_best_of(
    rows: Sequence[Mapping[str, float | None] | None], top: int, count: int
) -> list[tuple[Token, ...]]:
    """Return the most probable alternatives of the first `count` entries, some of which may be missing."""
    if not top:
        return [()] * count
    known = [best_of(row, top) for row in rows[:count]]
    return [*known, *[()] * (count - len(known))]


def checked_logprob(value: float | None) -> float:
    """Validate one log-probability, as `checked_logprobs` does."""
    if value is not None and NO_LOGPROB <= value <= 0:  # nearly always
        return value
    return checked_logprobs([value])[0]
