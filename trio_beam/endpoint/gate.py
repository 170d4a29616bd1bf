"""When a request may be sent: free slots, pauses that the server asks for, and rates."""

from __future__ import annotations

import itertools
import math
from typing import Any, Generic, TypeVar

import attrs
import trio

from trio_beam.core.language_model import RequestContext
from trio_beam.core.request_events import EndpointPaused, RequestWaiting
from trio_beam.core.usage_meter import Reservation
from trio_beam.dialects.common.exchange import WireRequest
from trio_beam.endpoint.limiter import FairLimiter
from trio_beam.endpoint.rate_limiter import RateLimiter
from trio_beam.endpoint.rates import Admission
from trio_beam.errors import EndpointError, RateLimited, ServerError

T = TypeVar("T")
#: Numbers the requests of all endpoints, so that the events of a search and of its judge's stay apart.
_numbers = itertools.count(1)


@attrs.define(eq=False)
class PendingRequest(Generic[T]):
    """A request with the state of its attempts.

    Attributes:
        failed: number of failed attempts.
        waited: seconds waited between attempts.
        queued: seconds that the current attempt waited for its slot.
        generation: the limiter's generation when the slot for the current attempt was taken.
        number: of the request in this process.
    """

    request: WireRequest[T]
    context: RequestContext
    reservation: Reservation
    failed: int = 0
    waited: float = 0.0
    queued: float = 0.0
    generation: int = 0
    number: int = attrs.field(factory=lambda: next(_numbers), init=False)

    @property
    def cost(self) -> int:
        """Maximum cost of an attempt, in tokens."""
        return self.reservation.cost(self.request.max_tokens)


@attrs.define
class Gate:
    """Lets requests through to a server, for all searches of an endpoint.

    Attributes:
        limiter: lends slots.
        rates: keeps to the requests and tokens per minute.
    """

    limiter: FairLimiter
    rates: RateLimiter
    _resume_at: float = attrs.field(default=-math.inf, init=False)

    def restart(self) -> None:
        """Forget any pause: its end is meaningless under another `trio.run`."""
        self._resume_at = -math.inf
        self.rates.open()

    async def take_slot(self, call: PendingRequest[Any]) -> Admission | None:
        """Take a slot, when no pause is on and the rates, if there are any, admit the request."""
        call.queued = 0.0
        limited = self.rates.is_limited()
        if limited:
            self.rates.check(call.reservation.least_cost(call.request.max_tokens))
        if not self.is_pausing() and self.limiter.try_acquire():
            if not limited:
                return None
            if admission := self.admit(call):
                return admission
        return await self._wait_to_send(call)

    async def _wait_to_send(self, call: PendingRequest[Any]) -> Admission | None:
        """Wait for a slot, for the end of any pause and for the rates, which no beam's timeout counts."""
        context, start, admission = call.context, trio.current_time(), None
        waiting = RequestWaiting(
            request=call.number, origin=context.origin, paused=self.is_pausing()
        )
        context.emit(waiting)
        with context.deadline.paused():
            if not self.rates.is_limited():
                await self._wait_for_slot(context)
                if self.rates.is_limited():  # learnt meanwhile
                    self.limiter.release()
            if self.rates.is_limited():
                admission = await self._wait_for_rate(call)
        call.queued = trio.current_time() - start
        return admission

    async def _wait_for_rate(self, call: PendingRequest[Any]) -> Admission:
        """Wait until the rates admit a request, and for its slot."""
        async with self.rates.turn(call.context):
            while True:
                await self.rates.wait_for_room(call.cost, call.context)
                await self._wait_for_slot(call.context)
                if admission := self.admit(call, first=True):
                    return admission

    def admit(self, call: PendingRequest[Any], *, first: bool = False) -> Admission | None:
        """Have a request in a slot admitted by the rates; return the slot if it is not."""
        admission = None
        try:
            admission = self.rates.try_admit(call.cost, first=first)
        finally:
            if admission is None:
                self.limiter.release()
        return admission

    async def _wait_for_slot(self, context: RequestContext) -> None:
        """Wait for a slot and for the end of any pause, during which no slot is held."""
        while True:
            if self.is_pausing():
                await trio.sleep_until(self._resume_at)
            if not self.limiter.try_acquire():
                await self.limiter.acquire(context.meter)
            if not self.is_pausing():
                return
            self.limiter.release()

    def is_pausing(self) -> bool:
        """Whether the server has asked that nothing be sent now."""
        return trio.current_time() < self._resume_at

    def note_pause(self, error: EndpointError, context: RequestContext, longest: float) -> None:
        """Apply a pause that the server asked of one request to all requests, unless it is over `longest`."""
        if not isinstance(error, (RateLimited, ServerError)) or not error.retry_after:
            return
        if error.retry_after > longest:
            return  # too long to wait; each request meets the error itself
        until = trio.current_time() + error.retry_after
        if until > self._resume_at:
            self._resume_at = until
            self.rates.pause(until)
            context.emit(EndpointPaused(seconds=error.retry_after, error=error))
