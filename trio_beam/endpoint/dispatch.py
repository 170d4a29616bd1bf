"""Send requests, with retries and hedging.

Everything runs in the caller's task, and hedges in a nursery of that call. A request that waits for a
slot, for the rate, a retry or the end of a pause (`Gate`) holds no slot.
"""

from __future__ import annotations

import random
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar

import attrs
import trio

from trio_beam.core.language_model import RequestContext
from trio_beam.core.request_events import (
    LimitChanged,
    RequestEnded,
    RequestHedged,
    RequestRetried,
    RequestSent,
)
from trio_beam.core.usage_meter import Reservation
from trio_beam.dialects.common.exchange import WireRequest
from trio_beam.dialects.common.watch import Abandoned
from trio_beam.endpoint.gate import Gate, PendingRequest
from trio_beam.endpoint.latencies import Latencies
from trio_beam.endpoint.limiter import FairLimiter
from trio_beam.endpoint.rate_limiter import RateLimiter
from trio_beam.endpoint.rates import Admission
from trio_beam.endpoint.retry import GiveUp, RetryPolicy, decide
from trio_beam.errors import (
    AttemptTimeout,
    BudgetExhausted,
    ConnectionFailed,
    EndpointError,
    MalformedResponse,
    RateLimited,
    ServerError,
)
from trio_beam.http.client import HttpClient

T = TypeVar("T")
#: Maximum number of hedges per attempt.
_MAX_HEDGES = 2


class _Racer(NamedTuple):
    """The outcome of one of several identical attempts."""

    response: object
    error: EndpointError | BudgetExhausted | None


@attrs.define(kw_only=True)
class Dispatcher:
    """Sends requests for all searches of an endpoint.

    Attributes:
        http: sends single attempts.
        limiter: lends slots.
        rates: keeps to the requests and tokens per minute.
        retry: the retry policy.
        hedge_after: seconds without a response after which a request is sent again, and once more after
            the same time; ``"p95"``: the 95th percentile of recent latencies; None: never.
        hedge_share: maximum share of hedges among all attempts.
        attempts, retries, cancelled, hedges: counts since the endpoint was created.
    """

    http: HttpClient
    limiter: FairLimiter
    rates: RateLimiter
    retry: RetryPolicy
    hedge_after: float | Literal["p95"] | None
    hedge_share: float
    attempts: int = 0
    retries: int = 0
    cancelled: int = 0
    hedges: int = 0
    _latencies: Latencies = attrs.field(factory=Latencies, init=False)
    _hedges_begun: int = attrs.field(default=0, init=False)
    _gate: Gate = attrs.field(init=False)

    @_gate.default
    def _make_gate(self) -> Gate:
        return Gate(self.limiter, self.rates)

    def restart(self) -> None:
        """Forget what is meaningless under another `trio.run`."""
        self._gate.restart()

    async def send(
        self, request: WireRequest[T], context: RequestContext, reservation: Reservation
    ) -> T:
        """Send a request, with retries, and return its decoded response.

        Raises:
            EndpointError: the last attempt's, with the number of attempts.
            BudgetExhausted: the budget does not allow another attempt.
        """
        call = PendingRequest(request, context, reservation)
        context.attempts = 0
        while True:
            try:
                return await self._send_once(call)
            except EndpointError as error:
                retried = self._note_failure(call, error)
                if retried is None:
                    raise
            context.emit(retried)
            await trio.sleep(retried.wait)

    def _note_failure(
        self, call: PendingRequest[Any], error: EndpointError
    ) -> RequestRetried | None:
        """Count a failed attempt; return the retry to make, or None to raise its error."""
        call.failed += 1
        error.attempts = call.failed
        call.context.last_error = error
        decision = decide(
            error,
            call.failed,
            self.retry,
            jitter=random.random(),
            remaining=call.context.deadline.remaining,
            waited=call.waited,
        )
        if isinstance(decision, GiveUp):
            return None
        call.waited += decision.seconds
        return RequestRetried(
            request=call.number,
            origin=call.context.origin,
            error=error,
            attempt=call.failed,
            attempts=self.retry.attempts,
            wait=decision.seconds,
        )

    async def _send_once(self, call: PendingRequest[T]) -> T:
        """Send a request once, with its hedges, while holding a slot."""
        admission = await self._gate.take_slot(call)
        call.generation = self.limiter.generation
        try:
            delay = self._hedge_delay()
            if delay is None or not call.request.max_tokens:
                return await self._attempt(call, admission, again=call.failed > 0)
            return await self._race(call, admission, delay)
        finally:
            self.limiter.release()

    async def _attempt(
        self,
        call: PendingRequest[T],
        admission: Admission | None,
        *,
        again: bool,
        hedge_after: float | None = None,
    ) -> T:
        """Send a request once, in a slot already held, and count it and its outcome."""
        request, context, reservation = call.request, call.context, call.reservation
        try:
            reservation.reserve(request.max_tokens)
        except BudgetExhausted:
            self.rates.withdraw(admission)
            raise
        # Counted when it is sent, since it may be cancelled before.
        if hedge_after is not None:
            self.hedges += 1
            hedged = RequestHedged(request=call.number, origin=context.origin, after=hedge_after)
            context.emit(hedged)
        self._count(context, again=again)
        sent = RequestSent(
            request=call.number,
            origin=context.origin,
            attempt=context.attempts,
            hedge=hedge_after is not None,
            waited=0.0 if hedge_after is not None else call.queued,
            path=request.path,
        )
        context.emit(sent)
        start = trio.current_time()
        try:
            response = await self.http.attempt(
                request, partial(self.rates.learn, admission=admission)
            )
        except trio.Cancelled:
            self._count_cancelled(context)
            reservation.lost(request.max_tokens)
            _emit_end(sent, context, start, "cancelled")
            raise
        except EndpointError as error:
            _emit_end(sent, context, start, "error", error)
            self._note_error(error, call, admission)
            raise
        finally:
            self.rates.responded(admission)
        _emit_end(sent, context, start, "response")
        reservation.responded(request.max_tokens, partial(self.rates.settle, admission))
        if isinstance(response, Abandoned):
            self._count_cancelled(context)
        elif request.max_tokens:
            if self.hedge_after == "p95":
                self._latencies.add(trio.current_time() - start)
            limit = self.limiter.size
            self.limiter.succeeded()
            self._note_limit(limit, context)
        return response

    def _note_error(
        self, error: EndpointError, call: PendingRequest[Any], admission: Admission | None
    ) -> None:
        """Draw the consequences of a failed attempt: now, since the other one of a race may take long."""
        context, tokens = call.context, call.request.max_tokens
        self._gate.note_pause(error, context, self.retry.wait_total)
        if isinstance(error, AttemptTimeout):
            self._count_cancelled(context)
        if _is_overload(error):
            limit = self.limiter.size
            self.limiter.overloaded(call.generation)
            self._note_limit(limit, context)
        if _may_have_generated(error):
            call.reservation.lost(tokens)
        else:
            call.reservation.refund(tokens)
            self.rates.settle(admission, 0)
        if isinstance(error, ConnectionFailed) and error.never_sent:
            self.rates.withdraw(admission)

    def _count(self, context: RequestContext, *, again: bool) -> None:
        self.attempts += 1
        self.retries += again
        context.attempts += 1
        context.meter.requests += 1
        context.meter.retries += again

    def _note_limit(self, before: int, context: RequestContext) -> None:
        if self.limiter.size != before:
            context.emit(LimitChanged(limit=self.limiter.size, before=before))

    def _count_cancelled(self, context: RequestContext) -> None:
        self.cancelled += 1
        context.meter.cancelled += 1

    # -- hedging

    def _hedge_delay(self) -> float | None:
        return self._latencies.quantile(0.95) if self.hedge_after == "p95" else self.hedge_after

    def _may_hedge(self, call: PendingRequest[Any]) -> tuple[bool, Admission | None]:
        """Return whether a hedge is allowed, admitted by the rates; if so, a slot has been taken for it."""
        if (
            self._gate.is_pausing()
            or self._hedges_begun >= self.hedge_share * self.attempts
            or not call.reservation.allows(call.request.max_tokens)
            # Only if a slot is free: a hedge must not make others wait.
            or not self.limiter.try_acquire()
        ):
            return False, None
        admission = self._gate.admit(call) if self.rates.is_limited() else None
        return admission is not None or not self.rates.is_limited(), admission

    async def _race(self, call: PendingRequest[T], admission: Admission | None, delay: float) -> T:
        """Send a request, and hedge it after each delay without a response; the first response wins.

        There is more than one hedge because a hedge may straggle too: in a search of a few hundred requests
        one straggler in twenty is enough.
        """
        racers: list[_Racer] = []
        begun = 1

        async def run(
            admission: Admission | None, *, again: bool, hedge_after: float | None = None
        ) -> None:
            try:
                response = await self._attempt(
                    call, admission, again=again, hedge_after=hedge_after
                )
            except (EndpointError, BudgetExhausted) as error:
                racers.append(_Racer(None, error))
            else:
                racers.append(_Racer(response, None))
            if racers[-1].error is None or len(racers) == begun:
                # Shielded, to keep a response that arrived just before an outside cancellation.
                nursery.cancel_scope.shield = True
                nursery.cancel_scope.cancel(reason="the race is over")

        async def run_first() -> None:
            await run(admission, again=call.failed > 0)

        async def run_hedge(admission: Admission | None) -> None:
            try:
                await run(admission, again=False, hedge_after=delay)
            finally:
                self.limiter.release()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run_first)
            for _ in range(_MAX_HEDGES):
                await trio.sleep(delay)
                allowed, hedge = self._may_hedge(call)
                if allowed:
                    self._hedges_begun += 1
                    begun += 1
                    nursery.start_soon(run_hedge, hedge)
        winner = next((racer for racer in racers if racer.error is None), racers[-1])
        if winner.error is not None:
            raise winner.error
        return winner.response  # type: ignore[return-value]  # the list holds both kinds


def _emit_end(
    sent: RequestSent,
    context: RequestContext,
    start: float,
    outcome: Literal["response", "error", "cancelled"],
    error: EndpointError | None = None,
) -> None:
    ended = RequestEnded(
        request=sent.request,
        origin=sent.origin,
        attempt=sent.attempt,
        outcome=outcome,
        seconds=trio.current_time() - start,
        error=error,
    )
    context.emit(ended)


def _is_overload(error: EndpointError) -> bool:
    busy = isinstance(error, ServerError) and error.status == 503
    return busy or isinstance(error, (RateLimited, AttemptTimeout))


def _may_have_generated(error: EndpointError) -> bool:
    """Return whether the server may have done the work, so that its tokens are spent."""
    broken = isinstance(error, (AttemptTimeout, MalformedResponse))
    lost = isinstance(error, ConnectionFailed) and not error.never_sent
    return broken or lost
