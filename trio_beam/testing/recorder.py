"""The base of the models for tests, which records requests."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import trio

from trio_beam.core.block import Continuation
from trio_beam.core.language_model import RequestContext, SampleRequest


class Recorder(ABC):
    """A model without a server, also as an async context manager, like an `Endpoint`.

    Attributes:
        requests: all requests so far, in order.
        in_flight: number of requests in progress; 0 again when a search has returned or raised.
        cancelled: number of cancelled requests.
    """

    def __init__(self) -> None:
        self.requests: list[SampleRequest] = []
        self.in_flight = 0
        self.cancelled = 0

    async def __aenter__(self) -> Self:
        """Do nothing; under Trio and under asyncio."""
        await _checkpoint()
        return self

    async def __aexit__(  # noqa: B027  # there is nothing to do
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Do nothing."""

    async def record(
        self, request: SampleRequest, context: RequestContext, prompt: str, prompt_tokens: int
    ) -> Sequence[Continuation]:
        """Respond to a request, and record it."""
        self.requests.append(request)
        context.meter.requests += 1
        self.in_flight += 1
        try:
            answer = await self.answer(request, prompt)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        context.meter.prompt_tokens += prompt_tokens
        return answer

    @abstractmethod
    async def answer(self, request: SampleRequest, prompt: str) -> Sequence[Continuation]:
        """Respond to a request for a prompt."""


async def _checkpoint() -> None:
    if trio.lowlevel.in_trio_task():
        await trio.lowlevel.checkpoint()
