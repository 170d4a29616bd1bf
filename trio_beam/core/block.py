"""Tokens, and blocks of tokens: a model's continuations."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import NamedTuple, cast

import attrs

from trio_beam.core.tool_calls import ToolCall
from trio_beam.errors import LogprobsUnavailable

#: Finish reasons of the OpenAI protocol: the model ended the text; the length limit was reached.
STOP = "stop"
LENGTH = "length"
#: Our own: the model's context is full; the text was given up because its confidence fell (`Confidence`).
CONTEXT = "context"
LOW_CONFIDENCE = "low_confidence"


_NO_IDS: repeat[None] = repeat(None)
_NO_TOP: repeat[tuple[()]] = repeat(())


class Token(NamedTuple):
    """One sampled token.

    A NamedTuple rather than an attrs class, because blocks may have hundreds and tuples are cheap.

    Attributes:
        text: its text; not decodable alone if it is part of a character (see ``bytes``).
        logprob: its log-probability at temperature 1, in nats.
        id: its id in the vocabulary, if the server sent it.
        bytes: its UTF-8 bytes, if the server sent them; b"" for an end-of-text token.
        top: the most probable tokens at its position, if requested (their ``top`` is empty).
        forced: whether it was appended by the search rather than sampled, as the end of a thinking that has
            used up ``reasoning_budget``. It is certain, with a log-probability of 0, and not scored.
    """

    text: str
    logprob: float
    id: int | None = None
    bytes: builtins.bytes | None = None
    top: tuple[Token, ...] = ()
    forced: bool = False

    @property
    def data(self) -> builtins.bytes:
        """Bytes it adds to the text."""
        return self.text.encode("utf-8", "replace") if self.bytes is None else self.bytes

    @property
    def key(self) -> int | builtins.bytes:
        """Identity for comparisons: the id if known, else the bytes."""
        return self.data if self.id is None else self.id


def make_tokens(
    texts: Iterable[str],
    logprobs: Iterable[float],
    ids: Iterable[int | None] = _NO_IDS,
    data: Iterable[bytes | None] = _NO_IDS,
    top: Iterable[tuple[Token, ...]] = _NO_TOP,
) -> list[Token]:
    """Return tokens, given their attributes in parallel. Costs a fraction of as many calls of `Token`."""
    rows = zip(texts, logprobs, ids, data, top, repeat(False))  # some have no end
    return [*map(tuple.__new__, repeat(Token), rows)]  # as `Token._make` does


@attrs.frozen(kw_only=True, eq=False)
class Continuation:
    """One block: the tokens that a model adds to a beam.

    Tokens may be created lazily: most blocks are dropped before anyone looks at them, and the sums that a
    search needs are stored separately. A block whose log-probabilities were not asked for shows no tokens;
    its `keys` still tell their number, or the best estimate of it.

    Attributes:
        tokens: the tokens, including an end-of-text token if the server reports it.
        data: the UTF-8 bytes the block adds to the text; may begin or end inside a character.
        finish_reason: ``"stop"`` (the model ended the text), ``"length"`` (it may go on) or another
            reason of the server's, which ends the beam.
        exact: False if it continued a text rather than token ids, or if a log-probability is missing
            or approximate.
        keys: identity of each token (`Token.key`).
        logprob: sum of the tokens' log-probabilities, in nats; None if they are unknown.
        generated: number of tokens that the server generated for it: at least the number of tokens,
            but 0 if they were not sampled (``proposal="enumerate"``).
        proposal: log-probability (nats) of each token under the distribution it was sampled from; None
            if that is the model's own (temperature 1).
        ends_step: whether a step ends with it; False only inside a step of `Steps`.
        reasoning: thinking that arrived apart from `data`; "" if it was hidden, None if there was none.
        tool_calls: the tools that the model calls. Their tokens are among `tokens`, their text is not in
            `data`.
        forced: number of tokens at its end that were not sampled (`Token.forced`).
        discarded: number of tokens that were generated behind its end and thrown away.
    """

    _tokens: tuple[Token, ...] | Callable[[], tuple[Token, ...]]
    data: bytes
    finish_reason: str = LENGTH
    exact: bool = True
    keys: Sequence[int | bytes] = attrs.field()
    logprob: float | None = attrs.field()
    generated: int = attrs.field()
    proposal: Sequence[float] | None = None
    ends_step: bool = True
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    forced: int = 0
    discarded: int = 0

    @keys.default
    def _keys(self) -> Sequence[int | bytes]:
        return [token.key for token in self.tokens]

    @logprob.default
    def _sum(self) -> float | None:
        return sum([token.logprob for token in self.tokens])

    @generated.default
    def _count(self) -> int:
        return len(self.keys)

    @property
    def proposal_logprob(self) -> float:
        """Log-probability of sampling the block, in nats."""
        return known(self.logprob) if self.proposal is None else sum(self.proposal)

    @property
    def tokens(self) -> tuple[Token, ...]:
        """The tokens, created on first access if given as a function."""
        if callable(self._tokens):
            # A cache: the visible value does not change.
            object.__setattr__(self, "_tokens", self._tokens())
        return cast("tuple[Token, ...]", self._tokens)

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.keys)

    @property
    def sampled(self) -> int:
        """Number of tokens without those that were forced."""
        return len(self.keys) - self.forced

    def __bool__(self) -> bool:
        """Return True, also for an empty continuation."""
        return True

    def cut(self, count: int, finish_reason: str) -> Continuation:
        """Return the block with only its first `count` tokens and unchanged data, before any tool call."""
        tokens = self.tokens[:count]
        lost = self.logprob is None
        return Continuation(
            tokens=tokens,
            data=self.data,
            finish_reason=finish_reason,
            exact=self.exact,
            keys=self.keys[:count] if lost else [token.key for token in tokens],
            logprob=None if lost else sum([token.logprob for token in tokens]),
            generated=self.generated,
            proposal=None if self.proposal is None else self.proposal[:count],
            reasoning=self.reasoning,
            forced=max(0, count - self.sampled),
            discarded=self.discarded,
        )

    def first(self, count: int, finish_reason: str) -> Continuation:
        """Return a block of only its first `count` tokens; the text ends with them."""
        if count == len(self):
            return attrs.evolve(self, finish_reason=finish_reason)
        cut = self.cut(count, finish_reason)
        # Where the tokens do not spell the text, all of it stays: it is no answer anyway.
        data = b"".join([token.data for token in cut.tokens])
        return attrs.evolve(cut, data=data) if self.data.startswith(data) else cut


def forced_token(text: str, number: int | None = None) -> Token:
    """Return a token of a text that the search appends, with its id if it is known."""
    return Token(text, 0.0, number, text.encode("utf-8", "replace"), forced=True)


def known(logprob: float | None) -> float:
    """Return a log-probability (nats) that a score needs.

    Raises:
        LogprobsUnavailable: it is None.
    """
    if logprob is None:
        raise LogprobsUnavailable(
            "no log-probabilities were asked for: put @trio_beam.scorers.needs_logprobs over a scorer that"
            " reads them"
        )
    return logprob


def too_long(tokens: int, asked: int) -> str:
    """Return the message about a block with more tokens than requested."""
    return f"the response has {tokens} tokens, where at most {asked} were asked for"
