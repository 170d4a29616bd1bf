"""Turn next tokens, listed by id, into continuations. Pure.

A sampled token shows whether it ends the text. Any other has to be forced to find out, once per
endpoint, and only if its text looks like a control token's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.dialects.common.dialect import check_enough
from trio_beam.dialects.common.exchange import Exchange

#: How end-of-text tokens begin in all known vocabularies.
_CONTROL = ("<", "[", "\uff5c", "\u2581<")


@attrs.frozen
class Candidate:
    """A possible next token.

    Attributes:
        id: in the vocabulary.
        logprob: in nats.
        text: decoded by itself.
        data: bytes it adds in context; b"" while a character is incomplete.
    """

    id: int
    logprob: float
    text: str
    data: bytes

    def token(self, *, ends: bool) -> Token:
        """Return it as a `Token`; one that ends the text has no text."""
        if ends:
            return Token("", self.logprob, self.id, b"")
        shown = self.text if self.data else ""  # "": inside a character
        return Token(shown, self.logprob, self.id)


@attrs.define(eq=False)
class Endings:
    """Knows which tokens end the text, for all searches of an endpoint.

    Attributes:
        ask: forces a token; returns whether it ended the text.
    """

    ask: Callable[[int], Exchange[bool]]
    _known: dict[int, bool] = attrs.field(factory=dict, init=False)

    def note(self, number: int, *, ends: bool) -> None:
        """Remember whether a sampled token ended the text."""
        self._known[number] = ends

    def of(self, candidates: Sequence[Candidate], asked: list[int]) -> Exchange[list[bool]]:
        """Return whether each of these ends the text.

        Args:
            candidates: next tokens.
            asked: receives the ids that had to be forced.
        """
        for one in candidates:
            if one.id in self._known:
                continue
            ends = False
            if not one.text or one.text.lstrip().startswith(_CONTROL):
                asked.append(one.id)
                ends = yield from self.ask(one.id)
            self._known[one.id] = ends
        return [self._known[one.id] for one in candidates]


def blocks_of(
    candidates: Sequence[Candidate], ends: Sequence[bool], n: int, top: int
) -> tuple[Continuation, ...]:
    """Turn each of the first n candidates into a continuation.

    Args:
        candidates: best first.
        ends: whether each ends the text.
        n: number of continuations to return.
        top: number of alternatives per token.

    Raises:
            LogprobsUnavailable: there are fewer than `n`.
    """
    check_enough(len(candidates), n)
    tokens = [one.token(ends=end) for one, end in zip(candidates, ends, strict=True)]
    shown = tuple(tokens[:top])
    return tuple(
        Continuation(
            tokens=(token._replace(top=shown),),
            data=b"" if end else one.data,
            finish_reason=STOP if end else LENGTH,
            keys=[one.id],
            generated=0,  # the server generated one token and only listed the others
        )
        for token, one, end in list(zip(tokens, candidates, ends, strict=True))[:n]
    )
