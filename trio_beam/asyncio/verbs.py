"""The verbs of trio_beam for asyncio."""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Coroutine,
    Sequence,
)
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

import attrs
import trio

from trio_beam.asyncio.bridge import (
    HeldInTrio,
    IteratedInAsyncio,
    await_in_asyncio,
    in_trio,
    run_in_trio,
)
from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import Observer
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.scoring import is_async
from trio_beam.core.strategy import Strategy
from trio_beam.engine import search as verbs
from trio_beam.engine import search_many as many
from trio_beam.engine.search_many import Prompts, SearchOutcome
from trio_beam.errors import TrioBeamError

P = ParamSpec("P")
T = TypeVar("T")


def _verb(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Make a verb callable from asyncio, with asyncio scorers."""
    hosted = in_trio(function)

    @functools.wraps(function)
    async def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        given: Any = map(_adapted, args)
        named: Any = {name: _adapted(value) for name, value in kwargs.items()}
        return await hosted(*given, **named)

    return wrapped


search = _verb(verbs.search)
search_within = _verb(verbs.search_within)
beam_search = _verb(verbs.beam_search)
beam_search_within = _verb(verbs.beam_search_within)
mcmc = _verb(verbs.mcmc)
mcmc_within = _verb(verbs.mcmc_within)


class Outcomes:
    """Asynchronous iterator over the outcomes of `search_many`, in the order of completion."""

    def __init__(
        self, held: HeldInTrio[Any], channel: trio.MemoryReceiveChannel[SearchOutcome]
    ) -> None:
        self._held = held
        self._channel = channel
        self._received: deque[SearchOutcome] = deque()

    def __aiter__(self) -> Outcomes:
        return self

    async def __anext__(self) -> SearchOutcome:
        """Return the next outcome.

        Raises:
            StopAsyncIteration: there are no more, or reading the prompts failed (leaving the block
                raises that).
            trio.ClosedResourceError: the block was left.
        """
        try:
            if not self._received:
                await run_in_trio(self._receive)
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        except trio.ClosedResourceError:
            if not self._held.failed:
                raise
            raise StopAsyncIteration from None
        return self._received.popleft()

    async def _receive(self) -> None:
        # Not returned, so that a cancellation at this very moment loses no outcome.
        self._received.append(await self._channel.receive())


@asynccontextmanager
async def search_many(
    endpoint: LanguageModel,
    prompts: Prompts,
    strategy: Strategy | None = None,
    *,
    max_searches: int = 16,
    observers: Sequence[Observer] = (),
) -> AsyncIterator[Outcomes]:
    """Search for each of many prompts; yields their outcomes in the order of completion.

    ``async with search_many(...) as outcomes: async for outcome in outcomes: ...``, as with
    `trio_beam.search_many`. If reading the prompts fails, the outcomes end, and leaving the block raises the
    error.

    Args:
        endpoint: an open `Endpoint`, or any other `LanguageModel`.
        prompts: as for `search`; any iterable, or an asynchronous iterable for asyncio.
        strategy: for all prompts, as for `search`.
        max_searches: maximum number of concurrent searches.
        observers: as for `search`.

    Raises:
        ConfigError: an argument is not usable.
    """
    if trio.lowlevel.in_trio_task():
        raise TrioBeamError("this is Trio: use trio_beam.search_many")
    read = IteratedInAsyncio(prompts) if isinstance(prompts, AsyncIterable) else prompts
    held = HeldInTrio(
        many.search_many(
            endpoint, read, _adapted(strategy), max_searches=max_searches, observers=observers
        )
    )
    try:
        async with held as channel:
            yield Outcomes(held, channel)
    finally:
        if isinstance(prompts, AsyncGenerator):
            await prompts.aclose()


def _adapted(value: Any) -> Any:
    """Make an asyncio scorer in a configuration awaitable from Trio; return other values unchanged."""
    if not isinstance(value, (BeamSearchConfig, McmcConfig)) or trio.lowlevel.in_trio_task():
        return value
    scorer: Any = value.scorer
    if isinstance(scorer, (str, ModelScorer)) or not is_async(scorer):
        return value
    loop = asyncio.get_running_loop()

    @functools.wraps(scorer)
    async def scored(beams: Sequence[Beam], config: Any) -> Sequence[float]:
        given = attrs.evolve(config, scorer=scorer)
        result: Sequence[float] = await await_in_asyncio(loop, scorer, beams, given)
        return result

    return attrs.evolve(value, scorer=scored)
