"""The deadline of a beam's request, paused while it waits for a slot."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import trio

from trio_beam.core.language_model import RequestContext
from trio_beam.errors import BeamTimeout

T = TypeVar("T")


class PausableDeadline:
    """Moves the deadline of a cancel scope so that waiting for a slot does not count.

    Time runs from creation, including waits between retries.

    Args:
        scope: the scope whose deadline this object manages.
        seconds: the time allowed; infinite for no limit.
    """

    def __init__(self, scope: trio.CancelScope, seconds: float) -> None:
        self._scope = scope
        scope.deadline = trio.current_time() + seconds

    @property
    def remaining(self) -> float:
        """Seconds left; infinite while paused."""
        return self._scope.deadline - trio.current_time()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause the deadline inside the ``with`` block."""
        left = self.remaining
        self._scope.deadline = math.inf
        try:
            yield
        finally:
            self._scope.deadline = trio.current_time() + left


async def run_within(
    seconds: float | None, context: RequestContext, request: Callable[[], Awaitable[T]]
) -> T:
    """Make a request within a beam's timeout; waiting for a slot does not count.

    Args:
        seconds: the beam's timeout; None: no limit.
        context: of the request, which gets the deadline.
        request: makes it.

    Raises:
        BeamTimeout: it took longer.
    """
    if seconds is None:
        return await request()
    with trio.CancelScope() as scope:
        context.deadline = PausableDeadline(scope, seconds)
        return await request()
    message = f"the beam took longer than beam_timeout={seconds:g} s"
    if context.last_error is not None:
        message += f"; its last error: {context.last_error.message}"
    raise BeamTimeout(message, attempts=context.attempts)
