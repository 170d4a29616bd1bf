"""A completion server: one base URL with its model.

An endpoint owns connections, slots and what it has learnt of its server, and no task: every request
runs in the task that asks for it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import attrs
import trio

from trio_beam.address import Address
from trio_beam.attempt import HttpClient
from trio_beam.backoff import RetryPolicy
from trio_beam.core.config import real, whole, word
from trio_beam.core.usage import Ledger
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
from trio_beam.dialects.refusals import shorten
from trio_beam.dispatch import Dispatcher
from trio_beam.errors import (
    ConfigError,
    EndpointError,
    MalformedResponse,
    RequestRejected,
    ServerError,
)
from trio_beam.language_model import Call
from trio_beam.limiter import FairLimiter
from trio_beam.probe import Probe
from trio_beam.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    import httpx

    from trio_beam.capabilities import Capabilities
    from trio_beam.core.block import Continuation
    from trio_beam.core.config import Check
    from trio_beam.core.prompt import Prompt
    from trio_beam.core.usage import Reservation
    from trio_beam.language_model import SampleRequest

T = TypeVar("T")
_decode_models = decoder_of(ModelList)
#: With ``max_concurrent="auto"``: where to begin, and how far to go at most.
_FIRST_SIZE = 8
_GREATEST_SIZE = 1024


@attrs.frozen(kw_only=True)
class EndpointStatistics:
    """What an endpoint is doing and has done.

    Attributes:
        in_flight: requests that hold a slot now.
        waiting: requests that wait for one.
        limit: most requests in flight, now.
        attempts: requests sent so far, retries included.
        retries: how many of them repeated one that had failed.
        hedges: how many of them were sent because another had no answer yet.
        cancelled: how many of them were given up before their answer was whole.
        open_connections: sockets open now, idle ones included; None with an ``http_client`` of your own.
    """

    in_flight: int
    waiting: int
    limit: int
    attempts: int
    retries: int
    hedges: int
    cancelled: int
    open_connections: int | None


def _or_word(word: str, check: Check) -> Check:
    """A certain word, or what another validator wants."""

    def either(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if isinstance(value, str) and value == word:
            return
        try:
            check(instance, attribute, value)
        except ConfigError as error:
            raise ConfigError(error.field, f"{word!r} or {error.bound}", value) from None

    return either


@attrs.define(kw_only=True)
class _Settings:
    """The arguments that are checked by the same validators as a configuration's fields."""

    api: Api = attrs.field(validator=word("auto", "completions", "chat"))
    max_concurrent: int | Literal["auto"] = attrs.field(validator=_or_word("auto", whole(1)))
    max_n: int | None = attrs.field(validator=whole(1, optional=True))
    attempt_timeout: float | None = attrs.field(validator=real(0, above=True, optional=True))
    connect_timeout: float | None = attrs.field(validator=real(0, above=True, optional=True))
    keepalive_expiry: float = attrs.field(validator=real(0))
    max_answer_bytes: int = attrs.field(validator=whole(1))
    hedge_after: float | Literal["p95"] | None = attrs.field(
        validator=_or_word("p95", real(0, above=True, optional=True))
    )
    hedge_share: float = attrs.field(validator=real(0, most=1))
    stream: bool = attrs.field(validator=word(True, False))


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
        http_client: httpx.AsyncClient | None = None,
    ) -> None:
        self._settings = _Settings(
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
        self._model = model
        self._dialect_name = dialect
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
        )
        self._dispatcher = Dispatcher(
            http=self._http,
            limiter=self._limiter,
            retry=retry or RetryPolicy(),
            hedge_after=hedge_after,
            hedge_share=hedge_share,
        )
        self._finding = trio.Lock()
        self._probing = trio.Lock()
        self._capabilities: Capabilities | None = None
        self._dialect: Dialect | None = None

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
        await trio.lowlevel.checkpoint()  # first: a cancelled entry leaves nothing open
        self._http.open()
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
        """What the endpoint is doing now and has done."""
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
        )

    async def start(self, prompt: Prompt, call: Call) -> _EndpointSampler:
        """Find out what the server is, unless that is known, and let its dialect take the prompt.

        Raises:
            EndpointError: as its attributes say.
        """
        async with self._finding:
            if self._dialect is None:
                self._dialect = await self._find_dialect(call)
        taken = await self.run_exchange(self._dialect.take(prompt), call, call.ledger.reservation())
        return _EndpointSampler(self, self._dialect, taken)

    async def capabilities(self, *, progress: Callable[[str], None] | None = None) -> Capabilities:
        """What the server can do: asked, and tried by some twenty small requests. Once; then it is known.

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
        with trio.CancelScope() as scope:
            # Without a limit of its own: the scope only carries the stopwatch.
            stopwatch = Stopwatch(scope, math.inf)
            call = Call(ledger=Ledger(), emit=_ignore, stopwatch=stopwatch)

            async def ask(exchange: Exchange[T]) -> T:
                return await self.run_exchange(exchange, call, call.ledger.reservation())

            async with self._finding:
                if self._dialect is None:
                    self._dialect = await self._find_dialect(call)
            dialect = self._dialect

            def streaming() -> Dialect:
                return type(dialect)(dialect.model, dialect.api, dialect.limits, stream=True)

            return await Probe(ask, dialect, streaming, self.base_url, progress or _ignore).run()
        raise AssertionError("nobody cancels this scope")

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
        slots = await self.run_exchange(dialect.configure(), call, call.ledger.reservation())
        if slots is not None:
            wanted = self._settings.max_concurrent
            self._limiter.resize(slots if wanted == "auto" else min(wanted, slots))
        return dialect

    def _make_dialect(self, name: str, model: str) -> Dialect:
        settings, kind = self._settings, DIALECTS[name]
        if settings.stream and not kind.can_stream:
            raise ConfigError(
                "stream", f"False with the dialect {name!r}, which reads no streams", True
            )
        return kind(model, settings.api, Limits(n=settings.max_n), settings.stream)

    async def _list_models(self, call: Call) -> ModelList:
        try:
            return await self._dispatcher.send(
                WireRequest(path="/models", decode=_decode_models), call, call.ledger.reservation()
            )
        except (MalformedResponse, RequestRejected, ServerError) as error:
            # Without such a list, or not for this key; the search's own requests will tell.
            lasting = not isinstance(error, ServerError) or error.status == 501
            if self._model is None or not lasting:
                raise
            return ModelList(data=[])

    def _only(self, models: ModelList) -> str:
        names = [entry.id for entry in models.data]
        if len(names) == 1:
            return names[0]
        listed = shorten(", ".join(names[:20])) or "none"
        raise RequestRejected(
            f"name the model: the server lists {len(names)} ({listed})",
            url=self._address.url("/models"),
            status=200,
        )

    # -- exchanges

    async def run_exchange(self, exchange: Exchange[T], call: Call, reservation: Reservation) -> T:
        """Carry out the requests of a dialect's exchange."""
        try:
            request = next(exchange)
            while True:
                try:
                    answer = await self._dispatcher.send(request, call, reservation)
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


def _ignore(_: object) -> None:
    """An observer of nothing."""


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
        reservation = call.ledger.reservation()
        ask = self._dialect.enumerate if request.enumerate else self._dialect.sample
        exchange = ask(self._taken, request)
        answer = await self._endpoint.run_exchange(exchange, call, reservation)
        generated = sum(continuation.generated for continuation in answer.continuations)
        reservation.settle(generated + answer.generated_besides)
        call.ledger.prompt_tokens += answer.prompt_tokens
        call.ledger.completion_tokens += answer.generated_besides
        return answer.continuations
