"""A hosted reasoning model without log-probabilities: chats only, thinking apart or hidden."""

from __future__ import annotations

import random
from typing import Any

import attrs

from tests.servers.hosted_chat import HostedChat

#: The answers to "What is 17 * 23?" by the hundred: right more often than not.
ANSWERS = ["391"] * 60 + ["381", "401"] * 20


@attrs.define
class HostedReasoner(HostedChat):
    """Thinks for some words, refuses log-probabilities and, if strict, every field that it does not know.

    Attributes:
        hides: whether its thinking is only counted.
        limit: the field that limits its thinking; "" if there is none.
        strict: whether unknown fields are refused.
        words: how long it thinks without a limit.
    """

    hides: bool = False
    limit: str = ""
    strict: bool = True
    words: int = 200

    def respond(self, path: str, headers: Any, content: bytes) -> tuple[int, Any]:
        """The status and the body of a response."""
        status, body = HostedChat.respond(self, path, headers, content)
        if status == 200 and "param" in body:
            return 400, {"error": body}
        return status, body

    def _complete(self, body: dict[str, Any]) -> dict[str, Any]:
        known = {"model", "messages", "n", "max_completion_tokens", "temperature", "top_p", "seed"}
        for name in body:
            if name in ("logprobs", "top_logprobs") or (
                self.strict and name not in known | {self.limit}
            ):
                words = f"Unsupported parameter: '{name}' is not supported with this model."
                return {"message": words, "param": name, "type": "invalid_request_error"}
        asked = body.get("max_completion_tokens") or body.get("max_tokens") or 10**6
        source = random.Random(body.get("seed"))
        thinks = min(self.words, body.get(self.limit, self.words), asked)
        choices = []
        for index in range(body.get("n", 1)):
            answer = f"17 * 23 = {source.choice(ANSWERS)}" if thinks < asked else ""
            message: dict[str, Any] = {"role": "assistant", "content": answer}
            if not self.hides:
                message["reasoning_content"] = " ".join(["hm"] * thinks)
            reason = "stop" if answer else "length"
            choices.append({"index": index, "message": message, "finish_reason": reason})
        thought, each = thinks * len(choices), 8 if thinks < asked else 0
        usage = {
            "prompt_tokens": 12,
            "completion_tokens": thought + each * len(choices),
            "completion_tokens_details": {"reasoning_tokens": thought},
        }
        return {"object": "chat.completion", "choices": choices, "usage": usage}
