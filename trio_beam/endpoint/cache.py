"""A cache of responses on disk: what a server has answered once is not asked again.

A response is determined by the server, the model, the call, the whole body of the request and, for samples,
the seed, which is part of the key even where a server is not sent it. A request that asks for chance (no
seed, and a temperature above 0) is therefore never answered from here: its draws would all be the same.

Only complete responses are kept, and only once everything that read them was content: no errors, no streams
that were given up. The file is an SQLite database, which any number of processes may use at the same time and
which a kill at any moment leaves whole.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import attrs
import msgspec
import trio

from trio_beam.core.language_model import RequestContext
from trio_beam.core.usage_meter import Reservation
from trio_beam.core.validation import integer
from trio_beam.dialects.common.exchange import WireRequest
from trio_beam.dialects.common.watch import Abandoned
from trio_beam.endpoint.cache_file import CacheFile
from trio_beam.errors import ConfigError, EndpointError

T = TypeVar("T")
#: Part of every key: another number makes all older responses unknown.
_FORMAT = 1
#: Seconds that a task gives the disk where it must not be cancelled.
_PATIENCE = 1


def _as_folder(path: object) -> Path:
    if not isinstance(path, str | os.PathLike) or not os.fspath(path):
        raise ConfigError("cache", "a folder, a ResponseCache or None", path)
    return Path(path)


@attrs.frozen
class ResponseCache:
    """A folder in which the responses of servers are kept, for any number of endpoints and processes.

    Attributes:
        folder: made if it is not there.
        max_bytes: maximum size; the oldest responses leave first.
        server: what takes the place of the base URL in the keys, for servers that give the same answers at
            several addresses; None: the base URL.

    Raises:
        ConfigError: an argument is invalid.
    """

    folder: Path = attrs.field(converter=_as_folder)
    max_bytes: int = integer(8 << 30, minimum=1 << 20)
    server: str | None = attrs.field(default=None, kw_only=True)

    @classmethod
    def of(cls, given: Any) -> ResponseCache | None:
        """Return the cache for an argument: a folder, a cache or None.

        Raises:
            ConfigError: it is something else.
        """
        return given if given is None or isinstance(given, ResponseCache) else cls(given)


@attrs.frozen
class Draw:
    """Determinants of a response besides the request.

    Attributes:
        model: its name, which not every request has.
        seed: of the first sample; None: the response is the same without one.
    """

    model: str
    seed: int | None = None


class OpenCache:
    """The responses of one server in an open cache.

    Disks may be slow, so all their work is done in a thread, at 150 microseconds of CPU time each.

    Attributes:
        hits: responses from the cache.
    """

    def __init__(self, cache: ResponseCache, server: str) -> None:
        self._file = CacheFile(cache.folder, cache.max_bytes)
        self._server = server if cache.server is None else cache.server
        self._one = trio.CapacityLimiter(1)
        self.hits = 0

    async def open(self) -> None:
        """Open the file, and make it if needed.

        Raises:
            CacheUnusable: it cannot be used.
        """
        self._one = trio.CapacityLimiter(1)  # an earlier run's may have ended with a thread at work
        await trio.to_thread.run_sync(self._file.open)

    async def aclose(self) -> None:
        """Close the file."""
        await trio.to_thread.run_sync(self._file.close, abandon_on_cancel=True)

    def exchange(self, draw: Draw) -> CachedExchange:
        """Return an exchange whose requests are answered from here where possible."""
        return CachedExchange(self, draw)

    def key(self, request: WireRequest[Any], draw: Draw) -> bytes:
        """Return the key of a request's response."""
        determinants = (
            *(_FORMAT, self._server, draw.model, draw.seed),
            *(request.method, request.path, request.at_root),
        )
        return hashlib.sha256(
            msgspec.json.encode(determinants) + b"\n" + (request.body or b"")
        ).digest()

    async def get(self, key: bytes) -> bytes | None:
        """Return the body of a response, or None."""
        return await trio.to_thread.run_sync(
            self._file.get, key, abandon_on_cancel=True, limiter=self._one
        )

    async def put(self, responses: dict[bytes, bytes]) -> None:
        """Keep bodies by key; returns at the latest after a second, for a disk that takes longer."""
        # Shielded: what the responses say has been paid for, and its way to the search leads through here.
        with trio.move_on_after(_PATIENCE, shield=True):
            await trio.to_thread.run_sync(
                self._file.put, responses, abandon_on_cancel=True, limiter=self._one
            )


@attrs.frozen
class _Read(Generic[T]):
    """A decoded response with its body."""

    body: bytes
    value: T


@attrs.define(eq=False)
class CachedExchange:
    """The requests of one exchange: answered from the cache, or sent, and kept at its end."""

    _cache: OpenCache
    _draw: Draw
    _new: dict[bytes, bytes] = attrs.field(factory=dict, init=False)

    async def send(
        self,
        request: WireRequest[T],
        context: RequestContext,
        reservation: Reservation,
        send: Callable[[WireRequest[Any], RequestContext, Reservation], Awaitable[Any]],
    ) -> T:
        """Return the decoded response to a request.

        A response from the cache is within the budgets of tokens and requests like any other, so that a
        search with it ends as the same search without it.

        Raises:
            EndpointError: as `send`.
            BudgetExhausted: the budget does not allow another request.
        """
        if request.body is None:  # about the server as it is now
            return await send(request, context, reservation)  # type: ignore[no-any-return]
        key = self._cache.key(request, self._draw)
        body = await self._cache.get(key)
        if body is not None:
            try:
                value = request.decode(body)
            except (msgspec.DecodeError, EndpointError):
                pass  # kept by another version; asked again
            else:
                reservation.reserve(request.max_tokens)
                reservation.responded(request.max_tokens, free=True)
                context.meter.cached_responses += 1
                self._cache.hits += 1
                return value
        response = await send(_with_body(request), context, reservation)
        if isinstance(response, Abandoned):
            return Abandoned(response.response.value)  # type: ignore[return-value]  # as from `send`
        self._new[key] = response.body
        return response.value  # type: ignore[no-any-return]

    async def keep(self) -> None:
        """Keep the new responses: the exchange has succeeded."""
        if self._new:
            await self._cache.put(self._new)


def _with_body(request: WireRequest[T]) -> WireRequest[_Read[T]]:
    def decode(body: bytes) -> _Read[T]:
        return _Read(body, request.decode(body))

    return attrs.evolve(request, decode=decode)  # type: ignore[arg-type, return-value]  # another T
