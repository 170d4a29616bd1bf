"""Run a request's search and send its response, whole or as a stream.

One nursery holds the search and the watch for a disconnect, which cancels it; only one task sends.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import attrs
import msgspec
import trio

from trio_beam.core.events import Event, Observer
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.result import SearchFailed, SearchResult
from trio_beam.engine.search import Search
from trio_beam.errors import TrioBeamError
from trio_beam.gateway.admission import Admission
from trio_beam.gateway.api_error import ApiError, of_library
from trio_beam.gateway.metrics import Metrics
from trio_beam.gateway.request import SearchRequest
from trio_beam.gateway.responses import Envelope
from trio_beam.gateway.settled import Parts, Settling

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
#: The client's disconnect, as a status: nginx's.
GONE = 499
_JSON = {"content-type": "application/json"}
#: A proxy must not collect a stream.
_SSE = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache",
    "x-accel-buffering": "no",
}
_HEART_BEAT = b": the search goes on\n\n"


@attrs.define(kw_only=True, eq=False)
class Answering:
    """One request, from its search to the end of its response.

    Attributes:
        request: the request.
        envelope: what all parts of the response share.
        model: to search.
        admission: lets the search in.
        client: who asks.
        metrics: of the gateway.
        heart_beat: seconds between two signs of life in a stream.
        started: when the request came, on Trio's clock.
        observers: of the search, besides this.
    """

    request: SearchRequest
    envelope: Envelope
    model: LanguageModel
    admission: Admission
    client: str
    metrics: Metrics
    heart_beat: float
    started: float
    observers: Sequence[Observer] = ()
    _outcome: SearchResult | ApiError | None = attrs.field(default=None, init=False)
    _settling: Settling = attrs.field(init=False)
    _wake: trio.Event = attrs.field(factory=trio.Event, init=False)
    _sent: Parts = attrs.field(factory=Parts, init=False)
    _is_open: bool = attrs.field(default=False, init=False)  # whether the response has begun

    def __attrs_post_init__(self) -> None:
        self._settling = Settling(self.request.strategy.stop)

    async def answer(self, receive: Receive, send: Send) -> int:
        """Search, and send the response; return its status, or `GONE`.

        Raises:
            ApiError: the search failed before the response had begun.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, receive, nursery.cancel_scope)
            nursery.start_soon(self._search)
            await self._follow(send)
            nursery.cancel_scope.cancel(reason="the response is complete")
        if self._outcome is None:
            return GONE
        if isinstance(self._outcome, ApiError):
            if not self._is_open:
                raise self._outcome
            return self._outcome.status
        return 200

    # -- the search

    async def _search(self) -> None:
        search: Search | None = None
        try:
            async with self.admission.admitted(self.client, self._deadline):
                search = Search(
                    self.model,
                    self.request.prompt,
                    self.request.strategy,
                    [self._observe, *self.observers],
                )
                result = await search.run_within(max(0.0, self._deadline - trio.current_time()))
            self.metrics.spent(result.usage)
            self._outcome = self._checked(result)
        except ApiError as error:
            self._outcome = error
        except TrioBeamError as error:
            partial = error.partial if isinstance(error, SearchFailed) else None
            if partial is not None:
                self.metrics.spent(partial.usage)
            self._outcome = of_library(error)
        except trio.Cancelled:
            if search is not None:
                with suppress(SearchFailed):
                    self.metrics.spent(search.best_so_far("interrupted").usage)
            raise
        self._wake.set()

    @property
    def _deadline(self) -> float:
        within = self.request.within
        return math.inf if within is None else self.started + within

    def _checked(self, result: SearchResult) -> SearchResult | ApiError:
        if result.beams:
            return result
        if result.stop_reason == "deadline":
            words = f"nothing had come back after {self.request.within:g} s"
            return ApiError(status=504, message=words, code="deadline_exceeded")
        words = f"the search ended without an answer: {result.stop_reason}"
        return ApiError(status=400, message=words, param="search", code="no_answer")

    def _observe(self, event: Event) -> None:
        before = self._settling.parts
        self._settling(event)
        if self._settling.parts != before:
            self._wake.set()

    # -- the response

    async def _follow(self, send: Send) -> None:
        """Send what there is until the search has ended, then the rest."""
        pause = self.heart_beat if self.request.stream else math.inf
        while self._outcome is None:
            with trio.move_on_after(pause) as waited:
                await self._wake.wait()
            self._wake = trio.Event()
            if self._outcome is None and self.request.stream:
                await self._send_settled(send, alive=waited.cancelled_caught)
        if isinstance(self._outcome, ApiError):
            if self._is_open:
                await self._send_event(send, self._outcome.body)
                await _end(send)
        elif self.request.stream:
            await self._send_rest(send, self._outcome)
        else:
            await self._send_whole(send, self._outcome)

    async def _send_whole(self, send: Send, result: SearchResult) -> None:
        texts = [self._settling.final(beam) for beam in result.beams[: self.request.n]]
        body = msgspec.json.encode(self.envelope.whole(result, texts))
        self._note_time()
        await send_response(send, 200, _JSON, body)

    async def _send_settled(self, send: Send, *, alive: bool) -> None:
        now, before = self._settling.parts, self._sent
        if now != before:
            await self._send_more(send, now)
        elif alive:
            await self._open(send)
            await send({"type": "http.response.body", "body": _HEART_BEAT, "more_body": True})

    async def _send_more(self, send: Send, now: Parts) -> None:
        """Send what is settled now and was not before, thinking and answer apart."""
        if self._sent == Parts():
            self._observe_first_text()
        await self._open(send)
        before, self._sent = self._sent, now
        reasoning = now.reasoning[len(before.reasoning) :]
        content = now.content[len(before.content) :]
        for more in (Parts(reasoning), Parts("", content)):
            if any(more):
                await self._send_event(send, self.envelope.delta(0, more))

    async def _send_rest(self, send: Send, result: SearchResult) -> None:
        """Send what was not settled of the first choice, and the others whole."""
        early = len(self._sent.reasoning) + len(self._sent.content)
        beams = result.beams[: self.request.n]
        texts = [self._settling.final(beam) for beam in beams]
        await self._send_more(send, texts[0])
        facts = self.envelope.facts(result)
        share = early / (sum(map(len, texts[0])) or 1)
        facts["settled_early"] = round(share, 3)
        self.metrics.settled_early.labels(self._strategy_name).observe(share)
        for index, (beam, parts) in enumerate(zip(beams, texts, strict=True)):
            if index:
                await self._send_event(send, self.envelope.delta(index, parts, role=True))
            ending = self.envelope.ending(index, beam)
            if index == len(beams) - 1:
                ending["trio_beam"] = facts
            await self._send_event(send, ending)
        if self.request.include_usage:
            await self._send_event(send, self.envelope.closing(result))
        self._note_time()
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})
        await _end(send)

    async def _open(self, send: Send) -> None:
        if self._is_open:
            return
        self._is_open = True
        await send(_start(200, _SSE))
        if self.request.call == "chat":
            await self._send_event(send, self.envelope.delta(0, Parts(), role=True))

    async def _send_event(self, send: Send, value: object) -> None:
        body = b"data: " + msgspec.json.encode(value) + b"\n\n"
        await send({"type": "http.response.body", "body": body, "more_body": True})

    @property
    def _strategy_name(self) -> str:
        return self.request.named.strategy

    def _observe_first_text(self) -> None:
        seconds = trio.current_time() - self.started
        self.metrics.first_text.labels(self._strategy_name).observe(seconds)

    def _note_time(self) -> None:
        seconds = trio.current_time() - self.started
        self.metrics.seconds.labels(self._strategy_name).observe(seconds)


async def _watch(receive: Receive, scope: trio.CancelScope) -> None:
    """Cancel everything when the client disconnects."""
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel(reason="the client has gone")


async def send_response(send: Send, status: int, headers: dict[str, str], body: bytes) -> None:
    """Send a complete response."""
    await send(_start(status, headers | {"content-length": str(len(body))}))
    await send({"type": "http.response.body", "body": body})


def _start(status: int, headers: dict[str, str]) -> Message:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return {"type": "http.response.start", "status": status, "headers": raw}


async def _end(send: Send) -> None:
    await send({"type": "http.response.body", "body": b"", "more_body": False})
