"""Many prompts on one endpoint."""

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
from trio_beam.engine.groups import one_nursery_less
from trio_beam.engine.run import check_observers
from trio_beam.engine.search import Search, check_strategy
from trio_beam.errors import ConfigError, TrioBeamError

#: Read one at a time, as searches end: it may be longer than the memory.
Prompts: TypeAlias = Iterable[PromptLike] | AsyncIterable[PromptLike]


@attrs.frozen(kw_only=True)
class SearchOutcome:
    """The result or the error of one prompt, never neither.

    Attributes:
        index: the place of the prompt, from 0.
        result: of the search; None if it failed.
        error: why it failed: `SearchFailed` (whose ``partial`` has the best so far), or `ConfigError`
            for a prompt that is none; None if it did not.
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
    """Search for each of many prompts; yields a channel of their outcomes, as they come.

    ``async with search_many(...) as outcomes: async for outcome in outcomes: ...``. There is exactly one
    outcome for each prompt. Leaving the block cancels what has not ended. Prompts are read only as
    searches end and outcomes are taken, so memory is bounded by `max_searches`.

    Args:
        endpoint: an open `Endpoint`, or any other `LanguageModel`.
        prompts: as for `search`; any iterable or asynchronous iterable, also an endless one.
        strategy: for all of them, as for `search`. Of its seed each prompt has another one, made of its place
            (`prompt_seed`): else all draws would be made with the same numbers.
        max_searches: most searches at the same time (the endpoint's own limit on requests is
            another matter).
        observers: as for `search`; they see the events of all searches.

    Raises:
        ConfigError: an argument is not usable.
    """
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
                    result = await Search(
                        endpoint, prompt, _seeded(strategy, index), observers
                    ).run()
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
                # Nobody else can close it in time.
                with trio.move_on_after(1, shield=True):
                    await prompts.aclose()

    raised: list[Exception] = []
    with receive:
        with one_nursery_less():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(feed, nursery)
                try:
                    yield receive
                except Exception as error:
                    raised.append(error)
                nursery.cancel_scope.cancel(reason="the block was left")
        if raised:  # as it was: the nursery is no business of the caller's
            raise raised[0]


def _seeded(strategy: Strategy, index: int) -> Strategy:
    if strategy.seed is None:
        return strategy
    return attrs.evolve(strategy, seed=prompt_seed(strategy.seed, index))


class _Each:
    """An iterable, read as an asynchronous one."""

    def __init__(self, prompts: Iterable[PromptLike]) -> None:
        self._prompts = iter(prompts)

    def __aiter__(self) -> _Each:
        return self

    async def __anext__(self) -> PromptLike:
        await trio.lowlevel.checkpoint()
        for prompt in self._prompts:
            return prompt
        raise StopAsyncIteration
