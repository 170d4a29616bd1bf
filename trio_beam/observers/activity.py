"""Current activity of searches: what they wait for, their rate of generation, and their cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import attrs

from trio_beam.core.events import (
    Event,
    McmcStarted,
    Observer,
    PromptPrepared,
    RoundFinished,
    SamplesReceived,
    SearchFinished,
    SearchStopped,
)
from trio_beam.core.printable import counted
from trio_beam.core.request_events import (
    EndpointPaused,
    RatePaused,
    RequestEnded,
    RequestRetried,
    RequestSent,
    RequestWaiting,
)
from trio_beam.core.usage import Usage


class Activity:
    """The state of any number of searches, from their events.

    Args:
        clock: returns the time in seconds; may be called in another thread.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start = clock()
        self._searches: list[_Search] = []
        self._ended = Usage()
        self._paused_until = self._rate_until = self._start
        self._rate = ""

    def watch(self) -> Observer:
        """Return the observer of another search."""
        return _Search(self, self._clock)

    def begin(self, search: _Search) -> None:
        """Count a search in."""
        self._searches.append(search)

    def end(self, search: _Search) -> None:
        """Count a search out, whose cost is final."""
        if search in self._searches:
            self._searches.remove(search)
            self._ended += search.usage

    def pause(self, seconds: float) -> None:
        """Note a pause that a server has asked of all requests."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)

    def pause_for_rate(self, seconds: float, limit: str) -> None:
        """Note a pause that keeps to the endpoint's rate: the limit of requests or tokens per minute."""
        self._rate_until, self._rate = self._clock() + seconds, limit

    @property
    def usage(self) -> Usage:
        """Return the cost of all searches so far, as far as responses have told."""
        return sum([search.usage for search in [*self._searches]], self._ended)

    def spent(self) -> str:
        """Say how many tokens were generated, at which rate, and at what cost."""
        usage = self.usage
        seconds = self._clock() - self._start
        parts = [f"{usage.completion_tokens:,} tokens"]
        if usage.discarded_tokens:
            parts[0] += f" ({usage.discarded_tokens:,} thrown away)"
        if usage.completion_tokens and seconds > 0:
            rate = usage.completion_tokens / seconds
            parts.append(f"{rate:,.{0 if rate >= 10 else 1}f} tokens/s")
        return ", ".join(filter(None, [*parts, usage.price_in_words]))

    def waiting(self) -> str:
        """Say what is being waited for, and how long; "" for nothing."""
        return "; ".join(self._waits())

    def _waits(self) -> Iterator[str]:
        now = self._clock()
        sent = [at for search in [*self._searches] for at in [*search.sent.values()]]
        held = [at for search in [*self._searches] for at in [*search.waiting.values()]]
        retried = [at for search in [*self._searches] for at in [*search.retried.values()]]
        if sent:
            yield f"waiting for {counted(len(sent), 'answer')}, {now - min(sent):.0f} s"
        if self._paused_until > now:
            left = self._paused_until - now
            yield f"the server asked for a pause, {left:.0f} s more"
        if self._rate_until > now:
            yield f"the rate of {self._rate} per minute is kept, {self._rate_until - now:.0f} s more"
        if held:
            paused = max(self._paused_until, self._rate_until) > now
            held_by = "the end of it" if paused else "a free slot"
            yield f"{counted(len(held), 'request')} waiting for {held_by}, {now - min(held):.0f} s"
        if retried:
            again = max(0.0, min(retried) - now)
            yield f"{counted(len(retried), 'failed request')} to be sent again in {again:.0f} s"


@attrs.define(eq=False)
class _Search:
    """The requests of one search: when they were sent, have begun to wait, or will be sent again."""

    activity: Activity
    clock: Callable[[], float]
    sent: dict[tuple[int, int], float] = attrs.field(factory=dict, init=False)
    waiting: dict[int, float] = attrs.field(factory=dict, init=False)
    retried: dict[int, float] = attrs.field(factory=dict, init=False)
    _spent: dict[int, Usage] = attrs.field(factory=dict, init=False)  # of each chain, or of all: 0
    _chains: bool = attrs.field(default=False, init=False)
    _begun: bool = attrs.field(default=False, init=False)

    @property
    def usage(self) -> Usage:
        """Return the cost of the search so far."""
        return sum([*self._spent.values()], Usage())

    def __call__(self, event: Event) -> None:
        if not self._begun:
            self._begun = True
            self.activity.begin(self)
        self._note_request(event)
        match event:
            case McmcStarted():
                self._chains = True
            case PromptPrepared(usage=usage):
                self._spent[-1 if self._chains else 0] = usage
            case SamplesReceived(usage=usage, rank=rank):
                self._spent[rank if self._chains else 0] = usage
            case RoundFinished():
                self._forget()  # also what was cancelled while it waited
            case SearchFinished(result=result) | SearchStopped(result=result):
                self._forget()
                self._spent = {0: result.usage}
                self.activity.end(self)

    def _note_request(self, event: Event) -> None:
        match event:
            case RequestWaiting(request=request):
                self.waiting[request] = self.clock()
            case RequestSent(request=request, attempt=attempt):
                self.waiting.pop(request, None)
                self.retried.pop(request, None)
                self.sent[request, attempt] = self.clock()
            case RequestEnded(request=request, attempt=attempt):
                self.sent.pop((request, attempt), None)
            case RequestRetried(request=request, wait=wait):
                self.retried[request] = self.clock() + wait
            case EndpointPaused(seconds=seconds):
                self.activity.pause(seconds)
            case RatePaused(seconds=seconds, limit=limit):
                self.activity.pause_for_rate(seconds, limit)

    def _forget(self) -> None:
        self.sent.clear()
        self.waiting.clear()
        self.retried.clear()
