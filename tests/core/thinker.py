"""A language model that thinks until its thinking is closed, one word at a time, and then answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import trio

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, STOP, Continuation, Token, forced_token
from trio_beam.core.language_model import RequestContext, SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.core.reasoning import split

#: What it answers, and the id of the token that ends the text.
ANSWER = (" 4", "2", ".")
END = 0


@attrs.define
class Thinker:
    """Thinks in words of log-probability -1 and answers in tokens of -0.5, each with an id.

    Attributes:
        opening: the tokens with which it begins by itself; none if the template opens its thinking.
        closes_after: number of words after which it closes its thinking by itself; None: never.
        shows_tokens: whether the texts of tokens are shown where no log-probabilities are asked for.
        requests: as they came.
        forced: the texts whose tokens were asked for.
    """

    opening: Sequence[str] = ()
    closes_after: int | None = None
    shows_tokens: bool = True
    requests: list[SampleRequest] = attrs.field(factory=list)
    forced: list[str] = attrs.field(factory=list)

    @property
    def opens_thinking(self) -> str:
        return "" if self.opening else "<think>"

    async def start(self, prompt: Prompt, context: RequestContext) -> Thinker:
        del prompt, context
        await trio.lowlevel.checkpoint()
        return self

    async def force(self, text: str, context: RequestContext) -> list[Token]:
        del context
        await trio.lowlevel.checkpoint()
        self.forced.append(text)
        return [forced_token(text[:3], 900), forced_token(text[3:], 901)]

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        context.meter.requests += 1
        await trio.lowlevel.checkpoint()
        self.requests.append(request)
        return [self._block(request, sample) for sample in range(request.n)]

    def _block(self, request: SampleRequest, sample: int) -> Continuation:
        tokens: list[Token] = []
        beam, reason = request.beam, LENGTH
        while len(tokens) < request.max_tokens and reason == LENGTH:
            token = self._next(beam, sample)
            tokens.append(token)
            beam = beam.extend(_block_of([token]))
            reason = LENGTH if token.id != END else STOP
        block = _block_of(tokens, reason)
        if request.logprobs or (request.token_texts and self.shows_tokens):
            return block
        return attrs.evolve(block, tokens=(), keys=block.keys, logprob=None)

    def _next(self, beam: Beam, sample: int) -> Token:
        thought, start = split(beam.full_text, beam.thinking)
        text = beam.full_text
        if beam.length < len(self.opening):
            return Token(self.opening[beam.length], -0.1, 10 + beam.length)
        if start == len(text) and not text.rstrip().endswith("</think>"):
            words = len(thought.split())
            if self.closes_after is not None and words >= self.closes_after:
                return Token("</think>", -0.1, 20)
            return Token(f" t{sample}{words}", -1.0, 1000 + 100 * sample + words)
        done = text[start:]
        for number, piece in enumerate(ANSWER):
            if "".join(ANSWER[: number + 1]).startswith(done.strip("\n")) and len(
                "".join(ANSWER[: number + 1])
            ) > len(done.strip("\n")):
                return Token(piece, -0.5, 30 + number)
        return Token("", -0.5, END, b"")


def _block_of(tokens: Sequence[Token], reason: str = LENGTH) -> Continuation:
    data = b"".join(token.data for token in tokens)
    return Continuation(tokens=tuple(tokens), data=data, finish_reason=reason)


def sampled(beam: Beam) -> list[Token]:
    """The tokens that the model sampled."""
    return [token for token in beam.tokens if not token.forced]


def words_of(beam: Any) -> int:
    """Number of words of thinking."""
    return len(beam.reasoning.split())
