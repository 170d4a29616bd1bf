"""The connection to a reward model's server, shared by all searches that use it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import attrs
import trio

from trio_beam.core.language_model import RequestContext
from trio_beam.dialects.rewards import RewardCall, RewardInput, calls_for, score_by
from trio_beam.endpoint.endpoint import Endpoint

#: Seconds in which closing sockets, which does not wait, must have ended.
_CLOSING = 2


@attrs.define(eq=False)
class Connection:
    """An endpoint with what was learnt about its reward model.

    Attributes:
        endpoint: sends the requests, under its limits, timeouts and retries.
        owned: whether to open and close it.
        model: the model's name; None leaves it out.
        label: name or number of the class that means good; None: the last.
        calls: the calls to try; one, once one has succeeded.
        max_batch: maximum number of candidates per request, once known.
    """

    endpoint: Endpoint
    owned: bool
    model: str | None
    label: str | None
    calls: list[RewardCall]
    max_batch: int | None = None
    _users: int = attrs.field(default=0, init=False)
    _opening: trio.Lock = attrs.field(factory=trio.Lock, init=False)
    _learning: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    @classmethod
    def to(
        cls,
        server: str | Endpoint,
        *,
        model: str | None,
        api: str,
        steps: bool,
        label: str | None,
    ) -> Connection:
        """Return a connection to a base URL, or by an endpoint that its owner opens and closes.

        Raises:
            ConfigError: the base URL is invalid.
        """
        owned = isinstance(server, str)
        endpoint = Endpoint(server, model=model) if isinstance(server, str) else server
        return cls(
            endpoint,
            owned,
            model if owned else model or endpoint.model,
            label,
            calls_for(api, steps=steps),
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep the endpoint open; the last search to leave closes it."""
        if not self.owned:
            yield
            return
        async with self._opening:
            if not self._users:
                await self.endpoint.__aenter__()
            self._users += 1
        try:
            yield
        finally:
            with trio.move_on_after(_CLOSING, shield=True):
                async with self._opening:
                    self._users -= 1
                    if not self._users:
                        await self.endpoint.__aexit__(None, None, None)

    @property
    def takes_messages(self) -> bool:
        """Whether the call, or one that is still to be tried, takes conversations."""
        return any(call.takes_messages for call in self.calls)

    async def scores(
        self, inputs: Sequence[RewardInput], context: RequestContext
    ) -> Sequence[tuple[float, ...]]:
        """Return the scores of each input, in order.

        Raises:
            EndpointError: a request failed.
        """
        if len(self.calls) == 1:
            return await self._ask_by(self.calls, inputs, context)
        async with self._learning:  # the first request finds the call for all
            if len(self.calls) > 1:
                return await self._ask_by(self.calls, inputs, context)
        return await self._ask_by(self.calls, inputs, context)

    async def _ask_by(
        self, calls: Sequence[RewardCall], inputs: Sequence[RewardInput], context: RequestContext
    ) -> Sequence[tuple[float, ...]]:
        reservation = context.meter.reservation(
            allotment=context.allotment, price=self.endpoint.price
        )
        exchange = score_by(calls, self.model, inputs, self.label)
        call, rewards = await self.endpoint.run_exchange(exchange, context, reservation)
        reservation.settle(0, rewards.prompt_tokens)
        context.meter.prompt_tokens += rewards.prompt_tokens
        self.calls = [call]
        return rewards.scores
