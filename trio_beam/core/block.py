"""Tokens, and a block of them: one continuation by a model."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Sequence
from typing import NamedTuple, cast

import attrs

#: Finish reasons of the OpenAI protocol: the model ended; there was no room for more.
STOP = "stop"
LENGTH = "length"
#: Ours: the block ended because the model's context was full.
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
        """Identity for comparisons: the id where there is one, else the bytes."""
        return self.data if self.id is None else self.id


@attrs.frozen(kw_only=True, eq=False)
class Continuation:
    """One block: the tokens that a model adds to a beam.

    The tokens may be made when they are first asked for: most blocks are dropped before anybody looks at
    them, and the sums that a search needs are kept beside them.

    Attributes:
        tokens: the tokens, an end-of-text token included where the server reports it.
        data: the UTF-8 bytes that the block adds to the text; may begin or end inside a character.
        finish_reason: ``"stop"`` (the model ended), ``"length"`` (it may go on) or another word of
            the server's, which ends the beam.
        exact: False if it was asked for by text where token ids exist, or if a log-probability is
            missing or approximate.
        keys: identity of each token (`Token.key`).
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
        """The tokens; made on first access where they were given as a function."""
        if callable(self._tokens):
            # A cache: the value that callers see does not change.
            object.__setattr__(self, "_tokens", self._tokens())
        return cast("tuple[Token, ...]", self._tokens)

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.keys)

    def __bool__(self) -> bool:
        """Always true: an empty continuation is a continuation."""
        return True

    def cut(self, count: int, finish_reason: str) -> Continuation:
        """Return the block with its first `count` tokens only; its data stays as it is."""
        return Continuation(
            tokens=self.tokens[:count],
            data=self.data,
            finish_reason=finish_reason,
            exact=self.exact,
            generated=self.generated,
            proposal=None if self.proposal is None else self.proposal[:count],
        )


def too_long(tokens: int, asked: int) -> str:
    """Describe the fault of a block with more tokens than were asked for."""
    return f"the response has {tokens} tokens, where at most {asked} were asked for"
