"""A completion server: one base URL with its model.

An endpoint owns connections, slots and knowledge about its server, but no task: every request runs in
its caller's task.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import attrs
import trio

from trio_beam.core.extra_body import as_fields
from trio_beam.core.language_model import RequestContext
from trio_beam.core.price import Price, Prices, decimal_of
from trio_beam.core.prompt import Prompt
from trio_beam.core.usage_meter import Purse, Reservation, UsageMeter
from trio_beam.dialects.common.dialect import DIALECTS, Api, Dialect
from trio_beam.dialects.common.exchange import Exchange
from trio_beam.endpoint.cache import OpenCache, ResponseCache
from trio_beam.endpoint.capabilities import Capabilities
from trio_beam.endpoint.detect import DialectFinder
from trio_beam.endpoint.dispatch import Dispatcher
from trio_beam.endpoint.exchange import Exchanges
from trio_beam.endpoint.limiter import FairLimiter
from trio_beam.endpoint.pricing import Pricing
from trio_beam.endpoint.probe import Probe
from trio_beam.endpoint.rate_file import RateFile
from trio_beam.endpoint.rate_limiter import RateLimiter
from trio_beam.endpoint.rates import Kind
from trio_beam.endpoint.retry import RetryPolicy
from trio_beam.endpoint.sampler import DialectSampler
from trio_beam.endpoint.settings import EndpointSettings
from trio_beam.endpoint.statistics import EndpointStatistics
from trio_beam.errors import ConfigError, EndpointError
from trio_beam.event_loop import require_trio
from trio_beam.http.base_url import Address
from trio_beam.http.client import HttpClient
from trio_beam.http.clients import AsyncClient
from trio_beam.local.keys import local_api_key

T = TypeVar("T")
#: Initial and maximum number of slots with ``max_concurrent="auto"``.
_INITIAL_SIZE = 8
_MAX_SIZE = 1024


class Endpoint:
    """A completion server, as an async context manager.

    Leaving the block closes all connections. The endpoint may be entered again, also under another
    `trio.run`. It can serve any number of searches at the same time, and they share what it learns about
    its server (dialect, limits).

    Args:
        base_url: for example ``http://127.0.0.1:8000/v1``.
        model: the model's name; None: the only one that the server lists.
        api_key: sent as a bearer token; never shown. An embedded server of this user (`serve_local`,
            ``trio-beam local``) is sent its own.
        headers: sent with every request.
        extra_body: further JSON fields of every request: chat template arguments, ``reasoning_effort``,
            routing preferences, and for searches in one block response formats, grammars and tools. A
            strategy's take precedence. Fields that the search itself sets are refused; with fields that
            shape sampling no block is ``exact``.
        api: ``"completions"`` or ``"chat"``; ``"auto"``: chat for messages, completions for a string.
        dialect: a registered name; ``"auto"``: detect it.
        max_concurrent: maximum number of requests in flight, over all searches. For a detected (not named)
            server that reports its slots, never more than those. ``"auto"`` adapts the limit: it grows
            while the server responds in time, and is halved by a 429, a 503 or a timeout.
        requests_per_minute: maximum number of requests sent in any minute, over all searches, of whatever
            kind; further ones wait, which does not count against a beam's timeout. None: what the server's
            headers say (``x-ratelimit-...``), if they say something; a smaller limit that they state is kept
            in any case.
        tokens_per_minute: maximum number of prompt and generated tokens, likewise. A request counts with all
            that it may cost until its true cost is known. One that may cost more than this is refused.
        rate_file: a file on this machine through which processes share these limits: all that name it send no
            more than one of them might. It is made if there is none. None: they are this endpoint's own.
        max_n: maximum number of continuations per request; None: learn it.
        attempt_timeout: seconds for one attempt, from connecting to the last byte; None: no limit.
        connect_timeout: seconds for connecting; None: no separate limit.
        keepalive_expiry: seconds after which an idle connection is no longer used.
        max_answer_bytes: maximum size of a decompressed response body.
        hedge_after: seconds without a response after which a request is sent again, if a slot is free, and
            once more after the same time; the first response wins and the other attempts' sockets are
            closed. ``"p95"``: the 95th percentile of recent latencies. None: never.
        hedge_share: maximum share of hedges among all requests.
        stream: request server-sent events. The results are the same at more cost for both sides; it helps
            with servers that notice a cancelled request only while streaming (llama.cpp, when busy).
            ``"auto"``: if the dialect can.
        prices: of the model's tokens, for `Usage.cost` and ``max_cost``. ``"auto"``: the list of the provider
            at this address, or of the maker of a model that nobody else offers, by the package
            genai-prices (extra ``prices``); the name of a provider there: its list; a `Prices`: a list of
            your own; None: no price.
        max_cost: US dollars that all searches together may cost; a search that would exceed it ends with
            the best so far (``stop_reason="budget"``). None: no limit.
        retry: the retry policy.
        http_client: your own `httpx.AsyncClient` (certificates, hooks, a mock); it is used as it is and
            not closed. Its own timeouts apply: httpx's default of 5 seconds is too short for many blocks.
            A pool smaller than ``max_concurrent`` bounds the limit. None: a client over `TrioTransport`
            with the environment's proxies (``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY``,
            ``NO_PROXY``; never for loopback addresses).
        cache: folder (or `ResponseCache`) of responses, which are kept there and not asked for again.
            Samples without a seed are never answered from there. None: no cache.

    Raises:
        ConfigError: an argument is out of bounds.
    """

    def __init__(
        self,
        base_url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra_body: Mapping[str, Any] | None = None,
        api: Api = "auto",
        dialect: str = "auto",
        max_concurrent: int | Literal["auto"] = 100,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        rate_file: str | os.PathLike[str] | None = None,
        max_n: int | None = None,
        attempt_timeout: float | None = 300.0,
        connect_timeout: float | None = 10.0,
        keepalive_expiry: float = 4.0,
        max_answer_bytes: int = 256 * 2**20,
        hedge_after: float | Literal["p95"] | None = None,
        hedge_share: float = 0.1,
        stream: bool | Literal["auto"] = False,
        prices: Prices | str | None = "auto",
        max_cost: float | None = None,
        retry: RetryPolicy | None = None,
        http_client: AsyncClient | None = None,
        cache: str | os.PathLike[str] | ResponseCache | None = None,
    ) -> None:
        EndpointSettings(  # only to validate them
            api=api,
            max_concurrent=max_concurrent,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
            max_n=max_n,
            attempt_timeout=attempt_timeout,
            connect_timeout=connect_timeout,
            keepalive_expiry=keepalive_expiry,
            max_answer_bytes=max_answer_bytes,
            hedge_after=hedge_after,
            hedge_share=hedge_share,
            stream=stream,
            max_cost=max_cost,
        )
        # No other key opens an embedded server; one that is meant for elsewhere stays here.
        own_key = local_api_key(base_url) if isinstance(base_url, str) else None
        self._address = Address.parse(base_url, api_key=own_key or api_key, headers=headers)
        if dialect != "auto" and dialect not in DIALECTS.names():
            known = ", ".join(map(repr, ["auto", *DIALECTS.names()]))
            raise ConfigError("dialect", f"one of {known}", dialect)
        if model is not None and (not isinstance(model, str) or not model):
            raise ConfigError("model", "a name, or None for the only one there is", model)
        if rate_file is not None and (
            not isinstance(rate_file, (str, os.PathLike)) or not rate_file
        ):
            raise ConfigError("rate_file", "the path of a file, or None", rate_file)
        if retry is not None and not isinstance(retry, RetryPolicy):
            raise ConfigError("retry", "a RetryPolicy", retry)
        self._http = HttpClient(
            self._address,
            attempt_timeout=attempt_timeout,
            connect_timeout=connect_timeout,
            keepalive_expiry=keepalive_expiry,
            max_bytes=max_answer_bytes,
            client=http_client,
        )
        adaptive = max_concurrent == "auto"
        self._limiter = FairLimiter(
            _INITIAL_SIZE if max_concurrent == "auto" else max_concurrent,
            adaptive=adaptive,
            max_size=_MAX_SIZE if adaptive else None,
            ceiling=self._http.pool_size,
        )
        self._dispatcher = Dispatcher(
            http=self._http,
            limiter=self._limiter,
            rates=RateLimiter(
                requests_per_minute,
                tokens_per_minute,
                None if rate_file is None else RateFile(rate_file),
            ),
            retry=retry or RetryPolicy(),
            hedge_after=hedge_after,
            hedge_share=hedge_share,
        )
        self._purse = Purse(None if max_cost is None else decimal_of(max_cost))
        given = ResponseCache.of(cache)
        self._cache = None if given is None else OpenCache(given, self._address.identity)
        self._exchanges = Exchanges(
            dispatcher=self._dispatcher,
            base_url=self._address.base_url,
            pricing=Pricing(prices, self._address.base_url, self._purse),
            extra_body=as_fields(extra_body),
            cache=self._cache,
        )
        self._finder = DialectFinder(
            name=dialect,
            model=model,
            api=api,
            max_n=max_n,
            stream=stream,
            max_concurrent=max_concurrent,
            limiter=self._limiter,
            exchanges=self._exchanges,
            models_url=self._address.url("/models"),
        )
        self._probing = trio.Lock()
        self._capabilities: Capabilities | None = None

    @property
    def base_url(self) -> str:
        """The base URL, without credentials."""
        return self._address.base_url

    @property
    def model(self) -> str | None:
        """The model's name; None if not yet known."""
        found = self._finder.found
        return found.model if found else self._finder.model

    @property
    def extra_body(self) -> Mapping[str, Any]:
        """Further JSON fields of every request."""
        return self._exchanges.extra_body

    @property
    def price(self) -> Price | None:
        """The price of the model's tokens now; None if unknown, as before the first search or probe."""
        return self._exchanges.price

    @property
    def is_exhausted(self) -> bool:
        """Whether a request was refused for `max_cost`."""
        return self._purse.refused

    @property
    def is_open(self) -> bool:
        """Whether the endpoint is entered."""
        return self._http.is_open

    def __repr__(self) -> str:
        return f"<Endpoint {self.base_url} model={self.model!r}>"

    async def __aenter__(self) -> Self:
        """Open the endpoint, without sending anything. It may be reopened, also under another `trio.run`.

        Raises:
            TrioBeamError: the endpoint is already open, or this is not Trio.
            ConfigError: the environment specifies an unsupported proxy, or the ``rate_file`` cannot be used.
            CacheUnusable: the cache cannot be used.
        """
        require_trio("Endpoint")
        await trio.lowlevel.checkpoint()  # first, so that a cancelled entry leaves nothing open
        if not self.is_open:
            self._dispatcher.restart()
        self._http.open()
        try:
            if self._cache is not None:
                await self._cache.open()
        except BaseException:
            await self._close()  # noqa: ASYNC102  # it is shielded, with a deadline
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close all connections; leave a caller's client open."""
        await self._close()  # noqa: ASYNC102  # it is shielded, with a deadline

    async def _close(self) -> None:
        # Closing sockets does not wait, so a short shield suffices.
        with trio.move_on_after(1, shield=True):
            await self._http.aclose()
            if self._cache is not None:
                await self._cache.aclose()
        self._dispatcher.rates.close()

    def statistics(self) -> EndpointStatistics:
        """Return the current counts."""
        done = self._dispatcher

        def rate(kind: Kind) -> int | None:
            limit = done.rates.window.limit(kind)
            return int(limit) if math.isfinite(limit) else None

        return EndpointStatistics(
            in_flight=self._limiter.in_flight,
            waiting=self._limiter.waiting + done.rates.waiting,
            limit=self._limiter.size,
            attempts=done.attempts,
            retries=done.retries,
            hedges=done.hedges,
            cancelled=done.cancelled,
            cached=0 if self._cache is None else self._cache.hits,
            open_connections=self._http.open_connections,
            unasked=self._http.unasked,
            requests_per_minute=rate("requests"),
            tokens_per_minute=rate("tokens"),
        )

    async def find_model(self) -> str:
        """Return the model's name; ask the server unless it is known.

        Raises:
            EndpointError: the server does not respond, or the model is ambiguous.
        """
        context = RequestContext(meter=UsageMeter(), emit=_ignore)
        return self.model or (await self._finder.find(context)).model

    async def start(self, prompt: Prompt, context: RequestContext) -> DialectSampler:
        """Detect the server's dialect, unless known, and prepare the prompt.

        Raises:
            EndpointError: the server does not respond, or cannot be used for this prompt.
        """
        return await DialectSampler.start(self._exchanges, self._finder, prompt, context)

    async def capabilities(self, *, progress: Callable[[str], None] | None = None) -> Capabilities:
        """Test the server with about thirty small requests; the result is cached.

        Args:
            progress: called with a short description of each step.

        Raises:
            EndpointError: the server cannot be reached or cannot be searched over.
        """
        async with self._probing:
            if self._capabilities is None:
                self._capabilities = await self._probe(progress)
        return self._capabilities

    async def _probe(self, progress: Callable[[str], None] | None) -> Capabilities:
        context = RequestContext(meter=UsageMeter(), emit=_ignore)
        say = progress or _ignore
        dialect = await self._finder.find(context)
        try:
            return await self._probe_as(dialect, context, say)
        except EndpointError as error:
            unfit = error
        other = await self._finder.fall_back(dialect, unfit, context)
        return await self._probe_as(other, context, say)

    async def _probe_as(
        self, dialect: Dialect, context: RequestContext, say: Callable[[str], None]
    ) -> Capabilities:
        async def ask(exchange: Exchange[T]) -> T:
            return await self.run_exchange(exchange, context, context.meter.reservation())

        def streaming() -> Dialect:
            return type(dialect)(dialect.model, dialect.api, dialect.limits, stream=True)

        found = await Probe(ask, dialect, streaming, self.base_url, say).run()
        server = found.server and self._http.words.fit(found.server)
        return attrs.evolve(found, server=server)

    async def run_exchange(
        self, exchange: Exchange[T], context: RequestContext, reservation: Reservation
    ) -> T:
        """Run a dialect's exchange.

        Raises:
            EndpointError: a request failed and the dialect did not handle it, or the dialect raised it.
        """
        return await self._exchanges.run(exchange, context, reservation)


def _ignore(_: object) -> None:
    """Discard a message or an event."""
