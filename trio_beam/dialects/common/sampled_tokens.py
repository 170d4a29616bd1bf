"""The tokens of one choice as an answer has them, before anybody needs them as `Token`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import cast

import attrs

from trio_beam.core.block import Token
from trio_beam.errors import LogprobsUnavailable, MalformedResponse

#: Rounding may leave a log-probability so much above 0, in nats.
_HAIR = 1e-3


@attrs.define(eq=False)
class SampledTokens:
    """Parallel lists, one entry a token.

    Attributes:
        pieces: the bytes that each adds to the text.
        keys: what makes it the same as another: its id, else its bytes.
        values: its log-probability, in nats.
        make: the `Token` of a place.
    """

    pieces: list[bytes]
    keys: list[int | bytes]
    values: list[float]
    make: Callable[[int], Token]
    _blank: bool = attrs.field(default=False, init=False)

    def __len__(self) -> int:
        return len(self.keys)

    def spell(self, data: bytes, *, ended: bool) -> bool:
        """Whether the tokens spell a text; an end-of-text token, which is no text, is blanked."""
        joined = b"".join(self.pieces)
        if joined == data:
            return True
        last = len(self.pieces[-1])
        if not ended or not last or joined[:-last] != data:
            return False
        self._blank = True
        self.pieces[-1] = b""
        if isinstance(self.keys[-1], bytes):
            self.keys[-1] = b""
        return True

    def tokens(self) -> tuple[Token, ...]:
        """All of them."""
        made = [self.make(place) for place in range(len(self.keys))]
        if self._blank:
            made[-1] = made[-1]._replace(text="", bytes=b"")
        return tuple(made)


def checked_logprobs(values: Iterable[float | None]) -> list[float]:
    """Log-probabilities, in nats, none of them above 0.

    Raises:
        LogprobsUnavailable: one is missing.
        MalformedResponse: one is above 0 by more than rounding.
    """
    found = cast("list[float]", list(values))
    try:
        highest = max(found, default=0.0)
        positive = highest > 0
    except TypeError:  # None is not ordered; looking for it would cost more than all the rest
        message = "the server sent a token without its log-probability"
        raise LogprobsUnavailable(message) from None
    if highest > _HAIR:
        raise MalformedResponse(f"a log-probability of {highest} is above 0")
    return [min(value, 0.0) for value in found] if positive else found


def best_of(row: Mapping[str, float] | None, top: int) -> tuple[Token, ...]:
    """The most probable so many of the alternatives of a place in the legacy arrays, best first."""
    if not row or not top:
        return ()
    best = sorted(row.items(), key=lambda item: -item[1])[:top]
    return tuple([Token(text, min(value, 0.0)) for text, value in best])


def checked_logprob(value: float | None) -> float:
    """One log-probability, checked as `checked_logprobs` does."""
    return checked_logprobs([value])[0]
