"""A quirk: one thing that a server does otherwise than the protocol says, as functions of plain data.

A request passes every quirk on its way in, the healthy server answers, and the answer passes every quirk on
its way out: as JSON first, then as the bytes that are sent. So quirks can be combined, and stand in front of
any server: one without sockets in virtual time, or a real one (`tests/servers/quirks/front.py`).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, TypeAlias

import attrs

#: What a search over such a server comes to: what it would have been without the quirk; another right
#: one, for something is hidden or cut; or an error that says what to do.
Outcome: TypeAlias = Literal["same", "right", "error"]


@attrs.frozen(kw_only=True)
class Ask:
    """One request.

    Attributes:
        path: with its ``/v1``, without the query.
        body: its JSON; empty for a GET.
        repeat: how often the same was sent before.
    """

    method: str
    path: str
    query: str = ""
    body: Mapping[str, Any] = attrs.field(factory=dict)
    repeat: int = 0

    @property
    def chat(self) -> bool:
        """Whether it asks for a chat completion."""
        return self.path.endswith("/chat/completions")

    @property
    def completes(self) -> bool:
        """Whether it asks for text."""
        return self.path.endswith("/completions")

    @property
    def grown(self) -> bool:
        """Whether it continues a beam, rather than a prompt."""
        if self.chat:
            last = self.body["messages"][-1]  # "One": to find out whether it is continued
            return bool(last["role"] == "assistant" and last["content"] != "One")
        prompt = self.body.get("prompt")
        return self.completes and isinstance(prompt, str) and not prompt.endswith(">")

    def with_fields(self, **fields: Any) -> Ask:
        """Return it with other fields in its body."""
        return attrs.evolve(self, body={**self.body, **fields})

    def without(self, *names: str) -> Ask:
        """Return it without some fields of its body."""
        kept = {name: value for name, value in self.body.items() if name not in names}
        return attrs.evolve(self, body=kept)


@attrs.frozen(kw_only=True)
class Reply:
    """One response.

    Attributes:
        answer: its JSON, or the bytes of its body.
        headers: lower-case names.
        pieces: the body as it is sent, once it is encoded; more than one: in chunks.
        closes: whether the connection is closed in place of a response.
    """

    status: int = 200
    answer: Any = None
    headers: Mapping[str, str] = attrs.field(factory=dict)
    pieces: tuple[bytes, ...] = ()
    closes: bool = False

    @property
    def content(self) -> bytes:
        """The body as a whole."""
        return b"".join(self.pieces)

    def saying(self, *pieces: bytes, **headers: str) -> Reply:
        """Return it with another body; names of headers with ``_`` for ``-``."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return attrs.evolve(self, pieces=pieces, headers={**self.headers, **more})


def _same_ask(ask: Ask) -> Ask | Reply:
    return ask


def _same_answer(ask: Ask, answer: Any) -> Any:
    return answer


def _same_reply(ask: Ask, reply: Reply) -> Reply:
    return reply


@attrs.frozen(kw_only=True)
class Quirk:
    """One of the table.

    Attributes:
        kind: of the file it is in.
        about: what it touches, in words; two that touch the same are not combined.
        ask: makes another request of one, or replies to it.
        answer: makes another completion of one.
        send: makes other bytes of a response.
        outcome: of a search.
        words: that the error has, where it is one.
        api, stream: the only call, or the only way to ask for it, that has the quirk; None: any.
        top: alternatives that the search asks for.
        passes: whether it meets each request once only, so that it is met again by the next one.
        vague: whether its refusals name nothing.
        repeated: whether its refusals look like faults that pass, so that each is asked for again.
        approximate: whether log-probabilities are missing in the sum, or bounded.
        options: of the `Endpoint`.
    """

    kind: str
    about: str
    ask: Callable[[Ask], Ask | Reply] = _same_ask
    answer: Callable[[Ask, Any], Any] = _same_answer
    send: Callable[[Ask, Reply], Reply] = _same_reply
    outcome: Outcome = "same"
    words: str = ""
    api: Literal["completions", "chat"] | None = None
    stream: bool | None = None
    top: int = 0
    passes: bool = False
    vague: bool = False
    repeated: bool = False
    approximate: bool = False
    options: Mapping[str, Any] = attrs.field(factory=dict)


#: The table: each quirk by its name. The files of `tests/servers/quirks/table` fill it.
QUIRKS: dict[str, Quirk] = {}


def quirk(name: str, **fields: Any) -> None:
    """Add a quirk to the table."""
    assert name not in QUIRKS, name
    QUIRKS[name] = Quirk(**fields)


Upstream: TypeAlias = Callable[[Ask], Awaitable[Reply]]


async def respond(ask: Ask, quirks: list[Quirk], upstream: Upstream) -> Reply:
    """Respond as a server with these quirks does, in front of a healthy one that streams nothing."""
    for one in quirks:
        got = one.ask(ask)
        if isinstance(got, Reply):
            reply = encoded(ask, got)
            break
        ask = got
    else:
        reply = await upstream(ask.without("stream", "stream_options"))
        if reply.status == 200 and ask.completes:
            for one in quirks:
                reply = attrs.evolve(reply, answer=one.answer(ask, reply.answer))
        reply = encoded(ask, reply)
    for one in quirks:
        reply = one.send(ask, reply)
    return reply


def encoded(ask: Ask, reply: Reply) -> Reply:
    """Return a reply with its bytes: as a stream if one was asked for, and there is something in it."""
    if reply.pieces:
        return reply
    if isinstance(reply.answer, bytes):
        return attrs.evolve(reply, pieces=(reply.answer,))
    choices = reply.answer.get("choices") if isinstance(reply.answer, dict) else None
    if ask.body.get("stream") and choices and reply.status == 200:
        usage = (ask.body.get("stream_options") or {}).get("include_usage")
        events = [*_events(reply.answer, ask.chat), *([_usage(reply.answer)] if usage else [])]
        body = b"".join(b"data: %s\n\n" % _json(event) for event in events) + b"data: [DONE]\n\n"
        return attrs.evolve(reply, headers=_EVENTS | dict(reply.headers), pieces=(body,))
    headers = {"content-type": "application/json", **reply.headers}
    return attrs.evolve(reply, headers=headers, pieces=(_json(reply.answer),))


_EVENTS = {"content-type": "text/event-stream"}


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _usage(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {"choices": [], "usage": answer.get("usage")}


def _events(answer: Mapping[str, Any], chat: bool) -> list[dict[str, Any]]:
    """A completion in pieces: of each choice the text, the tokens and the reason, the choices in turn."""
    columns = []
    for choice in answer["choices"]:
        piece = {name: value for name, value in choice.items() if name not in ("text", "message")}
        said = {"delta": choice.get("message")} if chat else {"text": choice.get("text")}
        first = {**piece, **said, "finish_reason": None}
        last = {"index": piece.get("index"), "finish_reason": piece.get("finish_reason")}
        columns.append([first, {**last, **_nothing(chat)}])
    return [{"choices": [column[row]]} for row in (0, 1) for column in columns]


def _nothing(chat: bool) -> dict[str, Any]:
    return {"delta": {}} if chat else {"text": ""}
