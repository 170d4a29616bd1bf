"""The tokens of one choice as an answer has them, before anybody needs them as `Token`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import cast

import attrs

from trio_beam.core.block import Token
from trio_beam.errors import LogprobsUnavailable, MalformedResponse

#: Rounding may leave a log-probability so much above 0, in nats.
_LOGPROB_TOLERANCE = 1e-3
#: Below it no value is a log-probability: OpenAI's -9999 means "not among the most probable".
NO_LOGPROB = -1000.0


@attrs.define(eq=False)
class SampledTokens:
    """Parallel lists, one entry a token.

    Attributes:
        pieces: the bytes that each adds to the text.
        keys: what makes it the same as another: its id, else its bytes.
        values: its log-probability, in nats.
        make: the `Token` of a place.
        bounded: whether a log-probability is only bounded by those of its alternatives.
        hides_last: whether the last one shows itself, but not in the text: a control token.
    """

    pieces: list[bytes]
    keys: list[int | bytes]
    values: list[float]
    make: Callable[[int], Token]
    bounded: bool = False
    hides_last: bool = attrs.field(default=False, init=False)
    _blank: bool = attrs.field(default=False, init=False)

    def __len__(self) -> int:
        return len(self.keys)

    def spell(self, data: bytes) -> bool:
        """Whether the tokens spell a text, all of them or all but the last."""
        joined = b"".join(self.pieces)
        last = len(self.pieces[-1])
        self.hides_last = bool(last) and joined[:-last] == data
        return joined == data or self.hides_last

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
        """All of them."""
        made = [self.make(place) for place in range(len(self.keys))]
        if self._blank:
            made[-1] = made[-1]._replace(text="", bytes=b"")
        return tuple(made)


def checked_logprobs(values: Iterable[float | None]) -> list[float]:
    """Return log-probabilities, in nats, none of them above 0.

    Raises:
        LogprobsUnavailable: one is missing, or stands for "none", as -9999 and minus infinity do.
        MalformedResponse: one is above 0 by more than rounding.
    """
    found = cast("list[float]", list(values))
    try:
        highest, lowest = max(found, default=0.0), min(found, default=0.0)
        positive = highest > 0
    except TypeError:  # None is not ordered; looking for it would cost more than all the rest
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
    """Whether a value is a log-probability, and not one of those that stand for "none"."""
    return value is not None and value >= NO_LOGPROB


def best_of(row: Mapping[str, float | None] | None, top: int) -> tuple[Token, ...]:
    """Return the most probable alternatives of a place in the legacy arrays, best first."""
    if not row or not top:
        return ()
    known = [
        (text, value) for text, value in row.items() if value is not None and is_logprob(value)
    ]
    best = sorted(known, key=lambda item: -item[1])[:top]
    return tuple([Token(text, min(value, 0.0)) for text, value in best])


def checked_logprob(value: float | None) -> float:
    """One log-probability, checked as `checked_logprobs` does."""
    return checked_logprobs([value])[0]
