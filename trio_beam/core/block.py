"""What a model gives back: tokens, and a block of them."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import attrs

#: The server's word for "the model ended" and for "there was no room for more".
STOP = "stop"
LENGTH = "length"
#: Our word for a block that ended because the model's context was full.
CONTEXT = "context"


class Token(NamedTuple):
    """One sampled token.

    A NamedTuple and not an attrs class, because a block may have hundreds and a tuple is cheap to make.

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

    Its tokens may be made when they are first asked for: most blocks are dropped before anybody looks
    at them, and what a search needs of them stands beside.

    Attributes:
        tokens: the tokens, an end-of-text token included where the server reports it.
        data: the UTF-8 bytes that the block adds to the text; may begin or end inside a character.
        finish_reason: ``"stop"`` (the model ended), ``"length"`` (it may go on) or another word of
            the server's, which ends the beam.
        exact: False if it was asked for by text where token ids exist, or if a log-probability is
            missing or approximate.
        keys: what makes each token the same as another (`Token.key`).
        logprob: sum of the tokens' log-probabilities, in nats.
        generated: tokens that the server generated for it: never less than the number of tokens, but 0 where
            they were not sampled (``proposal="enumerate"``).
        proposal: log-probability (nats) of each token in the distribution that it was sampled from; None
            where that is the model's own (temperature 1).
    """

    _tokens: tuple[Token, ...] | Callable[[], tuple[Token, ...]]
    data: bytes
    finish_reason: str = LENGTH
    exact: bool = True
    keys: Sequence[int | bytes] = attrs.field()
    logprob: float = attrs.field()
    generated: int = attrs.field()
    proposal: Sequence[float] | None = None

    @keys.default
    def _keys(self) -> Sequence[int | bytes]:
        return [token.key for token in self.tokens]

    @logprob.default
    def _sum(self) -> float:
        return sum([token.logprob for token in self.tokens])

    @generated.default
    def _count(self) -> int:
        return len(self.keys)

    @property
    def proposal_logprob(self) -> float:
        """The log-probability with which it was sampled, in nats."""
        return self.logprob if self.proposal is None else sum(self.proposal)

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens, made now if they were not before."""
        if callable(self._tokens):
            # Frozen for everybody else: what is asked for does not change by being made.
            object.__setattr__(self, "_tokens", self._tokens())
        return cast("tuple[Token, ...]", self._tokens)

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.keys)

    def __bool__(self) -> bool:
        """A continuation is one, also if it is empty."""
        return True

    def cut(self, count: int, finish_reason: str) -> Continuation:
        """The same block without the tokens behind the first `count`; its data stays as it is."""
        return Continuation(
            tokens=self.tokens[:count],
            data=self.data,
            finish_reason=finish_reason,
            exact=self.exact,
            generated=self.generated,
            proposal=None if self.proposal is None else self.proposal[:count],
        )


def too_long(tokens: int, asked: int) -> str:
    """What is wrong with a block of more tokens than were asked for."""
    return f"the answer has {tokens} tokens, where at most {asked} were asked for"
