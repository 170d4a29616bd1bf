"""How a chat's last message, the assistant's, is continued: servers have different ways, and some have none.

Each way is tried in turn: vLLM's flags (SGLang has them, llama.cpp ignores them), ``prefix`` on the message
(DeepSeek, Mistral), and the bare message. A server that nobody has named is asked, when a second block
first needs it, whether it really continues: by its count of prompt tokens, to which one more token of the
message adds one, and a new turn several.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from trio_beam.dialects.common.dialect import Exchange, WireRequest
from trio_beam.dialects.common.encoding import count_in
from trio_beam.dialects.common.negotiation import Negotiation
from trio_beam.dialects.openai_wire import AnyCompletion, decode_without_top
from trio_beam.errors import EndpointError, RequestRejected

#: Most tokens that a word of one token may add to a prompt without a new turn.
_OWN_TOKENS = 3
_ABOUT_CONTINUING = re.compile(
    r"continue_final_message|add_generation_prompt|\bprefix\b|prefill|(last|final|trailing) message"
    r"|assistant.{0,40}(message|role)|role.{0,40}assistant|must (be|end with).{0,40}user",
    re.IGNORECASE,
)


@attrs.frozen(kw_only=True)
class Way:
    """Fields of the request, and fields of its last message."""

    request: Mapping[str, Any] = attrs.field(factory=dict)
    message: Mapping[str, Any] = attrs.field(factory=dict)


WAYS = (
    Way(request={"continue_final_message": True, "add_generation_prompt": False}),
    Way(message={"prefix": True}),
    Way(),
)


@attrs.define(eq=False)
class ChatContinuation:
    """What is known of one server.

    Attributes:
        model: its name.
        fields: the optional fields of its chat call.
        guessed: whether nobody has named the dialect, so that the server may be anything.
        way: number of the way that is used.
        known: whether messages are continued; None: the server does not tell, or was not asked.
        proved: whether a message was continued.
        asked: whether the server was asked.
    """

    model: str
    fields: Negotiation
    guessed: bool = attrs.field(default=False, init=False)
    way: int = attrs.field(default=0, init=False)
    known: bool | None = attrs.field(default=None, init=False)
    proved: bool = attrs.field(default=False, init=False)
    asked: bool = attrs.field(default=False, init=False)

    def refused(self, refusal: EndpointError, way: int) -> bool:
        """Go on to the next way after a refusal of one; return whether there is one."""
        if way < self.way:
            return True  # another request has learnt it meanwhile
        if self.proved or not _is_about_continuing(refusal) or way + 1 == len(WAYS):
            return False
        self.way += 1
        return True

    def check(self) -> None:
        """Raise `RequestRejected` if the server opens a new turn, whatever the way."""
        if self.known is False:
            raise RequestRejected(
                "this server opens a new turn where the assistant's message is to be continued: search in a"
                " single block (tokens_per_step >= max_tokens), or over a string (api='completions'), or name"
                " the dialect if that is wrong",
                status=400,
            )

    def find(self) -> Exchange[bool | None]:
        """Find out whether messages are continued, and how; None if the server does not tell.

        Raises:
            EndpointError: the server refuses for another reason.
        """
        before = yield from self._count(None)
        found: list[tuple[int, bool | None]] = []
        for number, way in enumerate(WAYS):
            try:
                count = yield from self._count(way)
            except RequestRejected as refusal:
                if not _is_about_continuing(refusal):
                    raise
                continue
            told = before is not None and count is not None
            added = (count or 0) - (before or 0)
            if told and added == 1:
                found = [(number, True)]
                break
            if not told or added <= _OWN_TOKENS:  # inconclusive: take it that it continues
                found.append((number, None))
        self.way, self.known = found[0] if found else (0, False)
        self.asked = True
        return self.known

    def _count(self, way: Way | None) -> Exchange[int | None]:
        """The server's count of a prompt with a message of one token to be continued, or without."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": "Count."}]
        if way is not None:
            messages.append({"role": "assistant", "content": "One", **way.message})
        plain = {"model": self.model, "messages": messages, **(way.request if way else {})}
        attempt = self.fields.attempt()
        while True:
            body = msgspec.json.encode(plain | attempt.spell({"max_tokens": 1}))
            request = WireRequest(
                path="/chat/completions", decode=decode_without_top, body=body, most_tokens=1
            )
            try:
                answer: AnyCompletion = yield request
            except RequestRejected as refusal:
                if _is_about_continuing(refusal) or not attempt.next_spelling(refusal):
                    raise attempt.first_refusal(refusal) from None
            else:
                attempt.accepted()
                return count_in(answer.usage, "prompt_tokens")


def _is_about_continuing(refusal: EndpointError) -> bool:
    """Whether a refusal is about the flags, or about the last message."""
    if not isinstance(refusal, RequestRejected) or refusal.status not in (400, 404, 422):
        return False
    named = " ".join(refusal.fields)
    return _ABOUT_CONTINUING.search(f"{named} {refusal.message}") is not None
