"""The gateway as an ASGI application."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence

import attrs
import msgspec
import trio
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from trio_beam.core.events import Observer
from trio_beam.endpoint.replicas import Replicas
from trio_beam.errors import TrioBeamError
from trio_beam.gateway.admission import Admission
from trio_beam.gateway.aliases import MARK, Aliases, Named
from trio_beam.gateway.answering import GONE, Answering
from trio_beam.gateway.api_error import ApiError, of_library
from trio_beam.gateway.body import read_body
from trio_beam.gateway.deadlines import Deadlines
from trio_beam.gateway.door import Door, client_of
from trio_beam.gateway.limits import Limits
from trio_beam.gateway.metrics import CONTENT_TYPE, Metrics
from trio_beam.gateway.openapi import openapi_document
from trio_beam.gateway.passed import Call
from trio_beam.gateway.request import Parser, SearchRequest
from trio_beam.gateway.responses import Envelope
from trio_beam.gateway.shown import ShownSearches


@attrs.define(kw_only=True, eq=False)
class Gateway:
    """A gateway: what its requests share.

    Attributes:
        replicas: the model's servers.
        aliases: names of strategies.
        default: the strategy of the model's name alone.
        limits: what requests may ask for.
        heart_beat: seconds between two signs of life in a stream.
        keys: of clients; without any, everybody may search.
        hosts: names under which it may be called without a key; None: any.
        shown: its searches, for a page at /ui; None: there is none.
        observers_of: returns the observers of a search by its name, the id of its response.
    """

    replicas: Replicas
    aliases: Aliases = attrs.field(factory=Aliases)
    default: Named = attrs.field(factory=lambda: Named("beam_search"))
    limits: Limits = attrs.field(factory=Limits)
    heart_beat: float = 10.0
    keys: tuple[str, ...] = attrs.field(default=(), repr=False)
    hosts: tuple[str, ...] | None = None
    shown: ShownSearches | None = None
    observers_of: Callable[[str], Sequence[Observer]] = lambda _: ()
    admission: Admission = attrs.field(init=False)
    deadlines: Deadlines = attrs.field(factory=Deadlines, init=False)
    metrics: Metrics = attrs.field(init=False)
    _created: int = attrs.field(factory=lambda: int(time.time()), init=False)

    def __attrs_post_init__(self) -> None:
        self.admission = Admission(self.limits.max_searches, self.limits.max_waiting)
        self.metrics = Metrics(
            self.admission, lambda: sum(one.is_lost for one in self.replicas.all)
        )

    def all_observers_of(self, name: str, client: str) -> list[Observer]:
        """Return the observers of a client's search, with that of the page."""
        shown = [] if self.shown is None else [self.shown.observer(name, client)]
        return [*self.observers_of(name), *shown]

    def app(self) -> Door:
        """Return the application."""
        inner = Starlette(
            routes=[
                Route("/v1/chat/completions", _Searching(self, "chat"), methods=["POST"]),
                Route("/v1/completions", _Searching(self, "completions"), methods=["POST"]),
                Route("/v1/models", self._models),
                Route("/v1/models/{name:path}", self._model),
                Route("/health", self._health),
                Route("/metrics", self._metrics),
                Route("/openapi.json", self._openapi),
                *([] if self.shown is None else self.shown.routes()),
            ],
            exception_handlers={
                ApiError: _show_error,
                HTTPException: _show_http_error,
                ClientDisconnect: _show_nothing,
                Exception: _show_bug,
            },
        )
        inner.router.redirect_slashes = False  # behind a proxy it would name the wrong scheme
        return Door(inner, keys=self.keys, hosts=self.hosts)

    async def parse(self, call: Call, headers: Headers, receive: Receive) -> SearchRequest:
        """Read and understand a request.

        Raises:
            ApiError: it is not valid, or the model's name could not be found out.
        """
        body = await read_body(headers, receive, self.limits)
        try:
            model = await self.replicas.model_name()
        except TrioBeamError as error:
            raise of_library(error) from None
        parser = Parser(
            model=model,
            aliases=self.aliases,
            default=self.default,
            longest=self.limits.max_answer_tokens,
        )
        parsed = parser.parse(call, body, headers)
        strategy = self.limits.applied_to(parsed.strategy, len(parsed.prompts), parsed.given)
        return attrs.evolve(parsed, strategy=strategy)

    async def _models(self, request: Request) -> Response:
        del request
        return _json({"object": "list", "data": [self._entry(n) for n in await self._names()]})

    async def _model(self, request: Request) -> Response:
        model, name = await self._model_name(), request.path_params["name"]
        base, mark, alias = name.rpartition(MARK)
        if name != model and not (mark and base == model and self.aliases.find(alias)):
            words = f"there is no model {name[:200]!r}; GET /v1/models lists them"
            raise ApiError(status=404, message=words, param="model", code="model_not_found")
        return _json(self._entry(name))

    async def _names(self) -> list[str]:
        model = await self._model_name()
        return [model, *(f"{model}{MARK}{name}" for name in self.aliases.names())]

    async def _model_name(self) -> str:
        try:
            return await self.replicas.model_name()
        except TrioBeamError as error:
            raise of_library(error) from None

    def _entry(self, name: str) -> dict[str, object]:
        return {"id": name, "object": "model", "created": self._created, "owned_by": "trio_beam"}

    async def _health(self, request: Request) -> Response:
        """Whether a server is there, by what became of the last requests; none is asked."""
        del request
        lost = sum(one.is_lost for one in self.replicas.all)
        servers = {"servers": len(self.replicas.all), "lost": lost}
        state = {"searches_running": self.admission.running, "waiting": self.admission.waiting}
        await trio.lowlevel.checkpoint()
        if lost == len(self.replicas.all):
            return _json({"status": "no model server", **servers, **state}, 503)
        return _json({"status": "ok", **servers, **state})

    async def _metrics(self, request: Request) -> Response:
        del request
        await trio.lowlevel.checkpoint()
        return Response(self.metrics.page(), media_type=CONTENT_TYPE)

    async def _openapi(self, request: Request) -> Response:
        del request
        try:
            model = await self._model_name()
        except ApiError:  # no server is there: the models are unknown
            return _json(openapi_document())
        return _json(openapi_document(await self._names(), self.aliases.pattern(model)))


@attrs.frozen(eq=False)
class _Searching:
    """The application of one call."""

    gateway: Gateway
    call: Call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = GONE
        try:
            status = await self._answer(scope, receive, send)
        except ApiError as error:
            status = error.status
            raise
        except ClientDisconnect:
            raise
        except Exception:
            status = 500
            raise
        finally:
            self.gateway.metrics.requests.labels(self.call, str(status)).inc()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> int:
        gateway, started = self.gateway, trio.current_time()
        parsed = await gateway.parse(self.call, Headers(scope=scope), receive)
        kind = "chatcmpl" if self.call == "chat" else "cmpl"
        name, client = f"{kind}-{uuid.uuid4().hex}", client_of(scope)
        answering = Answering(
            request=parsed,
            envelope=Envelope(request=parsed, id=name, created=int(time.time())),
            observers_of=lambda search: gateway.all_observers_of(search, client),
            model=gateway.replicas,
            admission=gateway.admission,
            deadlines=gateway.deadlines,
            client=client,
            metrics=gateway.metrics,
            heart_beat=gateway.heart_beat,
            started=started,
        )
        return await answering.answer(receive, send)


def _json(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(content), status, headers, "application/json")


async def _show_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, ApiError)
    await trio.lowlevel.checkpoint()
    return _json(error.body, error.status, error.headers)


async def _show_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    words = {404: "there is no such path", 405: "this path takes another method"}
    message = (
        f"{request.method} {request.url.path[:200]}: {words.get(error.status_code, error.detail)}"
    )
    shown = ApiError(status=error.status_code, message=message)
    await trio.lowlevel.checkpoint()
    return _json(shown.body, shown.status, error.headers)


async def _show_nothing(request: Request, error: Exception) -> Response:
    """Answer a client that has gone, which sees none of it."""
    del request, error
    await trio.lowlevel.checkpoint()
    return Response(status_code=GONE)


async def _show_bug(request: Request, error: Exception) -> Response:
    del request, error
    await trio.lowlevel.checkpoint()
    shown = ApiError(status=500, message="the gateway has a bug; its log has the traceback")
    return _json(shown.body, shown.status)
