"""Exchanges with a server: send the requests that a dialect yields, and give it their responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import attrs

from trio_beam.core.block import Continuation
from trio_beam.core.language_model import RequestContext, SampleRequest
from trio_beam.core.usage import Reservation
from trio_beam.dialects.common.dialect import Dialect, Exchange
from trio_beam.endpoint.dispatch import Dispatcher
from trio_beam.errors import BudgetExhausted, EndpointError

T = TypeVar("T")


@attrs.frozen(kw_only=True, eq=False)
class Exchanges:
    """Carries out the exchanges of one endpoint.

    Attributes:
        dispatcher: sends the requests.
        base_url: named by an error that no single request is to blame for.
    """

    dispatcher: Dispatcher
    base_url: str

    async def run(
        self, exchange: Exchange[T], context: RequestContext, reservation: Reservation
    ) -> T:
        """Carry out the requests of a dialect's exchange.

        Raises:
            EndpointError: the dialect did not know what to do about it, or found it.
        """
        try:
            request = next(exchange)
            while True:
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
            if not error.url:  # found by the dialect in a response that looked well
                error.url = self.base_url
            error.attempts = error.attempts or 1
            raise
        finally:
            exchange.close()


@attrs.define(eq=False)
class DialectSampler:
    """A server whose dialect has prepared a prompt: the `Sampler` of an endpoint."""

    _exchanges: Exchanges
    _dialect: Dialect
    _prepared: Any
    _length: int = attrs.field(init=False)

    @_length.default
    def _estimate(self) -> int:
        return self._dialect.prompt_length(self._prepared)

    @property
    def max_per_request(self) -> int | None:
        """The limit on choices, as far as the dialect has learnt it."""
        return self._dialect.limits.n

    @property
    def prompt_length(self) -> int:
        """Tokens of the prompt as the server has counted them; before its first response an upper bound."""
        return self._length

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        """Sample, and count the cost.

        Raises:
            EndpointError: none could be had.
        """
        reservation = context.meter.reservation(self._length + request.beam.length)
        dialect = self._dialect
        ask = dialect.enumerate if request.enumerate else dialect.sample
        if request.proposal_logprobs:
            ask = dialect.sample_with_proposal_logprobs
        answer = await self._exchanges.run(ask(self._prepared, request), context, reservation)
        generated = sum(continuation.generated for continuation in answer.continuations)
        reservation.settle(generated + answer.generated_besides, answer.prompt_tokens)
        context.meter.prompt_tokens += answer.prompt_tokens
        context.meter.completion_tokens += answer.generated_besides
        if answer.prompt_tokens > request.beam.length:
            self._length = min(self._length, answer.prompt_tokens - request.beam.length)
        return answer.continuations
