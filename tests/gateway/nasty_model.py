"""A language model whose texts are hard to settle: tags, stop strings and characters cut anywhere."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

import trio

from trio_beam import Continuation, Prompt, RequestContext, SampleRequest, ServerError, Token
from trio_beam.core.block import LENGTH, STOP
from trio_beam.testing.recorder import Recorder

#: Pieces of texts; joined, they make tags, stop strings and characters of several bytes.
PIECES = (
    *(b"<think>", b"</think>", b"</th", b"ink>", b"<th", b"[TH", b"INK]", b"</", b"think>"),
    *(b" ", b"\n\n", b"EN", b"D", b"E", b"a", b"b", b" cat", b"12", b"\xe2", b"\x97", b"\x81"),
)
STOP_STRINGS = ("END", "aEN", "\n\na")


class NastyModel(Recorder):
    """Its samples mostly agree with each other, so that a search has something to settle.

    Args:
        seed: of the text that they agree on, and of every draw.
        apart: what comes apart as thinking: of the first block, of every block, or of none.
        failing: probability with which a request fails.
        latency: the longest, in seconds.
    """

    def __init__(
        self,
        seed: int,
        apart: Literal["first", "always", "never"] = "never",
        failing: float = 0.0,
        latency: float = 0.0,
    ) -> None:
        super().__init__()
        self._seed = seed
        self._apart = apart
        self._failing = failing
        self._latency = latency
        source = random.Random(seed)
        start = source.choice([[], [0], [9, 0], [4, 3]])
        self._agreed = [*start, *source.choices(range(len(PIECES)), k=64)]

    async def start(self, prompt: Prompt, context: RequestContext) -> NastyModel:
        await trio.lowlevel.checkpoint()
        return self

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        return await self.record(request, context, "", 1)

    async def answer(self, request: SampleRequest, prompt: str) -> Sequence[Continuation]:
        source = random.Random(f"{self._seed} {request.seed} {request.beam.fingerprint}")
        await trio.sleep(self._latency * source.random())
        if request.beam.length and source.random() < self._failing:
            raise ServerError("lost", status=500)
        return [self._block(request, source) for _ in range(request.n)]

    def _block(self, request: SampleRequest, source: random.Random) -> Continuation:
        tokens: list[Token] = []
        ends = False
        while len(tokens) < request.max_tokens and not ends:
            place = request.beam.length + len(tokens)
            agrees = source.random() < 0.9
            number = self._agreed[place] if agrees else source.randrange(len(PIECES))
            data = PIECES[number]
            logprob = -1.0 if agrees else -3.0
            tokens.append(Token(data.decode("utf-8", "replace"), logprob, number, data))
            ends = source.random() < 0.03
        first = not request.beam.length
        apart = self._apart == "always" or (self._apart == "first" and first)
        return Continuation(
            tokens=tuple(tokens),
            data=b"".join(token.data for token in tokens),
            finish_reason=STOP if ends else LENGTH,
            proposal=[-1.0] * len(tokens) if request.proposal_logprobs else None,
            reasoning=source.choice(["", "why ", "why not "]) if apart else None,
        )
