"""The searches of a gateway on a page, while they run and for a while after: to each client its own.

The page itself shows nothing: it asks for the searches as every client asks for one, and with its key.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence

import attrs
import trio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trio_beam.core.events import Event, Observer
from trio_beam.gateway.door import client_of
from trio_beam.traces.format import Line, SearchBegan
from trio_beam.traces.writing import SearchLines
from trio_beam.viewer.page import page
from trio_beam.viewer.plain import Plain
from trio_beam.viewer.searches import SearchView
from trio_beam.viewer.shown import Shown, news

#: Searches that have ended are kept up to this number, and up to this many bytes together.
_MOST_ENDED, _MOST_BYTES = 50, 32_000_000
#: Seconds for which a request for news waits for some, and for which news are collected.
_PATIENCE, _PERIOD = 20.0, 0.25
#: A search, in the address of its news.
_NUMBER = re.compile(r"[0-9]{1,15}")
_ABOUT: Plain = {"name": "gateway", "torn": False, "damaged": 0}
_MODE = {"mode": "gateway", "data": "ui/data"}
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff"}


class ShownSearches:
    """The searches of a gateway, as its page shows them to who has asked for them."""

    def __init__(self) -> None:
        self._count = 0
        self._version = 0
        self._closed = False
        self._changed = trio.Event()
        self._running: dict[int, SearchView] = {}
        self._ended: OrderedDict[int, Shown] = OrderedDict()
        self._clients: dict[int, str] = {}

    def observer(self, label: str, client: str) -> Observer:
        """Return an observer of one search.

        Args:
            label: what the page calls it.
            client: whose search it is.
        """
        view: SearchView | None = None

        def take(written: Sequence[Line]) -> None:
            nonlocal view
            for line in written:
                if isinstance(line, SearchBegan):
                    self._count += 1
                    view = self._running[self._count] = SearchView(self._count, line)
                    self._clients[self._count] = client
                elif view is not None:
                    view.add(line)
                    if view.end is not None:
                        self._settle(view)
            self._wake()

        lines = SearchLines(take, trio.current_time, 1, label, prompts=True, texts=True)

        def observe(event: Event) -> None:
            lines(event)

        return observe

    def close(self) -> None:
        """Let nobody wait for news any more."""
        self._closed = True
        self._wake()

    def routes(self) -> list[Route]:
        """Return where the page and its news are."""
        return [Route("/ui", self._page), Route("/ui/data", self._news)]

    def of_client(self, client: str) -> list[Shown]:
        """Return the searches of a client, in the order in which they began."""
        ended = {
            number: one for number, one in self._ended.items() if self._clients[number] == client
        }
        running = {
            number: Shown.of_running(view, _MOST_BYTES)
            for number, view in self._running.items()
            if self._clients[number] == client
        }
        return [one for _, one in sorted({**ended, **running}.items())]

    def _settle(self, view: SearchView) -> None:
        del self._running[view.number]
        self._ended[view.number] = Shown.of_ended(view, _MOST_BYTES)
        while (
            len(self._ended) > _MOST_ENDED
            or sum(one.size for one in self._ended.values()) > _MOST_BYTES
        ):
            number, _ = self._ended.popitem(last=False)
            del self._clients[number]

    def _wake(self) -> None:
        self._version += 1
        self._changed.set()
        self._changed = trio.Event()

    async def _page(self, request: Request) -> Response:
        del request
        await trio.lowlevel.checkpoint()
        about = {"sources": [_ABOUT], "searches": [], **_MODE}
        body = b"".join(page("Searches of the gateway – trio-beam", about))
        return Response(body, headers=_HEADERS, media_type="text/html")

    async def _news(self, request: Request) -> Response:
        seen, number = request.query_params.get("seen"), request.query_params.get("search", "")
        with trio.move_on_after(_PATIENCE):
            while seen == str(self._version) and not self._closed:
                await self._changed.wait()
                await trio.sleep(_PERIOD)
        await trio.lowlevel.checkpoint()
        version = str(self._version)
        if seen == version:
            return Response(status_code=204, headers=_HEADERS)
        own = _OfClient(self, client_of(request.scope))
        body = news(own, version, int(number) if _NUMBER.fullmatch(number) else -1, **_MODE)
        return Response(body, headers=_HEADERS, media_type="application/json")


@attrs.frozen
class _OfClient:
    """The searches of one client, as a source of news."""

    all: ShownSearches
    client: str

    def about(self) -> Plain:
        """Return what the page says of the gateway."""
        return _ABOUT

    def shown(self) -> list[Shown]:
        """Return the searches."""
        return self.all.of_client(self.client)
