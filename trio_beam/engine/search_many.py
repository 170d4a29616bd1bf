"""Search for many prompts on one endpoint."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

import attrs
import trio

from trio_beam.core.events import Observer
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.prompt import PromptLike
from trio_beam.core.result import SearchResult
from trio_beam.core.seeds import prompt_seed
from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import check_integer
from trio_beam.engine.groups import without_nursery_group
from trio_beam.engine.run import check_observers
from trio_beam.engine.search import Search, check_strategy
from trio_beam.errors import ConfigError, TrioBeamError
from trio_beam.event_loop import require_trio

#: Read one at a time as searches end, so it may be larger than memory.
Prompts: TypeAlias = Iterable[PromptLike] | AsyncIterable[PromptLike]


@attrs.frozen(kw_only=True)
class SearchOutcome:
    """The result or the error for one prompt; exactly one of them is set.

    Attributes:
        index: index of the prompt, from 0.
        result: the search's result; None if it failed.
        error: `SearchFailed`, whose ``partial`` has the best result so far, or `ConfigError` for an invalid
            prompt; None if the search succeeded.
    """

    index: int
    result: SearchResult | None = None
    error: TrioBeamError | None = None


@asynccontextmanager
async def search_many(
    endpoint: LanguageModel,
    prompts: Prompts,
    strategy: Strategy | None = None,
    *,
    max_searches: int = 16,
    observers: Sequence[Observer] = (),
) -> AsyncIterator[trio.MemoryReceiveChannel[SearchOutcome]]:
    """Search for many prompts; yields a channel of their outcomes in order of completion.

    ``async with search_many(...) as outcomes: async for outcome in outcomes: ...``. There is exactly one
    outcome per prompt. Leaving the block cancels all unfinished searches. Prompts are read only as
    searches end and outcomes are received, so memory is bounded by `max_searches`.

    Args:
        endpoint: an open `Endpoint`, or any other `LanguageModel`.
        prompts: as for `search`; any iterable or asynchronous iterable, even an endless one.
        strategy: for all prompts, as for `search`. Each prompt has its own seed, made from the strategy's and
            its place (`prompt_seed`): otherwise all draws would use the same numbers.
        max_searches: maximum number of concurrent searches (independent of the endpoint's limit on
            requests).
        observers: as for `search`; they receive the events of all searches, each with the
            `index` of its search, as in its outcome.

    Raises:
        ConfigError: an argument is invalid.
    """
    require_trio("search_many")
    check_integer("max_searches", max_searches, 1)
    strategy = check_strategy(strategy)
    observers = check_observers(observers)
    if isinstance(prompts, (str, bytes)):
        raise ConfigError("prompts", "an iterable of prompts, such as a list of strings", prompts)
    send, receive = trio.open_memory_channel[SearchOutcome](0)
    places = trio.CapacityLimiter(max_searches)

    async def search(
        index: int, prompt: PromptLike, out: trio.MemorySendChannel[SearchOutcome]
    ) -> None:
        async with out:
            try:
                try:
                    seeded = _seeded(strategy, index)
                    one = Search(endpoint, prompt, seeded, observers, index=index)
                    result = await one.run()
                except TrioBeamError as error:
                    outcome = SearchOutcome(index=index, error=error)
                else:
                    outcome = SearchOutcome(index=index, result=result)
                await out.send(outcome)
            finally:
                places.release_on_behalf_of(index)

    async def feed(nursery: trio.Nursery) -> None:
        index = 0
        read = prompts if isinstance(prompts, AsyncIterable) else _Each(prompts)
        try:
            async with send:
                async for prompt in read:
                    await places.acquire_on_behalf_of(index)
                    nursery.start_soon(search, index, prompt, send.clone())
                    index += 1
        finally:
            if isinstance(prompts, AsyncGenerator):
                # Nothing else would close it in time.
                with trio.move_on_after(1, shield=True):
                    await prompts.aclose()

    raised: list[Exception] = []
    with receive:
        with without_nursery_group():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(feed, nursery)
                try:
                    yield receive
                except Exception as error:
                    raised.append(error)
                nursery.cancel_scope.cancel(reason="the block was left")
        if raised:  # raised here so that the nursery does not wrap it
            raise raised[0]


def _seeded(strategy: Strategy, index: int) -> Strategy:
    if strategy.seed is None:
        return strategy
    return attrs.evolve(strategy, seed=prompt_seed(strategy.seed, index))


class _Each:
    """An iterable as an asynchronous iterable."""

    def __init__(self, prompts: Iterable[PromptLike]) -> None:
        self._prompts = iter(prompts)

    def __aiter__(self) -> _Each:
        return self

    async def __anext__(self) -> PromptLike:
        await trio.lowlevel.checkpoint()
        for prompt in self._prompts:
            return prompt
        raise StopAsyncIteration
