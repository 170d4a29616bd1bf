"""A completion server: one base URL with its model.

An endpoint owns connections, slots and what it has learnt of its server, and no task: every request
runs in the task that asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import attrs
import trio

from trio_beam.core.language_model import RequestContext
from trio_beam.core.prompt import Prompt
from trio_beam.core.usage import Reservation, UsageMeter
from trio_beam.core.validation import boolean, integer, number, one_of
from trio_beam.dialects.common.dialect import DIALECTS, Api, Dialect, Exchange
from trio_beam.dialects.common.extra_body import ExtraBody
from trio_beam.endpoint.capabilities import Capabilities
from trio_beam.endpoint.detect import DialectFinder
from trio_beam.endpoint.dispatch import Dispatcher
from trio_beam.endpoint.exchange import Exchanges
from trio_beam.endpoint.limiter import FairLimiter
from trio_beam.endpoint.probe import Probe
from trio_beam.endpoint.retry import RetryPolicy
from trio_beam.endpoint.sampler import DialectSampler
from trio_beam.errors import ConfigError, EndpointError
from trio_beam.http.base_url import Address
from trio_beam.http.client import HttpClient
from trio_beam.http.clients import AsyncClient

T = TypeVar("T")
#: With ``max_concurrent="auto"``: where to begin, and how far to go at most.
_FIRST_SIZE = 8
_GREATEST_SIZE = 1024


@attrs.frozen(kw_only=True)
class EndpointStatistics:
    """The present and past work of an endpoint, in numbers.

    Attributes:
        in_flight: requests that hold a slot now.
        waiting: requests that wait for one.
        limit: most requests in flight, now.
        attempts: requests sent so far, retries included.
        retries: how many of them repeated one that had failed.
        hedges: how many of them were sent because another had no answer yet.
        cancelled: how many of them were given up before their response was whole.
        open_connections: sockets open now, idle ones included; None with an ``http_client`` of your own.
        unasked: connections closed, since it was opened, because bytes came on them that nobody had asked for;
            None as above.
    """

    in_flight: int
    waiting: int
    limit: int
    attempts: int
    retries: int
    hedges: int
    cancelled: int
    open_connections: int | None
    unasked: int | None = None


@attrs.define(kw_only=True)
class _Settings:
    """The arguments that are checked by declarations like those of a configuration."""

    api: Api = one_of("auto", "completions", "chat")
    max_concurrent: int | Literal["auto"] = integer(minimum=1, choices=("auto",))
    max_n: int | None = integer(minimum=1, optional=True)
    attempt_timeout: float | None = number(above=0, optional=True)
    connect_timeout: float | None = number(above=0, optional=True)
    keepalive_expiry: float = number(minimum=0)
    max_answer_bytes: int = integer(minimum=1)
    hedge_after: float | Literal["p95"] | None = number(above=0, optional=True, choices=("p95",))
    hedge_share: float = number(minimum=0, maximum=1)
    stream: bool = boolean()


class Endpoint:
    """A completion server, as an async context manager.

    Leaving the block closes every connection. It may be entered again afterwards, also under another
    `trio.run`. An endpoint may serve any number of searches at the same time; what it learns of its
    server (its dialect, its limits) serves all of them.

    Args:
        base_url: for example ``http://127.0.0.1:8000/v1``.
        model: the model's name; None takes the only one that the server lists.
        api_key: sent as a bearer token; shown nowhere.
        headers: sent with every request.
        extra_body: further fields of every request, as JSON values: arguments of a chat template,
            ``reasoning_effort``, a router's preferences. What the search sets itself is refused; with
            fields that shape the samples no block is ``exact``.
        api: ``"completions"`` or ``"chat"``; ``"auto"``: chat for messages, completions for a string.
        dialect: a registered name; ``"auto"`` asks the server what it is.
        max_concurrent: most requests in flight, all searches together. A server that was found
            (not named) and that says how many slots it has gets no more than that. ``"auto"`` finds a
            limit: it grows while the server answers in time, and is halved by a 429, a 503 or a timeout.
        max_n: most continuations that one request may ask for; None: to be found out.
        attempt_timeout: seconds for one attempt, from connecting to the last byte; None: no limit.
        connect_timeout: seconds for connecting; None: no limit of its own.
        keepalive_expiry: seconds after which an idle connection is not used again.
        max_answer_bytes: longest body that is read, decompressed.
        hedge_after: seconds without an answer after which a request is sent once more, if a slot is
            free, and a last time after as many again; the first answer wins and the other attempts'
            sockets are closed. ``"p95"``: after the time within which 95 % of the last answers came.
            None: never.
        hedge_share: most such extra requests, as a share of all.
        stream: ask for answers as streams of server-sent events. The results are the same; it costs more
            work on both sides, and is for servers that notice only while they stream that a request was
            cancelled (llama.cpp, when it is busy).
        retry: how often a request is sent, and when.
        http_client: an `httpx.AsyncClient` of your own (certificates, hooks, a mock); it is
            used as it is and not closed. Its own timeouts hold: httpx's default of 5 seconds is shorter
            than many a block takes. If its pool is smaller than ``max_concurrent``, that is the limit.
            None: a client over `TrioTransport`, with the proxies of the environment
            (``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY``, ``NO_PROXY``; never for the loopback).

    Raises:
        ConfigError: an argument is out of its bounds.
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
        max_n: int | None = None,
        attempt_timeout: float | None = 300.0,
        connect_timeout: float | None = 10.0,
        keepalive_expiry: float = 4.0,
        max_answer_bytes: int = 256 * 2**20,
        hedge_after: float | Literal["p95"] | None = None,
        hedge_share: float = 0.1,
        stream: bool = False,
        retry: RetryPolicy | None = None,
        http_client: AsyncClient | None = None,
    ) -> None:
        _Settings(  # made only to be checked
            api=api,
            max_concurrent=max_concurrent,
            max_n=max_n,
            attempt_timeout=attempt_timeout,
            connect_timeout=connect_timeout,
            keepalive_expiry=keepalive_expiry,
            max_answer_bytes=max_answer_bytes,
            hedge_after=hedge_after,
            hedge_share=hedge_share,
            stream=stream,
        )
        self._address = Address.parse(base_url, api_key=api_key, headers=headers)
        if dialect != "auto" and dialect not in DIALECTS.names():
            known = ", ".join(map(repr, ["auto", *DIALECTS.names()]))
            raise ConfigError("dialect", f"one of {known}", dialect)
        if model is not None and (not isinstance(model, str) or not model):
            raise ConfigError("model", "a name, or None for the only one there is", model)
        if retry is not None and not isinstance(retry, RetryPolicy):
            raise ConfigError("retry", "a RetryPolicy", retry)
        self._http = HttpClient(
            self._address,
            attempt_timeout=attempt_timeout,
            connect_timeout=connect_timeout,
            keepalive_expiry=keepalive_expiry,
            most_bytes=max_answer_bytes,
            client=http_client,
        )
        adaptive = max_concurrent == "auto"
        self._limiter = FairLimiter(
            _FIRST_SIZE if max_concurrent == "auto" else max_concurrent,
            adaptive=adaptive,
            most=_GREATEST_SIZE if adaptive else None,
            ceiling=self._http.pool_size,
        )
        self._dispatcher = Dispatcher(
            http=self._http,
            limiter=self._limiter,
            retry=retry or RetryPolicy(),
            hedge_after=hedge_after,
            hedge_share=hedge_share,
        )
        self._exchanges = Exchanges(
            dispatcher=self._dispatcher,
            base_url=self._address.base_url,
            extra_body=ExtraBody.parse(extra_body),
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
        """Where the server is, without credentials."""
        return self._address.base_url

    @property
    def model(self) -> str | None:
        """The model's name; None if it is not known yet."""
        found = self._finder.found
        return found.model if found else self._finder.model

    @property
    def is_open(self) -> bool:
        """Whether it was entered, and not left again."""
        return self._http.is_open

    def __repr__(self) -> str:
        return f"<Endpoint {self.base_url} model={self.model!r}>"

    async def __aenter__(self) -> Self:
        """Open; sends nothing. What was closed may be opened again, also under another `trio.run`.

        Raises:
            TrioBeamError: it is open.
            ConfigError: the environment names a proxy that cannot be used.
        """
        await trio.lowlevel.checkpoint()  # first: a cancelled entry leaves nothing open
        self._http.open()
        self._dispatcher.restart()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection; a client of the caller's stays open."""
        # Sockets are closed without waiting for anything, so the shield is short.
        with trio.move_on_after(1, shield=True):
            await self._http.aclose()

    def statistics(self) -> EndpointStatistics:
        """Return the counts as they stand."""
        done = self._dispatcher
        return EndpointStatistics(
            in_flight=self._limiter.in_flight,
            waiting=self._limiter.waiting,
            limit=self._limiter.size,
            attempts=done.attempts,
            retries=done.retries,
            hedges=done.hedges,
            cancelled=done.cancelled,
            open_connections=self._http.open_connections,
            unasked=self._http.unasked,
        )

    async def start(self, prompt: Prompt, context: RequestContext) -> DialectSampler:
        """Find out what the server is, unless that is known, and let its dialect prepare the prompt.

        Raises:
            EndpointError: as its attributes say.
        """
        return await DialectSampler.start(self._exchanges, self._finder, prompt, context)

    async def capabilities(self, *, progress: Callable[[str], None] | None = None) -> Capabilities:
        """Find out what the server can do, by some twenty small requests; the second call sends none.

        Args:
            progress: told in a few words what is being tried.

        Raises:
            EndpointError: the server cannot be reached, or not be searched over.
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
        """Carry out the requests of a dialect's exchange.

        Raises:
            EndpointError: the dialect did not know what to do about it, or found it.
        """
        return await self._exchanges.run(exchange, context, reservation)


def _ignore(_: object) -> None:
    """An observer of nothing."""
