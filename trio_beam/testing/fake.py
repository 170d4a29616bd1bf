"""A language model without a server: a fixed distribution over eight words."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence

import trio

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.core.language_model import RequestContext, SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.testing.recorder import Recorder

#: The vocabulary of `FakeEndpoint`; the last token ends the text.
VOCABULARY = (" the", " a", " cat", " dog", " sat", " ran", ".", "")


class FakeEndpoint(Recorder):
    """A `LanguageModel` that samples from a fixed distribution over eight words.

    The distribution depends only on the last token and sampling on the seed, so a search with a seed always
    has the same result. Requests without a seed are sampled by how many of them the same beam has had: other
    samples each time, and the same in every run. Latency is slept on Trio's clock: with an autojump clock,
    hours pass in no time. For replies of your own, use `ScriptedModel`.

    Args:
        latency: seconds before each response.
        max_per_request: maximum number of continuations per response; None: as many as requested.
        before: awaited with each request before the response; it may raise an `EndpointError`, sleep, or
            block for ever.
    """

    def __init__(
        self,
        *,
        latency: float = 0.0,
        max_per_request: int | None = None,
        before: Callable[[SampleRequest], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__()
        self.latency = latency
        self.max_per_request = max_per_request
        self.prompt_length: int | None = 1
        self._before = before
        self._unseeded: Counter[int] = Counter()

    async def start(self, prompt: Prompt, context: RequestContext) -> FakeEndpoint:
        """Accept any prompt."""
        del prompt, context
        await trio.lowlevel.checkpoint()
        return self

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        """Sample after the latency."""
        return await self.record(request, context, "", 1)

    async def answer(self, request: SampleRequest, prompt: str) -> Sequence[Continuation]:
        """Sample or enumerate, whatever the prompt."""
        del prompt
        if self._before is not None:
            await self._before(request)
        await trio.sleep(self.latency)
        if request.enumerate:
            return _enumerate(request)
        n = min(request.n, self.max_per_request or request.n)
        return [_sample(request, self._source(request, index)) for index in range(n)]

    def _source(self, request: SampleRequest, index: int) -> random.Random:
        fingerprint = request.beam.fingerprint
        if request.seed is not None:
            return random.Random(f"{request.seed + index} {fingerprint}")
        self._unseeded[fingerprint] += 1
        return random.Random(f"unseeded {self._unseeded[fingerprint]} {fingerprint}")


def _sample(request: SampleRequest, source: random.Random) -> Continuation:
    last = _last(request.beam)
    tokens: list[Token] = []
    proposal: list[float] = []
    reason = LENGTH
    while len(tokens) < request.max_tokens and reason == LENGTH:
        weights = _at_temperature(distribution(last), request.temperature)
        chosen = source.choices(range(len(VOCABULARY)), weights)[0]
        proposal.append(math.log(weights[chosen]))
        tokens.append(_token(last, chosen, request.top_logprobs))
        reason = LENGTH if VOCABULARY[chosen] else STOP
        last = chosen
    return Continuation(
        tokens=tuple(tokens),
        data=b"".join(token.data for token in tokens),
        finish_reason=reason,
        proposal=proposal if request.proposal_logprobs else None,
    )


def _enumerate(request: SampleRequest) -> list[Continuation]:
    last = _last(request.beam)
    tokens = [_token(last, number, request.top_logprobs) for number in range(len(VOCABULARY))]
    best = sorted(tokens, key=lambda token: -token.logprob)[: request.n]
    return [
        Continuation(
            tokens=(token,),
            data=token.data,
            finish_reason=LENGTH if token.text else STOP,
            generated=0,
        )
        for token in best
    ]


def _last(beam: Beam) -> int:
    block = beam.continuation
    last = block.tokens[-1].id if block is not None and block.tokens else 0
    return last or 0


def _token(last: int, number: int, top: int) -> Token:
    weights = distribution(last)
    order = sorted(range(len(VOCABULARY)), key=lambda other: -weights[other])
    plain = [
        Token(text, math.log(weight), other, text.encode())
        for other, (text, weight) in enumerate(zip(VOCABULARY, weights, strict=True))
    ]
    return plain[number]._replace(top=tuple(plain[other] for other in order[:top]))


def _at_temperature(weights: list[float], temperature: float) -> list[float]:
    if temperature in (0, 1):
        best = max(range(len(weights)), key=weights.__getitem__)
        return weights if temperature else [float(n == best) for n in range(len(weights))]
    scaled = [weight ** (1 / temperature) for weight in weights]
    total = sum(scaled)
    return [weight / total for weight in scaled]


def distribution(last: int) -> list[float]:
    """Return the probabilities of the next token, given the id of the last one."""
    weights = [1.0 + (3 * last + 5 * token) % 7 for token in range(len(VOCABULARY))]
    weights[-1] = 1.0
    total = sum(weights)
    return [weight / total for weight in weights]
