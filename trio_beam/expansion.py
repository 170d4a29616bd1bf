"""One round: a nursery, and in it a task and a cancel scope for each beam.

The scope of a beam is made here by the parent and entered in the child; the parent only cancels
it. What goes wrong with a request becomes data in the child (`Outcome.error`); what that means is
decided by the state machine. Anything unexpected is a bug and leaves as the nursery's group.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import trio

from trio_beam.core.actions import Expansion, Outcome, Round
from trio_beam.core.events import Event, RequestRetried
from trio_beam.errors import BeamTimeout, EndpointError, MalformedResponse
from trio_beam.language_model import Call, Sampler, SampleRequest
from trio_beam.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_beam.core.block import Continuation
    from trio_beam.core.config import BeamSearchConfig
    from trio_beam.core.events import Observer
    from trio_beam.core.usage import Ledger


class RoundKeeper(Protocol):
    """Who wants the outcomes of a round: the state machine, in a search."""

    config: BeamSearchConfig
    ledger: Ledger
    cancel_siblings: bool

    def receive(self, outcome: Outcome) -> tuple[Event, ...]:
        """Take the outcome of one beam; ``cancel_siblings`` then says whether to end the others."""


async def run_round(sampler: Sampler, current: Round, state: RoundKeeper, emit: Observer) -> None:
    """Expand all beams of a round at the same time and give `state` every outcome.

    When this returns or raises, no task of the round is left, and `state` has all that came back:
    also if it was cancelled from outside.
    """
    scopes = [trio.CancelScope() for _ in current.expansions]
    send, receive = trio.open_memory_channel[Outcome](len(scopes))
    try:
        async with trio.open_nursery() as nursery:
            for expansion, scope in zip(current.expansions, scopes, strict=True):
                task = _BeamTask(sampler, expansion, scope, state, emit)
                nursery.start_soon(task.run, send, name=f"beam {expansion.rank}")
            for _ in scopes:
                _deliver(state, await receive.receive(), emit)
                if state.cancel_siblings:
                    for scope in scopes:
                        scope.cancel(reason="a sibling failed")
    finally:
        # A cancelled round still hands over what had arrived: it was paid for.
        for outcome in _buffered(receive):
            _deliver(state, outcome, emit)
        send.close()
        receive.close()


def _deliver(state: RoundKeeper, outcome: Outcome, emit: Observer) -> None:
    for event in state.receive(outcome):
        emit(event)


def _buffered(receive: trio.MemoryReceiveChannel[Outcome]) -> Iterator[Outcome]:
    while True:
        try:
            yield receive.receive_nowait()
        except trio.WouldBlock:
            return


class _BeamTask:
    """The expansion of one beam, by as many requests as the server makes it take."""

    def __init__(
        self,
        sampler: Sampler,
        expansion: Expansion,
        scope: trio.CancelScope,
        state: RoundKeeper,
        emit: Observer,
    ) -> None:
        config = state.config
        self._sampler = sampler
        self._expansion = expansion
        self._config: BeamSearchConfig = config
        self._scope = scope
        self._stopwatch = Stopwatch(
            scope, math.inf if config.beam_timeout is None else config.beam_timeout
        )
        self._call = Call(ledger=state.ledger, emit=self._observe, stopwatch=self._stopwatch)
        self._emit = emit
        self._retried: RequestRetried | None = None
        self._arrived: dict[int, Continuation] = {}
        self._error: EndpointError | None = None

    async def run(self, send: trio.MemorySendChannel[Outcome]) -> None:
        """Expand the beam and send exactly one outcome, whatever happens."""
        expired = False
        try:
            with self._scope:
                try:
                    await self._expand()
                finally:
                    expired = self._stopwatch.expired
        finally:
            send.send_nowait(self._outcome(expired))

    def _outcome(self, expired: bool) -> Outcome:
        complete = len(self._arrived) == self._expansion.n
        if self._error is None and expired and not complete:
            self._error = self._timeout()
        return Outcome(
            rank=self._expansion.rank,
            continuations=self._arrived,
            error=self._error,
            cancelled=self._error is None and not complete,
        )

    def _timeout(self) -> BeamTimeout:
        message = f"the beam took longer than beam_timeout={self._config.beam_timeout:g} s"
        if self._retried is None:
            return BeamTimeout(message, attempts=1)
        last = self._retried
        return BeamTimeout(f"{message}; its last error: {last.error}", attempts=last.attempt)

    def _observe(self, event: Event) -> None:
        if isinstance(event, RequestRetried):
            self._retried = event
        self._emit(event)

    async def _expand(self) -> None:
        async with trio.open_nursery() as nursery:
            self._ask(nursery, 0, self._expansion.n)

    def _ask(self, nursery: trio.Nursery, first: int, count: int) -> None:
        """Start the requests for samples `first` to `first + count - 1`."""
        most = self._sampler.most_per_request or count
        for start in range(first, first + count, most):
            nursery.start_soon(self._request, nursery, start, min(most, first + count - start))

    async def _request(self, nursery: trio.Nursery, first: int, count: int) -> None:
        try:
            with self._stopwatch.request():
                got = await self._sampler.sample(self._sample_request(first, count), self._call)
            if not got:
                raise MalformedResponse("the answer holds no continuation")
        except EndpointError as error:
            self._error = self._error or error
            if self._config.on_beam_failure == "cancel_siblings":
                nursery.cancel_scope.cancel(reason="a request of the same beam failed")
            return
        self._arrived.update(enumerate(got[:count], first))
        if len(got) < count:
            self._ask(nursery, first + len(got), count - len(got))

    def _sample_request(self, first: int, count: int) -> SampleRequest:
        seed = self._expansion.seed
        return SampleRequest(
            beam=self._expansion.beam,
            n=count,
            max_tokens=self._expansion.max_tokens,
            temperature=self._config.proposal_temperature,
            top_logprobs=self._config.top_logprobs,
            seed=None if seed is None else seed + first,
        )
