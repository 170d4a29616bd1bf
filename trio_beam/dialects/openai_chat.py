"""Continue a chat's final assistant message, for which servers have different conventions or none.

The styles are tried in turn: vLLM's flags (SGLang has them, llama.cpp ignores them), ``prefix`` on the
message (DeepSeek, Mistral), and the bare message. If the dialect was guessed, the first request for a
second block checks whether the server really continues the message: one more token in it must add one
prompt token, whereas a new turn adds several.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs
import msgspec

from trio_beam.dialects.common.encoding import count_in
from trio_beam.dialects.common.exchange import Exchange, WireRequest
from trio_beam.dialects.common.negotiation import Negotiation
from trio_beam.dialects.openai_wire import AnyCompletion, decode_without_top
from trio_beam.errors import EndpointError, RequestRejected

#: Maximum number of prompt tokens that a one-token word may add without a new turn.
_OWN_TOKENS = 3
_ABOUT_CONTINUING = re.compile(
    r"continue_final_message|add_generation_prompt|\bprefix\b|prefill|(last|final|trailing) message"
    r"|assistant.{0,40}(message|role)|role.{0,40}assistant|must (be|end with).{0,40}user",
    re.IGNORECASE,
)


@attrs.frozen(kw_only=True)
class ContinuationStyle:
    """Fields to add to the request, and to its last message."""

    request: Mapping[str, Any] = attrs.field(factory=dict)
    message: Mapping[str, Any] = attrs.field(factory=dict)


CONTINUATION_STYLES = (
    ContinuationStyle(request={"continue_final_message": True, "add_generation_prompt": False}),
    ContinuationStyle(message={"prefix": True}),
    ContinuationStyle(),
)


@attrs.define(eq=False)
class ChatContinuation:
    """How one server continues chats, as far as known.

    Attributes:
        model: the model's name.
        fields: the optional fields of the chat call.
        guessed: whether the dialect was guessed rather than named.
        style: index of the style in use.
        known: whether messages are continued; None if the server has not shown it.
        proved: whether a request that continues a message has succeeded.
        asked: whether the server has been tested.
    """

    model: str
    fields: Negotiation
    guessed: bool = attrs.field(default=False, init=False)
    style: int = attrs.field(default=0, init=False)
    known: bool | None = attrs.field(default=None, init=False)
    proved: bool = attrs.field(default=False, init=False)
    asked: bool = attrs.field(default=False, init=False)

    def refused(self, refusal: EndpointError, style: int) -> bool:
        """Switch to the next style after a refusal of one; return whether there is one."""
        if style < self.style:
            return True  # another request has learnt it meanwhile
        if (
            self.proved
            or not _is_about_continuing(refusal)
            or style + 1 == len(CONTINUATION_STYLES)
        ):
            return False
        self.style += 1
        return True

    def check(self) -> None:
        """Raise `RequestRejected` if the server opens a new turn in every style."""
        if self.known is False:
            raise RequestRejected(
                "this server opens a new turn instead of continuing the assistant's message: search in a"
                " single block (tokens_per_step >= max_tokens), or over a string (api='completions'), or name"
                " the dialect if that is wrong",
                status=400,
            )

    def find(self) -> Exchange[bool | None]:
        """Find out whether and how messages are continued; return None if inconclusive.

        Raises:
            EndpointError: the server refuses for another reason.
        """
        before = yield from self._count(None)
        found: list[tuple[int, bool | None]] = []
        for number, style in enumerate(CONTINUATION_STYLES):
            try:
                count = yield from self._count(style)
            except RequestRejected as refusal:
                if not _is_about_continuing(refusal):
                    raise
                continue
            told = before is not None and count is not None
            added = (count or 0) - (before or 0)
            if told and added == 1:
                found = [(number, True)]
                break
            if not told or added <= _OWN_TOKENS:  # inconclusive: assume that it continues
                found.append((number, None))
        self.style, self.known = found[0] if found else (0, False)
        self.asked = True
        return self.known

    def _count(self, style: ContinuationStyle | None) -> Exchange[int | None]:
        """Return the server's prompt count, with a one-token message to continue or without one."""
        messages: list[dict[str, Any]] = [{"role": "user", "content": "Count."}]
        if style is not None:
            messages.append({"role": "assistant", "content": "One", **style.message})
        plain = {"model": self.model, "messages": messages, **(style.request if style else {})}
        attempt = self.fields.attempt()
        while True:
            body = msgspec.json.encode(plain | attempt.spell({"max_tokens": 1}))
            request = WireRequest(
                path="/chat/completions", decode=decode_without_top, body=body, max_tokens=1
            )
            try:
                response: AnyCompletion = yield request
            except RequestRejected as refusal:
                if _is_about_continuing(refusal) or not attempt.next_spelling(refusal):
                    raise attempt.first_refusal(refusal) from None
            else:
                attempt.accepted()
                return count_in(response.usage, "prompt_tokens")


def _is_about_continuing(refusal: EndpointError) -> bool:
    """Return whether a refusal is about the flags or the last message."""
    if not isinstance(refusal, RequestRejected) or refusal.status not in (400, 404, 422):
        return False
    named = " ".join(refusal.fields)
    return _ABOUT_CONTINUING.search(f"{named} {refusal.message}") is not None
