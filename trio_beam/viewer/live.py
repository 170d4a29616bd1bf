"""A page that follows a growing trace, served to browsers on this machine.

Two paths need no framework: h11, which the library has anyway, reads and writes the heads. Nobody sees
anything without the secret in the URL, and no other web page can have it, by whatever name.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import h11
import trio

from trio_beam.errors import ConfigError, TraceUnreadable
from trio_beam.viewer.page import page
from trio_beam.viewer.recorded import RecordedSearches
from trio_beam.viewer.shown import news

_HOST = "127.0.0.1"
#: Seconds between two looks at the file.
_PERIOD = 0.2
#: Seconds for which a request for news waits for some; for a head; and for a client that reads nothing.
_PATIENCE, _HEAD, _WRITING = 20.0, 10.0, 30.0


class LivePage:
    """The page of a trace, until it is cancelled.

    Args:
        path: of the trace.
        port: to listen at; 0: a free one.
        only: number of the only search to show; None: all.
        limit: of the JSON of the searches, in bytes.
        say: told the URL when it is served.

    Raises:
        TraceUnreadable: it is no trace, of a later version, or cannot be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        say: Callable[[str], None],
        port: int = 0,
        only: int | None = None,
        limit: int,
    ) -> None:
        self._open = partial(RecordedSearches, path, only=only, limit=limit)
        self._searches = self._open()
        self._changed = trio.Event()
        self._say = say
        self._port = port
        self._secret = secrets.token_urlsafe(16)

    async def __call__(self, nursery: trio.Nursery) -> int:
        """Serve; only a cancellation ends it.

        Raises:
            ConfigError: the port is taken.
        """
        try:
            listeners = await trio.open_tcp_listeners(self._port, host=_HOST)
        except OSError as error:
            raise ConfigError("port", f"free ({error.strerror})", self._port) from None
        self._port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(self._watch)
        self._say(f"http://{_HOST}:{self._port}/{self._secret}/")
        await trio.serve_listeners(self._serve, listeners, handler_nursery=nursery)

    async def _watch(self) -> None:
        """Read what is written to the trace; one that was replaced from its beginning."""
        while True:
            before = self._searches.version
            try:
                self._searches.read()
            except TraceUnreadable:
                with suppress(TraceUnreadable):  # until it is a trace again
                    self._searches = self._open()
            if self._searches.version != before:
                self._changed.set()
                self._changed = trio.Event()
            await trio.sleep(_PERIOD)

    async def _serve(self, stream: trio.SocketStream) -> None:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=16_384)
        async with stream:
            with suppress(trio.BrokenResourceError, h11.RemoteProtocolError):
                with trio.move_on_after(_HEAD):
                    request = await _head(connection, stream)
                if isinstance(request, h11.Request):
                    status, kind, body = await self._respond(request)
                    with trio.move_on_after(_WRITING):
                        await stream.send_all(_response(connection, status, kind, body))

    async def _respond(self, request: h11.Request) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        hosts = [
            value.decode("ascii", "replace") for name, value in request.headers if name == b"host"
        ]
        if hosts not in ([f"{_HOST}:{self._port}"], [f"localhost:{self._port}"]):
            return 403, "text/plain", b"not for other names"
        target = urlsplit(request.target.decode("ascii", "replace"))
        _, secret, *rest = [*target.path.split("/"), ""]
        if request.method != b"GET" or not secrets.compare_digest(secret, self._secret):
            return 404, "text/plain", b"there is no such page"
        if rest[0] == "data":
            given = {name: values[-1] for name, values in parse_qs(target.query).items()}
            return await self._news(given.get("seen", ""), given.get("search", ""))
        about = {
            "sources": [self._searches.about()],
            "searches": [],
            "mode": "live",
            "data": "data",
        }
        return (
            200,
            "text/html; charset=utf-8",
            b"".join(page(f"{self._searches.name} – trio-beam", about)),
        )

    async def _news(self, seen: str, number: str) -> tuple[int, str, bytes]:
        with trio.move_on_after(_PATIENCE):
            while seen == self._searches.version:
                await self._changed.wait()
        version = self._searches.version
        if version == seen:
            return 204, "", b""
        chosen = int(number) if number.isdecimal() and len(number) < 16 else -1
        body = news(self._searches, version, chosen, mode="live", data="data")
        return 200, "application/json", body


async def _head(connection: h11.Connection, stream: trio.SocketStream) -> object:
    """Return the request, or what h11 saw instead."""
    while True:
        event = connection.next_event()
        if event is not h11.NEED_DATA:
            return event
        connection.receive_data(await stream.receive_some())


def _response(connection: h11.Connection, status: int, kind: str, body: bytes) -> bytes:
    headers = [
        ("connection", "close"),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("content-length", str(len(body))),
        *([("content-type", kind)] if kind else []),
    ]
    head = connection.send(h11.Response(status_code=status, headers=headers))
    return (head or b"") + body
