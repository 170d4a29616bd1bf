"""The data of a page: a list of searches, and each as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import attrs
import msgspec

from trio_beam.viewer.plain import Plain
from trio_beam.viewer.searches import SearchView


@attrs.define(eq=False)
class Shown:
    """A search on the page.

    Attributes:
        summary: what the list shows.
        left_out: whether its JSON is larger than the limit; not known yet of one that still runs.
    """

    summary: Plain
    left_out: bool = False
    _encoded: bytes | None = None
    _view: SearchView | None = None
    _limit: int = 0

    @classmethod
    def of_ended(cls, view: SearchView, limit: int) -> Shown:
        """Return a search that has ended, as JSON of at most `limit` bytes; `view` is no longer needed."""
        encoded = view.encoded(limit)
        return cls(view.summary(), encoded is None, encoded)

    @classmethod
    def of_running(cls, view: SearchView, limit: int) -> Shown:
        """Return a search as it is now."""
        return cls(view.summary(), view=view, limit=limit)

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return len(self._encoded or b"")

    def encode(self) -> bytes | None:
        """Return all of it as JSON; None if it is left out."""
        if self._view is not None:
            self._encoded = self._view.encoded(self._limit)
            self.left_out = self._encoded is None
            self._view = None
        return self._encoded


class Source(Protocol):
    """Where searches come from: a trace, or a gateway."""

    def about(self) -> Plain:
        """Return what the page says of it: `name`, `torn`, `damaged`."""
        ...

    def shown(self) -> list[Shown]:
        """Return its searches, in the order in which they began."""
        ...


def page_data(sources: Sequence[Source], **more: Any) -> tuple[Plain, list[bytes | None]]:
    """Return what the page is told of all sources, and the JSON of each search, in the order of its list.

    Args:
        sources: one, or two to compare.
        more: further members for the page; `mode` is needed.
    """
    shown = [source.shown() for source in sources]
    encoded = [one.encode() for searches in shown for one in searches]
    return _about(sources, shown, more), encoded


def news(source: Source, version: str, number: int, **more: Any) -> bytes:
    """Return what a page that follows a source is told, as JSON.

    Args:
        source: what it follows.
        version: of what it is told.
        number: of the search that it shows; -1: the newest.
        more: as for `page_data`.
    """
    shown = source.shown()
    numbers = [one.summary["number"] for one in shown]
    place = numbers.index(number) if number in numbers else len(shown) - 1
    search = shown[place].encode() if shown else None
    told = {"version": version, "about": _about([source], [shown], more), "place": place}
    return msgspec.json.encode(told)[:-1] + b',"search":' + (search or b"null") + b"}"


def _about(sources: Sequence[Source], shown: Sequence[list[Shown]], more: Plain) -> Plain:
    return {
        "sources": [source.about() for source in sources],
        "searches": [
            {**one.summary, "source": place, "left_out": one.left_out}
            for place, searches in enumerate(shown)
            for one in searches
        ],
        **more,
    }
