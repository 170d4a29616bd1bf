"""Exchanges with a server: the requests that a dialect yields, sent, and their answers given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from trio_beam.errors import BudgetExhausted, EndpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.block import Continuation
    from trio_beam.core.language_model import Call, SampleRequest
    from trio_beam.core.usage import Reservation
    from trio_beam.dialects.common.dialect import Dialect, Exchange
    from trio_beam.endpoint.dispatch import Dispatcher

T = TypeVar("T")


@attrs.frozen(kw_only=True, eq=False)
class Exchanges:
    """What carries out the exchanges of one endpoint.

    Attributes:
        dispatcher: sends the requests.
        base_url: named by an error that no single request is to blame for.
    """

    dispatcher: Dispatcher
    base_url: str

    async def run(self, exchange: Exchange[T], call: Call, reservation: Reservation) -> T:
        """Carry out the requests of a dialect's exchange.

        Raises:
            EndpointError: the dialect did not know what to do about it, or found it.
        """
        try:
            request = next(exchange)
            while True:
                try:
                    answer = await self.dispatcher.send(request, call, reservation)
                except (EndpointError, BudgetExhausted) as error:
                    request = exchange.throw(error)
                else:
                    request = exchange.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except EndpointError as error:
            if not error.url:  # found by the dialect in an answer that looked well
                error.url = self.base_url
            error.attempts = error.attempts or 1
            raise
        finally:
            exchange.close()


@attrs.frozen(eq=False)
class DialectSampler:
    """A server whose dialect has taken a prompt: the `Sampler` of an endpoint."""

    _exchanges: Exchanges
    _dialect: Dialect
    _taken: Any

    @property
    def most_per_request(self) -> int | None:
        """As far as the dialect has learnt it."""
        return self._dialect.limits.n

    async def sample(self, request: SampleRequest, call: Call) -> Sequence[Continuation]:
        """Ask, and write down what it cost.

        Raises:
            EndpointError: none could be had.
        """
        reservation = call.ledger.reservation()
        dialect = self._dialect
        ask = dialect.enumerate if request.enumerate else dialect.sample
        if request.weigh:
            ask = dialect.weigh
        answer = await self._exchanges.run(ask(self._taken, request), call, reservation)
        generated = sum(continuation.generated for continuation in answer.continuations)
        reservation.settle(generated + answer.generated_besides)
        call.ledger.prompt_tokens += answer.prompt_tokens
        call.ledger.completion_tokens += answer.generated_besides
        return answer.continuations
