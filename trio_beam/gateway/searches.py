"""The searches of one request, one for each of its prompts.

A request has one place among the searches at once. With several prompts it searches for one after another,
and for others beside in places that are free.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

import attrs
import trio

from trio_beam.core.events import Event, Observer
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.prompt import PromptLike
from trio_beam.core.result import SearchFailed, SearchResult, StopReason
from trio_beam.core.usage import Usage
from trio_beam.engine.search import Search
from trio_beam.errors import TrioBeamError
from trio_beam.gateway.admission import Admission
from trio_beam.gateway.api_error import ApiError, invalid, of_library
from trio_beam.gateway.deadlines import Deadlines
from trio_beam.gateway.limits import BUDGETS
from trio_beam.gateway.request import SearchRequest
from trio_beam.gateway.settled import Parts, Settling


@attrs.define(kw_only=True, eq=False)
class PromptSearch:
    """The search for one prompt.

    Attributes:
        index: of the prompt.
        prompt: the prompt.
        settling: what is settled so far.
        search: once it has begun.
        result: once it has ended.
    """

    index: int
    prompt: PromptLike
    settling: Settling
    search: Search | None = None
    result: SearchResult | None = None

    def texts(self, n: int) -> list[Parts]:
        """Return the thinking and the answer of each of the best n beams."""
        assert self.result is not None
        return [self.settling.final(beam) for beam in self.result.beams[:n]]


@attrs.define(kw_only=True, eq=False)
class Searches:
    """The searches of one request.

    Args:
        request: the request.
        model: to search.
        admission: lets the request in.
        deadlines: of all requests.
        client: who asks.
        started: when the request came, on Trio's clock.
        observers_of: returns the observers of a search.
        notify: called whenever there is news, and at the end.
        spent: told what each search has spent.

    Attributes:
        all: one for each prompt.
        error: why there is no answer; None if there is one, or none yet.
        ended: whether there is nothing more to come.
    """

    request: SearchRequest
    model: LanguageModel
    admission: Admission
    deadlines: Deadlines
    client: str
    started: float
    observers_of: Callable[[PromptSearch], Sequence[Observer]]
    notify: Callable[[], None]
    spent: Callable[[Usage], None]
    all: Sequence[PromptSearch] = attrs.field(init=False)
    error: ApiError | None = attrs.field(default=None, init=False)
    ended: bool = attrs.field(default=False, init=False)
    _pending: deque[PromptSearch] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        stop = self.request.strategy.stop
        self.all = [
            PromptSearch(index=index, prompt=prompt, settling=Settling(stop))
            for index, prompt in enumerate(self.request.prompts)
        ]
        self._pending = deque(self.all)

    async def run(self) -> None:
        """Search; at the deadline the best so far is the result."""
        within = self.request.within
        deadline = math.inf if within is None else self.started + within
        with self.deadlines.scope(deadline) as scope:
            try:
                async with self.admission.admitted(self.client), trio.open_nursery() as nursery:
                    await self._work(nursery)
            except ApiError as error:  # not admitted
                self.error = error
        if scope.cancelled_caught:
            self._take_best_so_far(stopping=trio.current_time() >= self.deadlines.end)
        self.ended = True
        self.notify()

    async def _work(self, nursery: trio.Nursery) -> None:
        while self._pending and self.error is None:
            one = self._pending.popleft()
            for _ in range(len(self._pending)):
                if not self.admission.enter_at_once():
                    break
                nursery.start_soon(self._help, nursery)
            await self._search(one, nursery)

    async def _help(self, nursery: trio.Nursery) -> None:
        """Search in a free place; after each prompt, whoever waits has the next turn."""
        entered = True
        while entered:
            try:
                if self._pending:
                    await self._search(self._pending.popleft(), nursery)
            finally:
                self.admission.leave()
            entered = bool(self._pending) and self.admission.enter_at_once()

    async def _search(self, one: PromptSearch, nursery: trio.Nursery) -> None:
        def observe(event: Event) -> None:
            before = one.settling.parts
            one.settling(event)
            if one.settling.parts != before:
                self.notify()

        try:
            observers = [observe, *self.observers_of(one)]
            one.search = Search(self.model, one.prompt, self.request.strategy, observers)
            result = await one.search.run()
        except TrioBeamError as error:
            if isinstance(error, SearchFailed):
                self.spent(error.partial.usage)
            fields = {given.parameter: given.field for given in self.request.given}
            self._fail(one, of_library(error, self.request.passed, fields))
        except trio.Cancelled:
            if one.search is not None:
                with suppress(SearchFailed):
                    self.spent(one.search.best_so_far("interrupted").usage)
            raise
        else:
            self.spent(result.usage)
            self._end(one, result)
        if self.error is not None:
            nursery.cancel_scope.cancel(reason="there will be no answer")

    def _end(self, one: PromptSearch, result: SearchResult) -> None:
        if result.beams:
            one.result = result
            self.notify()
            return
        why, fields = str(result.stop_reason), ["search"]
        if result.stop_reason == "budget":
            why = "its first requests may cost more than its budget"
            fields = [given.field for given in self.request.given if given.parameter in BUDGETS]
        words = f"the search ended without an answer: {why}"
        self._fail(one, invalid(fields[0] if len(fields) == 1 else "search", words, "no_answer"))

    def _fail(self, one: PromptSearch, error: ApiError) -> None:
        if self.error is None:
            several = len(self.all) > 1
            message = f"prompt {one.index}: {error.message}" if several else error.message
            self.error = attrs.evolve(error, message=message)

    def _take_best_so_far(self, *, stopping: bool) -> None:
        for one in self.all:
            if one.result is not None or self.error is not None:
                continue
            reason: StopReason = "interrupted" if stopping else "deadline"
            try:
                found = one.search.best_so_far(reason) if one.search else None
            except SearchFailed as error:
                self._fail(one, of_library(error))
                continue
            if found is not None and found.beams:
                one.result = found
            else:
                self._fail(one, self._too_late(stopping=stopping))

    def _too_late(self, *, stopping: bool) -> ApiError:
        if stopping:
            words = "the gateway stops, and nothing had come back"
            return ApiError(status=503, message=words, code="stopping", retry_after=5.0)
        words = f"nothing had come back after {self.request.within:g} s"
        return ApiError(status=504, message=words, code="deadline_exceeded")
