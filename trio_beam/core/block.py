"""What a model gives back: tokens, and a block of them."""

from __future__ import annotations

import builtins
from typing import NamedTuple

import attrs

#: The server's word for "the model ended" and for "there was no room for more".
STOP = "stop"
LENGTH = "length"
#: Our word for a block that ended because the model's context was full.
CONTEXT = "context"


class Token(NamedTuple):
    """One sampled token.

    A NamedTuple and not an attrs class, because a search makes hundreds of thousands of them and
    this is three times cheaper to make.

    Attributes:
        text: its text; not decodable alone if it is a part of a character (see ``bytes``).
        logprob: the model's natural log-probability of it at temperature 1, in nats.
        id: its number in the vocabulary, if the server gave it.
        bytes: its UTF-8 bytes, if the server gave them; b"" for an end-of-text token.
        top: the most probable tokens at this place, if they were asked for (their ``top`` is empty).
    """

    text: str
    logprob: float
    id: int | None = None
    bytes: builtins.bytes | None = None
    top: tuple[Token, ...] = ()

    @property
    def data(self) -> builtins.bytes:
        """The bytes that it adds to the text."""
        return self.text.encode("utf-8", "replace") if self.bytes is None else self.bytes

    @property
    def key(self) -> int | builtins.bytes:
        """What makes two tokens the same: the id where there is one, else the bytes."""
        return self.data if self.id is None else self.id


@attrs.frozen(kw_only=True, eq=False)
class Continuation:
    """What the model added to a beam: one block.

    Attributes:
        tokens: the tokens, an end-of-text token included where the server reports it.
        data: the UTF-8 bytes that the block adds to the text; may begin or end inside a character.
        finish_reason: ``"stop"`` (the model ended), ``"length"`` (it may go on) or another word of
            the server's, which ends the beam.
        exact: False if it was asked for by text where token ids exist, or if a log-probability is
            missing or approximate.
        generated: tokens that the server generated for it (never less than ``len(tokens)``).
        logprob: sum of the tokens' log-probabilities, in nats.
    """

    tokens: tuple[Token, ...]
    data: bytes
    finish_reason: str = LENGTH
    exact: bool = True
    generated: int = attrs.field()
    logprob: float = attrs.field(init=False)

    @generated.default
    def _count(self) -> int:
        return len(self.tokens)

    @logprob.default
    def _sum(self) -> float:
        return sum([token.logprob for token in self.tokens])
