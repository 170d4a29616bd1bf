"""Detect a server's dialect, model and number of slots."""

from __future__ import annotations

import re
from typing import Any, Literal

import attrs
import msgspec
import trio

from trio_beam.core.extra_body import has_tools
from trio_beam.core.language_model import RequestContext
from trio_beam.core.prompt import Prompt
from trio_beam.dialects.common.dialect import DIALECTS, Api, Dialect
from trio_beam.dialects.common.encoding import decoder_of
from trio_beam.dialects.common.exchange import ModelEntry, ModelList, WireRequest
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.common.negotiation import is_about_content
from trio_beam.endpoint.exchange import Exchanges
from trio_beam.endpoint.limiter import FairLimiter
from trio_beam.errors import (
    ConfigError,
    EndpointError,
    MalformedResponse,
    RequestRejected,
    ServerError,
)


class _Listed(msgspec.Struct):
    data: list[ModelEntry | str] | None = None
    models: list[ModelEntry | str] | None = None


_decode_either = decoder_of(list[ModelEntry | str] | _Listed)


def _decode_models(body: bytes) -> ModelList:
    response: list[ModelEntry | str] | _Listed = _decode_either(body)
    if isinstance(response, _Listed):
        if response.data is None and response.models is None:
            raise msgspec.ValidationError("Object missing required field `data`")
        response = response.data or response.models or []
    return ModelList(data=[ModelEntry(id=row) if isinstance(row, str) else row for row in response])


#: Refusals of a call, or of a prompt as token ids.
_ABOUT_CALL = re.compile(
    r"route|endpoint|unknown (path|url)|prompt.{0,30}(must|should|expected|valid).{0,30}string",
    re.IGNORECASE,
)
#: The dialect for servers that no other dialect recognises.
_FALLBACK = "openai"


def _is_misfit(dialect: Dialect, error: EndpointError) -> bool:
    """Return whether an error means that the server does not speak a dialect."""
    if dialect.name == _FALLBACK:
        return False
    match error:
        case RequestRejected(status=403 | 404 | 405 | 410):
            return not is_about_content(error)
        case RequestRejected(status=400 | 422):
            return _ABOUT_CALL.search(error.message) is not None
        case ServerError(status=501):
            return True
        case MalformedResponse(transient=False):
            return True
        case _:
            return False


@attrs.define(kw_only=True, eq=False)
class DialectFinder:
    """Detects the dialect of an endpoint's server, once.

    Attributes:
        name: a registered name; ``"auto"``: detect it.
        model: the model's name; None: the only one that the server lists.
        api: which OpenAI call to use.
        max_n: maximum number of choices per request; None: learn it.
        stream: whether to request streamed responses; "auto": if the dialect can.
        max_concurrent: the caller's limit on requests in flight.
        limiter: resized to the number of slots that a detected server reports.
        exchanges: runs exchanges with the server.
        models_url: for the error about an ambiguous model.
        found: the dialect, once known.
    """

    name: str
    model: str | None
    api: Api
    max_n: int | None
    stream: bool | Literal["auto"]
    max_concurrent: int | Literal["auto"]
    limiter: FairLimiter
    exchanges: Exchanges
    models_url: str
    found: Dialect | None = attrs.field(default=None, init=False)
    _by_text: Dialect | None = attrs.field(default=None, init=False)
    _lock: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    async def find(self, context: RequestContext) -> Dialect:
        """Return the dialect; concurrent callers wait for the first one.

        Raises:
            ConfigError: streams are requested but the dialect does not support them.
            EndpointError: the server does not respond, or the model is ambiguous.
        """
        async with self._lock:
            if self.found is None:
                self.found = await self._find(context)
        return self.found

    async def _find(self, context: RequestContext) -> Dialect:
        name, model = self.name, self.model
        if name != "auto" and model is not None:
            return self._make(name, model)
        models = await self._list_models(context)
        if name != "auto":
            return self._make(name, self._only_model(models))
        known = [DIALECTS[word] for word in DIALECTS.names()]
        kind = next((kind.name for kind in known if kind.recognises(models)), _FALLBACK)
        dialect = self._make(kind, model or self._only_model(models))
        slots = await self.exchanges.run(dialect.configure(), context, context.meter.reservation())
        if slots is not None:
            wanted = self.max_concurrent
            self.limiter.resize(slots if wanted == "auto" else min(wanted, slots))
        return dialect

    def _make(self, name: str, model: str, **more: Any) -> Dialect:
        kind = DIALECTS[name]
        stream = kind.can_stream if self.stream == "auto" else self.stream
        if stream and not kind.can_stream:
            raise ConfigError(
                "stream", f"False with the dialect {name!r}, which does not support streams", True
            )
        return kind(model, self.api, Limits(n=self.max_n), stream, **more)

    def check_tools(self, prompt: Prompt) -> None:
        """Raise `ConfigError` if a prompt has tools but cannot go to the chat call, which reads calls."""
        if not has_tools(prompt.extra_body):
            return
        if self.api == "completions":
            raise ConfigError("api", "'chat' or 'auto' with tools", self.api)
        if prompt.messages is None and self.api == "auto":
            error = ConfigError("extra_body", "without tools for a text", prompt.text)
            error.args = (
                "extra_body cannot have tools for a text to continue: give chat messages, or api='chat'",
            )
            raise error

    async def fall_back(
        self, dialect: Dialect, error: EndpointError, context: RequestContext
    ) -> Dialect:
        """Return the dialect to use instead of a detected one that turned out wrong.

        Args:
            dialect: the dialect in use.
            error: of a request in that dialect.
            context: of the search whose request failed.

        Raises:
            EndpointError: `error` itself, unless it means that a detected, unproved dialect is wrong.
        """
        async with self._lock:
            if dialect is self._by_text:
                raise error  # it was not detected, but chosen for what the prompt needs
            if self.found is not None and self.found is not dialect:
                return self.found  # another search has replaced it
            if self.name != "auto" or dialect.proved or not _is_misfit(dialect, error):
                raise error
            other = self._make(_FALLBACK, dialect.model)
            reason = f"its model list looks like {dialect.name!r}, but it does not speak it: {error.message}"
            other.notes = (*other.notes, reason)
            await self.exchanges.run(other.configure(), context, context.meter.reservation())
            self.found = other
        return other

    async def by_text(self, dialect: Dialect, context: RequestContext) -> Dialect:
        """Return a dialect for beams without token ids and for tool calls, for use beside `dialect`.

        Raises:
            EndpointError: as `find`.
        """
        async with self._lock:
            if self._by_text is None:
                other = self._make(_FALLBACK, dialect.model, plain=dialect.openai_plain)
                if (
                    self.name == "auto"
                ):  # else it was named, as a server of a kind that continues chats
                    reservation = context.meter.reservation()
                    await self.exchanges.run(other.configure(), context, reservation)
                self._by_text = other
        return self._by_text

    async def _list_models(self, context: RequestContext) -> ModelList:
        try:
            return await self.exchanges.dispatcher.send(
                WireRequest(path="/models", decode=_decode_models),
                context,
                context.meter.reservation(),
            )
        except (MalformedResponse, RequestRejected, ServerError) as error:
            # There is no list, or not for this key; the search's own requests will show more.
            lasting = not isinstance(error, ServerError) or error.status == 501
            if self.model is None or not lasting:
                raise
            return ModelList(data=[])

    def _only_model(self, models: ModelList) -> str:
        words = self.exchanges.dispatcher.http.words
        names = [entry.model_name for entry in models.rows]
        # The name is shown wherever the model is, so it must not contain a secret.
        if len(names) == 1 and words.fit(names[0]) == names[0]:
            return names[0]
        listed = words.fit(", ".join(names[:20])) or "none"
        raise RequestRejected(
            f"name the model: the server lists {len(names)} ({listed})",
            url=self.models_url,
            status=200,
        )
