"""Errors behind a 200: in the body, in a choice, in a stream. They pass, or they stay."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.servers.quirks.quirk import Ask, Reply, quirk

_OVERLOADED: dict[str, Any] = {
    "an error with a code": {"error": {"code": 429, "message": "Rate limit reached"}},
    "an error with a word": {"error": {"type": "overloaded_error", "message": "Overloaded"}},
    "an error as a string": {"error": "upstream timed out"},
    "an error beside choices": {"error": {"code": 503, "message": "try later"}, "choices": []},
    "an error beside null": {"error": {"message": "internal"}, "choices": None},
    "an error as an object": {"object": "error", "message": "engine overloaded", "code": 503},
    "a list of errors": {"errors": [{"message": "capacity exceeded"}], "success": False},
    "a detail": {"detail": "Internal Server Error"},
    "a message": {"message": "Internal server error"},
    "a status": {"status": "error", "message": "the worker crashed"},
    "no choices": {"id": "x", "choices": [], "usage": None},
    "null choices": {"id": "x", "choices": None},
    "nothing": b"",
    "a cut body": b'{"choices": [{"index": 0, "te',
}


def _reply(answer: Any, ask: Ask, *, always: bool) -> Ask | Reply:
    return Reply(answer=answer) if ask.completes and (always or not ask.repeat) else ask


for _name, _answer in _OVERLOADED.items():
    quirk(
        f"a 200 with {_name}, once",
        kind="errors in 200",
        about="error",
        ask=partial(_reply, _answer, always=False),
        passes=True,
    )
for _name, _answer, _words in (
    ("a wrong key", {"error": {"code": 401, "message": "bad key"}}, "bad key"),
    (
        "an unknown model",
        {"error": {"type": "not_found_error", "message": "no model m"}},
        "no model m",
    ),
    ("a policy", {"error": {"code": "content_policy_violation", "message": "flagged"}}, "flagged"),
    ("a crash", {"error": {"message": "CUDA error"}}, "CUDA error"),
    ("a page", b"<html>Welcome</html>", "Welcome"),
    ("words", b"pong", "pong"),
    ("an empty object", {}, "choices"),
    ("another shape", {"generated_text": "a"}, "generated_text|choices"),
):
    quirk(
        f"a 200 with {_name}",
        kind="errors in 200",
        about="error",
        ask=partial(_reply, _answer, always=True),
        outcome="error",
        words=_words,
    )


def _in_choice(error: Any, ask: Ask, answer: Any) -> Any:
    if ask.repeat:
        return answer
    first, *others = answer["choices"]
    return {**answer, "choices": [{**first, **error}, *others]}


for _name, _error in {
    "an error": {"error": {"code": 502, "message": "provider failed"}},
    "an error as a string": {"error": "provider failed"},
    "the reason error": {"finish_reason": "error"},
    "the reason abort": {"finish_reason": "abort"},
}.items():
    quirk(
        f"a choice with {_name}, once",
        kind="errors in 200",
        about="error",
        answer=partial(_in_choice, _error),
        passes=True,
    )


def _last_choice_fails(ask: Ask, answer: Any) -> Any:
    *others, last = answer["choices"]
    if not others:
        return answer
    return {**answer, "choices": [*others, {**last, "error": {"message": "failed", "code": 500}}]}


quirk(
    "the last of several choices fails",
    kind="errors in 200",
    about="max_n",
    answer=_last_choice_fails,
)


def _in_stream(tail: bytes, kept: int, ask: Ask, reply: Reply) -> Reply:
    """So many events, and then something else."""
    if ask.repeat or not reply.content.startswith(b"data:"):
        return reply
    events = reply.content.split(b"\n\n")
    return reply.saying(b"".join(event + b"\n\n" for event in events[:kept]) + tail)


for _name, _tail in {
    "an error": b'data: {"error": {"message": "overloaded", "code": 503}}\n\n',
    "an error's own event": b'event: error\ndata: {"message": "overloaded"}\n\n',
    "an error's own field": b'error: {"code": 503, "message": "overloaded"}\n\n',
    "an error as a string": b'data: {"error": "overloaded"}\n\ndata: [DONE]\n\n',
    "an error in a choice": b'data: {"choices": [{"index": 0, "error": {"code": 502, "message": "x"}}]}\n\n',
    "the end": b"",
}.items():
    for _kept in (0, 1):
        quirk(
            f"a stream with {_name} after {_kept}",
            kind="errors in 200",
            about="error",
            send=partial(_in_stream, _tail, _kept),
            stream=True,
            passes=True,
        )
