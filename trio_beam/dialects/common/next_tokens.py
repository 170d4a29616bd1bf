"""The most probable next tokens as continuations, where a server shows them by their ids. Pure.

What ends the text is known of a token that was sampled. Of another it has to be asked, by forcing it: once
for an endpoint, and only where its own text looks like a control token's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.dialects.common.dialect import Exchange, check_enough

#: How the texts of tokens that end a text begin, in all vocabularies that are known.
_CONTROL = ("<", "[", "\uff5c", "\u2581<")


@attrs.frozen
class Candidate:
    """A next token.

    Attributes:
        id: in the vocabulary.
        logprob: in nats.
        text: as the server decodes it by itself.
        data: the bytes that it adds where it stands; b"" while a character is not complete.
    """

    id: int
    logprob: float
    text: str
    data: bytes

    def token(self, *, ends: bool) -> Token:
        """Return it as a token; one that ends the text is no text."""
        if ends:
            return Token("", self.logprob, self.id, b"")
        shown = self.text if self.data else ""  # "": inside a character
        return Token(shown, self.logprob, self.id)


@attrs.define(eq=False)
class Endings:
    """Which tokens end the text, for all searches of an endpoint.

    Attributes:
        ask: forces a token; returns whether it ended the text.
    """

    ask: Callable[[int], Exchange[bool]]
    _known: dict[int, bool] = attrs.field(factory=dict, init=False)

    def note(self, number: int, *, ends: bool) -> None:
        """Remember what a sampled token did."""
        self._known[number] = ends

    def of(self, candidates: Sequence[Candidate], asked: list[int]) -> Exchange[list[bool]]:
        """Whether each of these ends the text.

        Args:
            candidates: next tokens.
            asked: takes the ids that had to be forced.
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
    """Make a continuation of each of the first n.

    Args:
        candidates: best first.
        ends: whether each ends the text.
        n: how many are wanted.
        top: how many are shown beside each.

    Raises:
        LogprobsUnavailable: they are fewer than wanted.
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
            generated=0,  # the server chose one, and only showed the others
        )
        for token, one, end in list(zip(tokens, candidates, ends, strict=True))[:n]
    )
