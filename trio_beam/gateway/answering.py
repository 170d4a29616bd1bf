"""Answer a request by its searches, whole or as a stream.

One nursery holds the searches and the watch for a disconnect, which cancels them; only one task sends.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, TypeAlias

import attrs
import msgspec
import trio

from trio_beam.core.events import Observer
from trio_beam.core.language_model import LanguageModel
from trio_beam.gateway.admission import Admission
from trio_beam.gateway.deadlines import Deadlines
from trio_beam.gateway.metrics import Metrics
from trio_beam.gateway.request import SearchRequest
from trio_beam.gateway.responses import Envelope
from trio_beam.gateway.searches import PromptSearch, Searches
from trio_beam.gateway.settled import Parts

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
    """One request, from its searches to the end of its response.

    Attributes:
        request: the request.
        envelope: what all parts of the response share.
        model: to search.
        admission: lets the request in.
        deadlines: of all requests.
        client: who asks.
        metrics: of the gateway.
        heart_beat: seconds between two signs of life in a stream.
        started: when the request came, on Trio's clock.
        observers_of: returns the observers of a search by its name: the response's id, and with several
            prompts the number of the prompt.
    """

    request: SearchRequest
    envelope: Envelope
    model: LanguageModel
    admission: Admission
    deadlines: Deadlines
    client: str
    metrics: Metrics
    heart_beat: float
    started: float
    observers_of: Callable[[str], Sequence[Observer]] = lambda _: ()
    _searches: Searches = attrs.field(init=False)
    _wake: trio.Event = attrs.field(factory=trio.Event, init=False)
    _sent: dict[int, Parts] = attrs.field(factory=dict, init=False)  # by prompt
    _complete: set[int] = attrs.field(factory=set, init=False)  # prompts
    _is_open: bool = attrs.field(default=False, init=False)  # whether the response has begun

    def __attrs_post_init__(self) -> None:
        self._searches = Searches(
            request=self.request,
            model=self.model,
            admission=self.admission,
            deadlines=self.deadlines,
            client=self.client,
            started=self.started,
            observers_of=self._observers_of,
            notify=self._notify,
            spent=self.metrics.spent,
        )

    def _observers_of(self, one: PromptSearch) -> Sequence[Observer]:
        several = len(self.request.prompts) > 1
        return self.observers_of(f"{self.envelope.id}-{one.index}" if several else self.envelope.id)

    def _notify(self) -> None:
        self._wake.set()  # that of now: there is a new one after each

    async def answer(self, receive: Receive, send: Send) -> int:
        """Search, and send the response; return its status, or `GONE`.

        Raises:
            ApiError: a search failed before the response had begun.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, receive, nursery.cancel_scope)
            nursery.start_soon(self._searches.run)
            await self._follow(send)
            nursery.cancel_scope.cancel(reason="the response is complete")
        if not self._searches.ended:
            return GONE
        error = self._searches.error
        if error is not None and not self._is_open:
            raise error
        # Behind the nursery, because Hypercorn reports the end of a response as a disconnect, too.
        if self._is_open:
            await _end(send)
        else:
            await self._send_whole(send)
        return 200 if error is None else error.status

    async def _follow(self, send: Send) -> None:
        """Send what there is of a stream until the searches have ended, and then the rest."""
        pause = self.heart_beat if self.request.stream else math.inf
        while not self._searches.ended:
            with trio.move_on_after(pause) as waited:
                await self._wake.wait()
            self._wake = trio.Event()
            if self.request.stream:
                await self._send_news(send, alive=waited.cancelled_caught)
        error = self._searches.error
        if error is not None and self._is_open:
            await self._send_event(send, error.body)
        elif error is None and self.request.stream:
            await self._send_end(send)

    async def _send_whole(self, send: Send) -> None:
        body = msgspec.json.encode(self.envelope.whole(self._searches.all))
        self._note_time()
        await send_response(send, 200, _JSON, body)

    async def _send_news(self, send: Send, *, alive: bool) -> None:
        """Send what is new of each prompt; a sign of life if nothing is."""
        for one in self._searches.all:
            if one.index in self._complete:
                continue
            now = one.settling.parts
            if one.result is not None and self._searches.error is None:
                await self._send_rest(send, one)
                alive = False
            elif now != self._sent_of(one):
                await self._send_more(send, one, now)
                alive = False
        if alive:
            await self._open(send)
            await send({"type": "http.response.body", "body": _HEART_BEAT, "more_body": True})

    async def _send_more(self, send: Send, one: PromptSearch, now: Parts) -> None:
        """Send what is settled now and was not before, thinking and answer apart."""
        if not self._sent:
            self._observe_first_text()
        await self._open(send)
        before, self._sent[one.index] = self._sent_of(one), now
        reasoning = now.reasoning[len(before.reasoning) :]
        content = now.content[len(before.content) :]
        for more in (Parts(reasoning), Parts("", content)):
            if any(more):
                await self._send_event(send, self.envelope.delta(self._first_of(one), more))

    async def _send_rest(self, send: Send, one: PromptSearch) -> None:
        """Send what was not settled of a prompt's first choice, and its others whole."""
        assert one.result is not None
        self._complete.add(one.index)
        early = sum(map(len, self._sent_of(one)))
        beams, texts = one.result.beams[: self.request.n], one.texts(self.request.n)
        await self._send_more(send, one, texts[0])
        facts = self.envelope.facts(one.result)
        share = early / (sum(map(len, texts[0])) or 1)
        facts["settled_early"] = round(share, 3)
        self.metrics.settled_early.labels(self._strategy_name).observe(share)
        for place, (beam, parts) in enumerate(zip(beams, texts, strict=True)):
            index = self._first_of(one) + place
            if place:
                await self._send_event(send, self.envelope.delta(index, parts, role=True))
            for more in self.envelope.calls(index, beam):
                await self._send_event(send, more)
            ending = self.envelope.ending(index, beam)
            if place == len(beams) - 1:
                ending["trio_beam"] = facts
            await self._send_event(send, ending)

    async def _send_end(self, send: Send) -> None:
        await self._send_news(send, alive=False)
        if self.request.include_usage:
            await self._send_event(send, self.envelope.closing(self._searches.all))
        self._note_time()
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})

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

    def _sent_of(self, one: PromptSearch) -> Parts:
        return self._sent.get(one.index, Parts())

    def _first_of(self, one: PromptSearch) -> int:
        """Return the index of a prompt's first choice."""
        return one.index * self.request.n

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
