"""A full context, in many words and shapes: for a beam that has grown, or for the prompt already."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.servers.quirks.quirk import Ask, Reply, quirk


def _full(status: int, answer: Any, ask: Ask) -> Ask | Reply:
    return Reply(status=status, answer=answer) if ask.grown else ask


def _message(words: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": words, **more}}


_FULL: dict[str, tuple[int, Any]] = {
    "OpenAI": (
        400,
        _message(
            "This model's maximum context length is 8 tokens. However, your messages resulted in 9 tokens.",
            code="context_length_exceeded",
        ),
    ),
    "OpenAI's code alone": (400, _message("too much", code="context_length_exceeded")),
    "llama.cpp": (
        400,
        _message(
            "the request exceeds the available context size", type="exceed_context_size_error"
        ),
    ),
    "llama.cpp of 2025": (500, _message("Context size has been exceeded.", type="server_error")),
    "TGI": (
        422,
        {
            "error": "`inputs` tokens + `max_new_tokens` must be <= 8. Given: 9",
            "error_type": "validation",
        },
    ),
    "vLLM": (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 8 tokens.",
            "code": 400,
        },
    ),
    "SGLang": (
        400,
        {
            "error": {
                "message": "The input (9 tokens) is longer than the model's context length (8)."
            }
        },
    ),
    "Anthropic": (
        400,
        _message("prompt is too long: 9 tokens > 8 maximum", type="invalid_request_error"),
    ),
    "Gemini": (
        400,
        [
            {
                "error": {
                    "code": 400,
                    "message": "The input token count (9) exceeds the maximum number of tokens allowed (8).",
                }
            }
        ],
    ),
    "Mistral": (
        400,
        {
            "object": "error",
            "message": "Prompt contains 9 tokens, too large for model with 8 maximum context length",
        },
    ),
    "Groq": (413, _message("Request too large for model `m`", code="request_too_large")),
    "xAI": (
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "This model's maximum prompt length is 8 but the request contains 9 tokens.",
        },
    ),
    "Bedrock": (400, {"message": "Input is too long for requested model."}),
    "Cohere": (
        400,
        {"message": "too many tokens: total number of tokens in the prompt cannot exceed 8"},
    ),
    "Together": (
        422,
        _message(
            "Input validation error: `inputs` must have less than 8 tokens. Given: 9",
            type="invalid_request_error",
            param=None,
        ),
    ),
    "Fireworks": (400, _message("The prompt is too long: 9, model maximum context length: 8")),
    "in other words": (400, {"detail": "sequence does not fit"}),
    "in another language": (400, {"code": 1261, "msg": "Prompt 超长"}),
    "without a word": (400, b""),
    "in a 200": (200, _message("maximum context length exceeded", code="context_length_exceeded")),
    "in a 200, by its words": (200, {"error": "prompt is too long: 9 tokens > 8 maximum"}),
    "as 500 in words": (
        500,
        {"detail": "ValueError: Requested tokens (9) exceed context window of 8"},
    ),
}
#: What says it by neither its words nor its status: of a chat it may also mean that it is not continued.
_VAGUE = ("Bedrock", "Together", "in other words", "in another language", "without a word")
for _name, (_status, _answer) in _FULL.items():
    for _api in ("completions", "chat"):
        _unclear = _api == "chat" and _name in _VAGUE
        quirk(
            f"the context is full, {_name}, {_api}",
            kind="context",
            about="context",
            ask=partial(_full, _status, _answer),
            api=_api,
            outcome="error" if _unclear else "right",
            words="HTTP 4",
            repeated=_status == 500,
        )


def _prompt_too_long(ask: Ask) -> Ask | Reply:
    if not ask.completes:
        return ask
    words = "This model's maximum context length is 1 tokens. However, you requested 9 tokens."
    return Reply(status=400, answer=_message(words))


quirk(
    "the prompt is too long",
    kind="context",
    about="context",
    ask=_prompt_too_long,
    outcome="error",
    words="maximum context length",
)
