"""One round: a nursery, and in it a task and a cancel scope for each beam.

The scope of a beam is made here by the parent and entered in the child; the parent only cancels
it. What goes wrong with a request becomes data in the child (`Outcome.error`); what that means is
decided by the state machine. Anything unexpected is a bug and leaves as the nursery's group.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import trio

from trio_beam.core.beam_search.actions import Expansion, Outcome, Round
from trio_beam.core.language_model import Call, Sampler, SampleRequest
from trio_beam.dialects.common.sampled_tokens import too_long
from trio_beam.engine.deadline import Stopwatch
from trio_beam.errors import (
    BeamTimeout,
    BudgetExhausted,
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trio_beam.core.block import Continuation
    from trio_beam.core.config import BeamSearchConfig
    from trio_beam.core.events import Event, Observer
    from trio_beam.core.usage import Ledger


class RoundKeeper(Protocol):
    """Who wants the outcomes of a round: the state machine, in a search."""

    config: BeamSearchConfig
    ledger: Ledger
    cancel_siblings: bool
    quorum_reached: bool

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
            hurrying = False
            for _ in scopes:
                _deliver(state, await receive.receive(), emit)
                if state.cancel_siblings:
                    _cancel(scopes, "a sibling failed")
                elif state.quorum_reached and not hurrying:
                    hurrying = True
                    nursery.start_soon(_end_after, state.config.quorum_grace, scopes)
            nursery.cancel_scope.cancel(reason="all outcomes are in")
    finally:
        # A cancelled round still hands over what had arrived: it was paid for.
        for outcome in _buffered(receive):
            _deliver(state, outcome, emit)
        send.close()
        receive.close()


async def _end_after(seconds: float, scopes: Sequence[trio.CancelScope]) -> None:
    await trio.sleep(seconds)
    _cancel(scopes, "the quorum is reached")


def _cancel(scopes: Sequence[trio.CancelScope], reason: str) -> None:
    for scope in scopes:
        scope.cancel(reason=reason)


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
        keeper: RoundKeeper,
        emit: Observer,
    ) -> None:
        self._sampler = sampler
        self._expansion = expansion
        self._scope = scope
        self._config = keeper.config
        self._ledger = keeper.ledger
        self._emit = emit
        self._arrived: dict[int, Continuation] = {}
        self._errors: dict[int, EndpointError] = {}
        self._exhausted = False

    async def run(self, send: trio.MemorySendChannel[Outcome]) -> None:
        """Expand the beam and send exactly one outcome, whatever happens."""
        try:
            with self._scope:
                await self._ask(0, self._expansion.n)
        finally:
            send.send_nowait(self._outcome())

    def _outcome(self) -> Outcome:
        enumerated = bool(self._arrived) and self._config.proposal == "enumerate"
        complete = enumerated or len(self._arrived) == self._expansion.n
        return Outcome(
            rank=self._expansion.rank,
            continuations=self._arrived,
            errors=tuple(error for _, error in sorted(self._errors.items())),
            cancelled=not (complete or self._errors or self._exhausted),
            exhausted=self._exhausted,
        )

    async def _ask(self, first: int, count: int) -> None:
        """Get samples `first` to `first + count - 1`, by as many requests as it takes."""
        enumerates = self._config.proposal == "enumerate"
        most = count if enumerates else self._sampler.most_per_request or count
        if count <= most:  # nearly always: it needs no nursery
            got = await self._request(first, count)
            if 0 < got < count and not enumerates:
                await self._ask(first + got, count - got)
            return
        async with trio.open_nursery() as nursery:
            for start in range(first, first + count, most):
                nursery.start_soon(self._ask, start, min(most, first + count - start))

    async def _request(self, first: int, count: int) -> int:
        """Ask for samples once; how many came, 0 if it failed."""
        try:
            got = await self._sample(first, count)
        except BudgetExhausted:
            self._exhausted = True
            return 0
        except EndpointError as error:
            self._errors[first] = error
            if self._config.on_beam_failure == "cancel_siblings":
                self._scope.cancel(reason="a request of the same beam failed")
            return 0
        self._arrived.update(enumerate(got, first))
        return len(got)

    async def _sample(self, first: int, count: int) -> Sequence[Continuation]:
        """At least one and at most `count` continuations, within the beam's time."""
        limit = self._config.beam_timeout
        with trio.CancelScope() as scope:
            stopwatch = Stopwatch(scope, math.inf if limit is None else limit)
            call = Call(ledger=self._ledger, emit=self._emit, stopwatch=stopwatch)
            got = await self._sampler.sample(self._sample_request(first, count), call)
        if scope.cancelled_caught:
            message = f"the beam took longer than beam_timeout={limit:g} s"
            if call.last_error is not None:
                message += f"; its last error: {call.last_error.message}"
            raise BeamTimeout(message, attempts=call.attempts)
        if not got:
            raise MalformedResponse("the answer holds no continuation", attempts=1)
        self._check_proposal(got)
        longest = max(map(len, got))
        if longest > self._expansion.max_tokens:
            message = too_long(longest, self._expansion.max_tokens)
            raise MalformedResponse(message, attempts=1)
        return got[:count]

    def _check_proposal(self, got: Sequence[Continuation]) -> None:
        config = self._config
        if config.weighs and any(block.proposal is None and len(block) for block in got):
            raise LogprobsUnavailable(
                "the model does not say how probable its samples were at"
                f" proposal_temperature={config.proposal_temperature:g}: it has to be 1"
            )

    def _sample_request(self, first: int, count: int) -> SampleRequest:
        seed = self._expansion.seed
        return SampleRequest(
            beam=self._expansion.beam,
            n=count,
            max_tokens=self._expansion.max_tokens,
            temperature=self._config.proposal_temperature,
            top_logprobs=self._config.top_logprobs,
            seed=None if seed is None else seed + first,
            enumerate=self._config.proposal == "enumerate",
            weigh=self._config.weighs,
        )
