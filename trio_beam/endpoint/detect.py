"""Finding out about a server: its dialect, its model, and as many slots as it says it has."""

from __future__ import annotations

from typing import Literal

import attrs
import msgspec
import trio

from trio_beam.core.language_model import RequestContext
from trio_beam.dialects.common.dialect import (
    DIALECTS,
    Api,
    Dialect,
    ModelEntry,
    ModelList,
    WireRequest,
)
from trio_beam.dialects.common.encoding import decoder_of
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

_decode_either = decoder_of(list[ModelEntry] | ModelList)


def _decode_models(body: bytes) -> ModelList:
    answer: list[ModelEntry] | ModelList = _decode_either(body)
    if isinstance(answer, ModelList):
        if answer.data is None and answer.models is None:
            raise msgspec.ValidationError("Object missing required field `data`")
        return answer
    return ModelList(data=answer)


#: Spoken to a server of which nothing else is known.
_FALLBACK = "openai"


def _is_misfit(dialect: Dialect, error: EndpointError) -> bool:
    """Whether an error means that a server does not know a dialect's calls, or answers them otherwise."""
    if dialect.name == _FALLBACK:
        return False
    match error:
        case RequestRejected(status=404 | 405):
            return not is_about_content(error)
        case ServerError(status=501):
            return True
        case MalformedResponse(transient=False):
            return True
        case _:
            return False


@attrs.define(kw_only=True, eq=False)
class DialectFinder:
    """Finds the dialect of one endpoint's server, once.

    Attributes:
        name: a registered name; ``"auto"`` asks the server.
        model: the model's name; None: the only one that the server lists.
        api: which of the two OpenAI calls to use.
        max_n: most choices a request; None: to be found out.
        stream: whether answers are asked for as streams.
        max_concurrent: most requests in flight, as the caller wants it.
        limiter: resized to the slots of a server that was found and tells them.
        exchanges: with the server.
        models_url: named where the model is not clear.
        found: the dialect, once it is known.
    """

    name: str
    model: str | None
    api: Api
    max_n: int | None
    stream: bool
    max_concurrent: int | Literal["auto"]
    limiter: FairLimiter
    exchanges: Exchanges
    models_url: str
    found: Dialect | None = attrs.field(default=None, init=False)
    _by_text: Dialect | None = attrs.field(default=None, init=False)
    _lock: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    async def find(self, context: RequestContext) -> Dialect:
        """The dialect. Tasks that want it at the same time wait for the first one.

        Raises:
            ConfigError: streams are wanted, and it reads none.
            EndpointError: the server does not answer, or the model is not clear.
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
            return self._make(name, self._only(models))
        known = [DIALECTS[word] for word in DIALECTS.names()]
        kind = next((kind.name for kind in known if kind.recognises(models)), _FALLBACK)
        dialect = self._make(kind, model or self._only(models))
        slots = await self.exchanges.run(dialect.configure(), context, context.meter.reservation())
        if slots is not None:
            wanted = self.max_concurrent
            self.limiter.resize(slots if wanted == "auto" else min(wanted, slots))
        return dialect

    def _make(self, name: str, model: str) -> Dialect:
        kind = DIALECTS[name]
        if self.stream and not kind.can_stream:
            raise ConfigError(
                "stream", f"False with the dialect {name!r}, which reads no streams", True
            )
        return kind(model, self.api, Limits(n=self.max_n), self.stream)

    async def fall_back(
        self, dialect: Dialect, error: EndpointError, context: RequestContext
    ) -> Dialect:
        """Return the dialect to speak instead of one that was found and does not fit.

        Args:
            dialect: it was found, not named, and has not had a response yet.
            error: of a request in it.
            context: of the search that met it.

        Raises:
            EndpointError: this one, if it does not say that the dialect does not fit.
        """
        async with self._lock:
            if self.found is not None and self.found is not dialect:
                return self.found  # another search has met it before
            if self.name != "auto" or dialect.proved or not _is_misfit(dialect, error):
                raise error
            other = self._make(_FALLBACK, dialect.model)
            reason = f"it lists its models as {dialect.name!r} does, but does not speak it: {error.message}"
            other.notes = (*other.notes, reason)
            await self.exchanges.run(other.configure(), context, context.meter.reservation())
            self.found = other
        return other

    async def by_text(self, dialect: Dialect, context: RequestContext) -> Dialect:
        """Return the dialect that continues a beam without token ids, where `dialect` speaks in them.

        Raises:
            EndpointError: as `find`.
        """
        async with self._lock:
            if self._by_text is None:
                other = self._make(_FALLBACK, dialect.model)
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
            # Without such a list, or not for this key; the search's own requests will tell.
            lasting = not isinstance(error, ServerError) or error.status == 501
            if self.model is None or not lasting:
                raise
            return ModelList(data=[])

    def _only(self, models: ModelList) -> str:
        words = self.exchanges.dispatcher.http.words
        names = [entry.called for entry in models.rows]
        # A name that may not be shown is no name: it would be shown wherever the model is.
        if len(names) == 1 and words.fit(names[0]) == names[0]:
            return names[0]
        listed = words.fit(", ".join(names[:20])) or "none"
        raise RequestRejected(
            f"name the model: the server lists {len(names)} ({listed})",
            url=self.models_url,
            status=200,
        )
