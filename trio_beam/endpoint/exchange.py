"""Run exchanges: send the requests that a dialect yields, and send their responses back to it."""

from __future__ import annotations

from typing import TypeVar

import attrs
import trio

from trio_beam.core.language_model import RequestContext
from trio_beam.core.usage import Reservation
from trio_beam.dialects.common.dialect import Exchange
from trio_beam.dialects.common.extra_body import ExtraBody
from trio_beam.endpoint.dispatch import Dispatcher
from trio_beam.errors import BudgetExhausted, EndpointError

T = TypeVar("T")


@attrs.frozen(kw_only=True, eq=False)
class Exchanges:
    """Runs the exchanges of one endpoint.

    Attributes:
        dispatcher: sends the requests.
        base_url: for errors that no single request caused.
        extra_body: the caller's fields for every request with a body.
        learning: lock held while learning something for all searches.
    """

    dispatcher: Dispatcher
    base_url: str
    extra_body: ExtraBody = attrs.field(factory=ExtraBody)
    learning: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    async def run(
        self, exchange: Exchange[T], context: RequestContext, reservation: Reservation
    ) -> T:
        """Run a dialect's exchange.

        Raises:
            EndpointError: a request failed and the dialect did not handle it, or the dialect raised it; it
                is safe to show.
        """
        try:
            request = next(exchange)
            while True:
                if self.extra_body.json and request.body is not None:
                    body = self.extra_body.added_to(request.body)
                    request = attrs.evolve(request, body=body)
                try:
                    response = await self.dispatcher.send(request, context, reservation)
                except (EndpointError, BudgetExhausted) as error:
                    request = exchange.throw(error)
                else:
                    request = exchange.send(response)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except EndpointError as error:
            if not error.url:  # found by the dialect in a successful response
                error.url = self.base_url
            error.attempts = error.attempts or 1
            self.dispatcher.http.words.mend(error)
            raise
        finally:
            exchange.close()
