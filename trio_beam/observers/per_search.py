"""The base of observers that have something for each search, however many they see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from trio_beam.core.events import Event, McmcStarted, Observer, SearchStarted
from trio_beam.errors import TrioBeamError


class OneSearch(Protocol):
    """Observes one search.

    Attributes:
        ended: whether its last event has come.
    """

    ended: bool

    def __call__(self, event: Event) -> None:
        """Observe an event."""


S = TypeVar("S", bound=OneSearch)


class PerSearch(ABC, Generic[S]):
    """Observes one search after the other, or those of a `search_many`.

    For other concurrent searches, give each its own `search`.
    """

    def __init__(self) -> None:
        self._running: dict[int, S] = {}

    @abstractmethod
    def _next(self, label: str) -> S:
        """Return the observer of the next search."""

    def __call__(self, event: Event) -> None:
        """Observe an event.

        Raises:
            TrioBeamError: another search has begun, whose events would be taken for those of the first.
        """
        running = self._running.get(event.index)
        if isinstance(event, (SearchStarted, McmcStarted)):
            if running is not None:
                raise TrioBeamError(
                    "a search has begun while another one is observed: give each of several concurrent"
                    f" searches an observer of its own, {type(self).__name__}.search()"
                )
            running = self._running[event.index] = self._next("")
        if running is None:
            return  # it observes the rest of a search
        running(event)
        if running.ended:
            del self._running[event.index]

    def search(self, label: str = "") -> Observer:
        """Return an observer for one of several concurrent searches.

        Args:
            label: kept with the search, to find it again.
        """
        return self._next(label)
