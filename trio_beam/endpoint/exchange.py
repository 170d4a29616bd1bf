"""Run exchanges: send the requests that a dialect yields, and send their responses back to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs
import msgspec
import trio

from trio_beam.core.extra_body import NO_FIELDS, other_fields
from trio_beam.core.language_model import RequestContext
from trio_beam.core.price import Price
from trio_beam.core.usage_meter import Allotment, Reservation
from trio_beam.dialects.common.exchange import Exchange, WireRequest
from trio_beam.endpoint.cache import CachedExchange, Draw, OpenCache
from trio_beam.endpoint.dispatch import Dispatcher
from trio_beam.endpoint.pricing import Pricing
from trio_beam.errors import BudgetExhausted, EndpointError

T = TypeVar("T")
#: Tokens of a prompt by which something is learnt, with a template around it.
_SHORT_PROMPT = 100


@attrs.frozen(kw_only=True, eq=False)
class Exchanges:
    """Runs the exchanges of one endpoint.

    Attributes:
        dispatcher: sends the requests.
        base_url: for errors that no single request caused.
        pricing: the price of the model.
        extra_body: the caller's fields. Every request with a body has them, but grammars and tools, which the
            dialect puts where they belong.
        cache: answers what it was asked before; None: there is none.
        learning: lock held while learning something for all searches.
    """

    dispatcher: Dispatcher
    base_url: str
    pricing: Pricing
    extra_body: Mapping[str, Any] = NO_FIELDS
    cache: OpenCache | None = None
    learning: trio.Lock = attrs.field(factory=trio.Lock)
    _fields: Mapping[str, Any] = attrs.field(init=False, repr=False)
    _members: bytes = attrs.field(init=False, repr=False)

    @_fields.default
    def _other(self) -> Mapping[str, Any]:
        return other_fields(self.extra_body)

    @_members.default
    def _encoded(self) -> bytes:
        return _members_of(self._fields)

    def with_fields(self, more: Mapping[str, Any]) -> Exchanges:
        """Return the same with further fields, which take precedence."""
        return attrs.evolve(self, extra_body={**self.extra_body, **more}) if more else self

    @property
    def price(self) -> Price | None:
        """The price of the model's tokens now; None if unknown."""
        return self.pricing.now(self.extra_body)

    def reservation(
        self,
        context: RequestContext,
        prompt_tokens: int,
        allotment: Allotment | None = None,
        least_prompt: int | None = None,
    ) -> Reservation:
        """Return a reservation at the model's price; the arguments are those of `UsageMeter.reservation`."""
        return context.meter.reservation(
            prompt_tokens, allotment, self.price, self.pricing.purse, least_prompt=least_prompt
        )

    async def run(
        self,
        exchange: Exchange[T],
        context: RequestContext,
        reservation: Reservation,
        draw: Draw | None = None,
    ) -> T:
        """Run a dialect's exchange.

        Args:
            exchange: not begun.
            context: of the search.
            reservation: of what its requests cost.
            draw: what determines its responses besides the requests; None: they are never from the cache.

        Raises:
            EndpointError: a request failed and the dialect did not handle it, or the dialect raised it; it
                is safe to show.
        """
        cached = None if self.cache is None or draw is None else self.cache.exchange(draw)
        try:
            request = next(exchange)
            while True:
                try:
                    response = await self._send(request, context, reservation, cached)
                except (EndpointError, BudgetExhausted) as error:
                    request = exchange.throw(error)
                else:
                    request = exchange.send(response)
        except StopIteration as stop:
            result: T = stop.value
            if cached is not None:
                await cached.keep()
            return result
        except EndpointError as error:
            if not error.url:  # found by the dialect in a successful response
                error.url = self.base_url
            error.attempts = error.attempts or 1
            self.dispatcher.http.words.mend(error)
            raise
        finally:
            exchange.close()

    async def learn(
        self, exchange: Exchange[T], context: RequestContext, draw: Draw | None = None
    ) -> T:
        """Run an exchange that does not sample; what it generates is charged for as an upper bound.

        Raises:
            EndpointError: as `run`.
        """
        reservation = self.reservation(context, _SHORT_PROMPT)
        try:
            return await self.run(exchange, context, reservation, draw)
        finally:
            reservation.close()

    async def _send(
        self,
        request: WireRequest[T],
        context: RequestContext,
        reservation: Reservation,
        cached: CachedExchange | None,
    ) -> T:
        request, send = self._extended(request), self.dispatcher.send
        if cached is None:
            return await send(request, context, reservation)
        return await cached.send(request, context, reservation, send)

    def _extended(self, request: WireRequest[T]) -> WireRequest[T]:
        """Return a request with the caller's fields behind its own."""
        if not self._members or request.body is None:
            return request
        members = self._members
        if request.placed:
            left = {name: self._fields[name] for name in self._fields.keys() - request.placed}
            members = _members_of(left)
        return attrs.evolve(request, body=request.body[:-1] + members + b"}")


def _members_of(fields: Mapping[str, Any]) -> bytes:
    """Encode fields as further members of a JSON object that is not empty."""
    return b"," + msgspec.json.encode(fields)[1:-1] if fields else b""
