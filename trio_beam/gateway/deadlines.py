"""The deadlines of requests, which the end of the gateway brings forward."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import trio


class Deadlines:
    """The cancel scopes of the requests in progress.

    Attributes:
        end: when all of them end at the latest, on Trio's clock.
    """

    def __init__(self) -> None:
        self.end = math.inf
        self._scopes: set[trio.CancelScope] = set()

    @contextmanager
    def scope(self, deadline: float) -> Iterator[trio.CancelScope]:
        """Bound the block by a deadline, and by the end.

        Args:
            deadline: on Trio's clock.
        """
        with trio.CancelScope(deadline=min(deadline, self.end)) as scope:
            self._scopes.add(scope)
            try:
                yield scope
            finally:
                self._scopes.discard(scope)

    def end_at(self, time: float) -> None:
        """Set the end."""
        self.end = time
        for scope in self._scopes:
            scope.deadline = min(scope.deadline, time)
