"""A completion server: one base URL with its model.

The only module besides the transport that imports httpx, and the place where its errors become
ours. An endpoint owns a connection pool and a limit on concurrency, and no task: every request
runs in the task that asks for it.
"""

from __future__ import annotations

import math
import random
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeVar

import attrs
import httpx
import msgspec
import trio

from trio_beam.address import Address
from trio_beam.backoff import GiveUp, RetryPolicy, decide
from trio_beam.core.config import real, whole, word
from trio_beam.core.events import RequestRetried
from trio_beam.dialects.base import (
    DIALECTS,
    Api,
    Dialect,
    Exchange,
    ModelList,
    WireRequest,
    decoder_of,
)
from trio_beam.dialects.limits import Limits
from trio_beam.dialects.refusals import describe, error_of
from trio_beam.errors import (
    AttemptTimeout,
    ConfigError,
    ConnectionFailed,
    EndpointError,
    MalformedResponse,
    RequestRejected,
    TrioBeamError,
)
from trio_beam.transport import TrioTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType

    from trio_beam.core.block import Continuation
    from trio_beam.core.prompt import Prompt
    from trio_beam.language_model import Call, SampleRequest

T = TypeVar("T")
_decode_models = decoder_of(ModelList)


@attrs.frozen(kw_only=True)
class EndpointStatistics:
    """What an endpoint is doing and has done.

    Attributes:
        in_flight: requests that hold a slot now.
        waiting: requests that wait for one.
        attempts: requests sent so far, retries included.
        retries: how many of them repeated one that had failed.
        cancelled: how many of them were given up before their answer was whole.
        open_connections: sockets open now, idle ones included; None with an ``http_client`` of your own.
    """

    in_flight: int
    waiting: int
    attempts: int
    retries: int
    cancelled: int
    open_connections: int | None


@attrs.define(kw_only=True)
class _Settings:
    """The arguments that are checked by the same validators as a configuration's fields."""

    api: Api = attrs.field(validator=word("auto", "completions", "chat"))
    max_concurrent: int = attrs.field(validator=whole(1))
    max_n: int | None = attrs.field(validator=whole(1, optional=True))
    attempt_timeout: float | None = attrs.field(validator=real(0, above=True, optional=True))
    connect_timeout: float | None = attrs.field(validator=real(0, above=True, optional=True))
    keepalive_expiry: float = attrs.field(validator=real(0))


class Endpoint:
    """A completion server, as an async context manager.

    Leaving the block closes every connection. An endpoint may serve any number of searches at the
    same time; what it learns of its server (its dialect, its limits) serves all of them.

    Args:
        base_url: for example ``http://127.0.0.1:8000/v1``.
        model: the model's name; None takes the only one that the server lists.
        api_key: sent as a bearer token; shown nowhere.
        headers: sent with every request.
        api: ``"completions"`` or ``"chat"``; ``"auto"``: chat for messages, completions for a string.
        dialect: a registered name; ``"auto"`` asks the server what it is.
        max_concurrent: most requests in flight, all searches together. A server that was found
            (not named) and that says how many slots it has gets no more than that.
        max_n: most continuations that one request may ask for; None: to be found out.
        attempt_timeout: seconds for one attempt, from connecting to the last byte; None: no limit.
        connect_timeout: seconds for connecting; None: no limit of its own.
        keepalive_expiry: seconds after which an idle connection is not used again.
        retry: how often a request is sent, and when.
        http_client: an `httpx.AsyncClient` of your own (proxies, client certificates, a mock); it is
            used as it is and not closed.

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
        api: Api = "auto",
        dialect: str = "auto",
        max_concurrent: int = 100,
        max_n: int | None = None,
        attempt_timeout: float | None = 300.0,
        connect_timeout: float | None = 10.0,
        keepalive_expiry: float = 4.0,
        retry: RetryPolicy | None = None,
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        self._settings = _Settings(
            api=api,
            max_concurrent=max_concurrent,
            max_n=max_n,
            attempt_timeout=attempt_timeout,
            connect_timeout=connect_timeout,
            keepalive_expiry=keepalive_expiry,
        )
        self._address = Address.parse(base_url, api_key=api_key, headers=headers)
        if dialect != "auto":
            DIALECTS.check("dialect", dialect)
        if model is not None and (not isinstance(model, str) or not model):
            raise ConfigError("model", "a name, or None for the only one there is", model)
        if retry is not None and not isinstance(retry, RetryPolicy):
            raise ConfigError("retry", "a RetryPolicy", retry)
        self._model = model
        self._dialect_name = dialect
        self._retry = retry or RetryPolicy()
        self._own_client = http_client
        self._client: httpx.AsyncClient | None = None
        self._transport: TrioTransport | None = None
        self._limiter = trio.CapacityLimiter(max_concurrent)
        self._finding = trio.Lock()
        self._dialect: Dialect | None = None
        self._random = random.Random()
        self._attempts = self._retries = self._cancelled = 0

    @property
    def base_url(self) -> str:
        """Where the server is, without credentials."""
        return self._address.base_url

    @property
    def model(self) -> str | None:
        """The model's name; None if it is not known yet."""
        return self._dialect.model if self._dialect else self._model

    def __repr__(self) -> str:
        return f"<Endpoint {self.base_url} model={self.model!r}>"

    async def __aenter__(self) -> Self:
        """Open; sends nothing."""
        if self._client is not None:
            raise TrioBeamError("this endpoint is open already")
        if self._own_client is not None:
            self._client = self._own_client
        else:
            self._transport = TrioTransport(keepalive_expiry=self._settings.keepalive_expiry)
            # Proxies and .netrc of the environment are not read: for those, bring a client.
            self._client = httpx.AsyncClient(transport=self._transport, trust_env=False)
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close every connection; a client of the caller's stays open."""
        client, self._client = self._client, None
        if client is not None and self._own_client is None:
            # Sockets are closed without waiting for anything, so the shield is short.
            with trio.move_on_after(1, shield=True):
                await client.aclose()

    def statistics(self) -> EndpointStatistics:
        """What the endpoint is doing now and has done."""
        limiter = self._limiter.statistics()
        own = self._own_client is not None
        return EndpointStatistics(
            in_flight=limiter.borrowed_tokens,
            waiting=limiter.tasks_waiting,
            attempts=self._attempts,
            retries=self._retries,
            cancelled=self._cancelled,
            open_connections=None
            if own
            else self._transport.open_connections
            if self._transport
            else 0,
        )

    async def start(self, prompt: Prompt, call: Call) -> _EndpointSampler:
        """Find out what the server is, unless that is known, and let its dialect take the prompt.

        Raises:
            EndpointError: as its attributes say.
        """
        async with self._finding:
            if self._dialect is None:
                self._dialect = await self._find_dialect(call)
        taken = await self.run_exchange(self._dialect.take(prompt), call)
        return _EndpointSampler(self, self._dialect, taken)

    # -- what is this server?

    async def _find_dialect(self, call: Call) -> Dialect:
        name, model = self._dialect_name, self._model
        if name != "auto" and model is not None:
            return self._make_dialect(name, model)
        models = await self._list_models(call)
        if name != "auto":
            return self._make_dialect(name, self._only(models))
        known = [DIALECTS[word] for word in DIALECTS.names()]
        found = next((kind.name for kind in known if kind.recognises(models)), "openai")
        dialect = self._make_dialect(found, model or self._only(models))
        slots = await self.run_exchange(dialect.configure(), call)
        if slots:
            self._limiter.total_tokens = min(self._settings.max_concurrent, slots)
        return dialect

    def _make_dialect(self, name: str, model: str) -> Dialect:
        return DIALECTS[name](model, self._settings.api, Limits(n=self._settings.max_n))

    async def _list_models(self, call: Call) -> ModelList:
        try:
            return await self._send(WireRequest(path="/models", decode=_decode_models), call)
        except (MalformedResponse, RequestRejected) as error:
            no_list = not isinstance(error, RequestRejected) or error.status in (404, 405, 501)
            if self._model is None or not no_list:
                raise
            return ModelList(data=[])  # a server without such a list, but the model is named

    def _only(self, models: ModelList) -> str:
        names = [entry.id for entry in models.data]
        if len(names) == 1:
            return names[0]
        listed = ", ".join(names[:20]) or "none"
        raise RequestRejected(
            f"name the model: the server lists {len(names)} ({listed})",
            url=self._address.url("/models"),
            status=200,
        )

    # -- exchanges

    async def run_exchange(self, exchange: Exchange[T], call: Call) -> T:
        """Carry out the requests of a dialect's exchange."""
        try:
            request = next(exchange)
            while True:
                try:
                    answer = await self._send(request, call)
                except EndpointError as error:
                    request = exchange.throw(error)
                else:
                    request = exchange.send(answer)
        except StopIteration as stop:
            result: T = stop.value
            return result
        except EndpointError as error:
            if not error.url:  # found by the dialect in an answer that looked well
                error.url = self._address.base_url
            error.attempts = error.attempts or 1
            raise
        finally:
            exchange.close()

    async def _send(self, request: WireRequest[T], call: Call) -> T:
        """Send a request, again if need be, and decode its answer."""
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._slot(call):
                    return await self._attempt(request, call)
            except EndpointError as error:
                error.attempts = attempt
                decision = decide(
                    error,
                    attempt,
                    self._retry,
                    jitter=self._random.random(),
                    remaining=call.stopwatch.remaining,
                )
                if isinstance(decision, GiveUp):
                    raise
                retried = RequestRetried(
                    error=error,
                    attempt=attempt,
                    attempts=self._retry.attempts,
                    wait=decision.seconds,
                )
            call.emit(retried)
            self._retries += 1
            call.ledger.retries += 1
            await trio.sleep(retried.wait)

    @asynccontextmanager
    async def _slot(self, call: Call) -> AsyncIterator[None]:
        """Hold a place among the requests in flight; waiting for it does not use up the beam's time."""
        borrower = object()
        try:
            self._limiter.acquire_on_behalf_of_nowait(borrower)
        except trio.WouldBlock:
            with call.stopwatch.waiting():
                await self._limiter.acquire_on_behalf_of(borrower)
        try:
            yield
        finally:
            self._limiter.release_on_behalf_of(borrower)

    async def _attempt(self, request: WireRequest[T], call: Call) -> T:
        url = self._address.url(request.path, at_root=request.at_root)
        limit = self._settings.attempt_timeout
        self._attempts += 1
        call.ledger.requests += 1
        try:
            with trio.move_on_after(math.inf if limit is None else limit) as scope:
                response = await self._exchange(request, url)
        except trio.Cancelled:
            self._cancelled += 1
            call.ledger.cancelled += 1
            raise
        if scope.cancelled_caught:
            self._cancelled += 1
            call.ledger.cancelled += 1
            raise AttemptTimeout(f"no answer within attempt_timeout={limit:g} s", url=url)
        return self._read(request, response, url)

    async def _exchange(self, request: WireRequest[Any], url: str) -> httpx.Response:
        if self._client is None:
            raise TrioBeamError(
                "the endpoint is not open: use it inside `async with Endpoint(...)`"
            )
        timeout = httpx.Timeout(None, connect=self._settings.connect_timeout)
        built = self._client.build_request(
            "GET" if request.body is None else "POST",
            url,
            content=request.body,
            headers=self._address.headers,
            timeout=timeout,
        )
        try:
            return await self._client.send(built)
        except httpx.ConnectTimeout as error:
            seconds = self._settings.connect_timeout
            raise AttemptTimeout(f"no connection within {seconds:g} s", url=url) from error
        except httpx.TimeoutException as error:
            raise AttemptTimeout(self._address.redact(str(error)), url=url) from error
        except httpx.DecodingError as error:
            raise MalformedResponse(
                f"the body cannot be decoded: {error}", url=url, transient=True
            ) from error
        except (httpx.TransportError, httpx.InvalidURL) as error:
            words = self._address.redact(str(error)) or type(error).__name__
            kind = "cannot connect" if isinstance(error, httpx.ConnectError) else "connection lost"
            raise ConnectionFailed(f"{kind}: {words}", url=url) from error

    def _read(self, request: WireRequest[T], response: httpx.Response, url: str) -> T:
        body = response.content
        if not response.is_success:
            body = self._address.redact(body.decode("utf-8", "replace")).encode()
            raise error_of(response.status_code, response.headers, body, url=url, now=time.time())
        try:
            return request.decode(body)
        except msgspec.ValidationError as error:
            shown = self._address.redact(describe(body))
            raise MalformedResponse(f"unexpected answer: {error}: {shown}", url=url) from None
        except msgspec.DecodeError:
            shown = self._address.redact(describe(body))
            # A page of HTML is a wrong address, not a broken body.
            transient = "html" not in response.headers.get("content-type", "")
            raise MalformedResponse(
                f"the answer is not JSON: {shown}", url=url, transient=transient
            ) from None


class _EndpointSampler:
    """An endpoint that has taken a prompt."""

    def __init__(self, endpoint: Endpoint, dialect: Dialect, taken: Any) -> None:
        self._endpoint = endpoint
        self._dialect = dialect
        self._taken = taken

    @property
    def most_per_request(self) -> int | None:
        return self._dialect.limits.n

    async def sample(self, request: SampleRequest, call: Call) -> Sequence[Continuation]:
        exchange = self._dialect.sample(self._taken, request)
        answer = await self._endpoint.run_exchange(exchange, call)
        call.ledger.prompt_tokens += answer.prompt_tokens
        return answer.continuations
