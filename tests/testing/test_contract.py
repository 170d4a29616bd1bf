"""The checks for a `LanguageModel`: the fake passes them, and each broken model fails one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from tests.servers.mock_server import MockServer
from trio_beam import Continuation, RequestContext, SampleRequest, Token
from trio_beam.testing import FakeEndpoint, check_language_model


async def test_the_fake_keeps_the_contract(autojump_clock: MockClock) -> None:
    await check_language_model(FakeEndpoint(latency=1.0))
    await check_language_model(FakeEndpoint(max_per_request=2))


async def test_an_endpoint_keeps_it(autojump_clock: MockClock) -> None:
    async with MockServer().endpoint() as endpoint:
        await check_language_model(endpoint)


Change = Callable[[Sequence[Continuation], SampleRequest], Sequence[Continuation]]


class Broken(FakeEndpoint):
    """The fake, with what it returns changed."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self._change = change

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        return self._change(await super().sample(request, context), request)


def first(got: Sequence[Continuation], **changes: Any) -> list[Continuation]:
    return [attrs.evolve(got[0], **changes), *got[1:]]


def longer(got: Sequence[Continuation], request: SampleRequest) -> list[Continuation]:
    token = Token(" the", -1.0, 0, b" the")
    tokens = (token,) * (request.max_tokens + 1)
    return [Continuation(tokens=tokens, data=b" the" * len(tokens)), *got[1:]]


def certain(got: Sequence[Continuation], request: SampleRequest) -> list[Continuation]:
    tokens = tuple(token._replace(logprob=math.inf) for token in got[0].tokens)
    return [Continuation(tokens=tokens, data=got[0].data), *got[1:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda got, request: [*got, got[0]], "continuations for n="),
        (lambda got, request: [], "0 continuations"),
        (longer, "tokens for max_tokens="),
        (certain, "no log-probability"),
        (lambda got, request: first(got, data=b"other"), "the tokens spell"),
        (lambda got, request: first(got, logprob=-99.0), "sum over the tokens"),
        (lambda got, request: list(reversed(got)), "`seed \\+ i`"),
    ],
)
async def test_a_broken_model_is_told_what_is_wrong(change: Change, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        await check_language_model(Broken(change))


async def test_a_model_that_counts_nothing_is_told() -> None:
    class Silent(FakeEndpoint):
        async def sample(
            self, request: SampleRequest, context: RequestContext
        ) -> Sequence[Continuation]:
            got = await super().sample(request, context)
            context.meter.requests -= 1
            return got

    with pytest.raises(AssertionError, match="must count"):
        await check_language_model(Silent())


async def test_a_model_that_cannot_be_cancelled_is_told() -> None:
    class Deaf(FakeEndpoint):
        async def sample(
            self, request: SampleRequest, context: RequestContext
        ) -> Sequence[Continuation]:
            got: list[Continuation] = []
            with trio.CancelScope(shield=True):
                got.extend(await super().sample(request, context))
            return got

    with pytest.raises(AssertionError, match=r"trio\.Cancelled"):
        await check_language_model(Deaf())


async def test_seeds_that_do_not_repeat_may_be_allowed() -> None:
    count = iter(range(10**6))

    class Random(FakeEndpoint):
        async def sample(
            self, request: SampleRequest, context: RequestContext
        ) -> Sequence[Continuation]:
            return await super().sample(attrs.evolve(request, seed=next(count)), context)

    await check_language_model(Random(), repeats=False)
    with pytest.raises(AssertionError, match="same seed"):
        await check_language_model(Random())
