"""A language model without a server, for tests of what is built on a search. Yours too."""

from __future__ import annotations

import math
import random
from collections.abc import Awaitable, Callable, Sequence

import trio

from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.core.language_model import RequestContext, SampleRequest
from trio_beam.core.prompt import Prompt

#: The vocabulary of `FakeEndpoint`; the last token ends the text.
VOCABULARY = (" the", " a", " cat", " dog", " sat", " ran", ".", "")


class FakeEndpoint:
    """A `LanguageModel` that samples from a fixed distribution over eight words.

    The distribution depends on the last token only; sampling depends on the seed, so a search with a
    seed has the same result every time. Latency is slept on Trio's clock: with an autojump clock,
    hours pass in no time.

    Args:
        latency: seconds before each answer.
        max_per_request: most continuations an answer holds; None: as many as were asked for.
        before: awaited with each request before it is answered; it may raise an `EndpointError`, sleep,
            or block for ever.

    Attributes:
        requests: every request so far, in order.
        in_flight: requests being answered now; 0 again when a search has returned or raised.
        cancelled: requests that were cancelled.
    """

    def __init__(
        self,
        *,
        latency: float = 0.0,
        max_per_request: int | None = None,
        before: Callable[[SampleRequest], Awaitable[None]] | None = None,
    ) -> None:
        self.latency = latency
        self.max_per_request = max_per_request
        self.requests: list[SampleRequest] = []
        self.in_flight = 0
        self.cancelled = 0
        self.prompt_length: int | None = 1
        self._before = before

    async def start(self, prompt: Prompt, context: RequestContext) -> FakeEndpoint:
        """Take any prompt."""
        del prompt, context
        await trio.lowlevel.checkpoint()
        return self

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        """Answer after the latency."""
        self.requests.append(request)
        context.meter.requests += 1
        self.in_flight += 1
        try:
            if self._before is not None:
                await self._before(request)
            await trio.sleep(self.latency)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        n = min(request.n, self.max_per_request or request.n)
        context.meter.prompt_tokens += 1
        return [_sample(request, index) for index in range(n)]


def _sample(request: SampleRequest, index: int) -> Continuation:
    seed = None if request.seed is None else request.seed + index
    source = (
        random.Random(f"{seed} {request.beam.fingerprint}") if seed is not None else random.Random()
    )
    block = request.beam.continuation
    last = block.tokens[-1].id if block is not None and block.tokens else 0
    tokens: list[Token] = []
    reason = LENGTH
    while len(tokens) < request.max_tokens and reason == LENGTH:
        weights = distribution(last or 0)
        last = source.choices(range(len(VOCABULARY)), weights)[0]
        text = VOCABULARY[last]
        tokens.append(Token(text, math.log(weights[last]), last, text.encode()))
        reason = LENGTH if text else STOP
    data = b"".join(token.data for token in tokens)
    return Continuation(tokens=tuple(tokens), data=data, finish_reason=reason)


def distribution(last: int) -> list[float]:
    """The probabilities of the next token, given the number of the last one."""
    weights = [1.0 + (3 * last + 5 * token) % 7 for token in range(len(VOCABULARY))]
    weights[-1] = 1.0
    total = sum(weights)
    return [weight / total for weight in weights]
