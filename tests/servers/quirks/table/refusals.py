"""Fields refused, in all shapes and words; some go by another name, or are of another type."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.servers.quirks.quirk import Ask, Reply, quirk

Shape = Callable[[str, str], Any]

#: Bodies of a refusal, of its words and the field that it names.
SHAPES: dict[str, Shape] = {
    "openai": lambda words, name: {
        "error": {"message": words, "type": "invalid_request_error", "param": name, "code": None}
    },
    "only a message": lambda words, name: {"error": {"message": words}},
    "error as a string": lambda words, name: {"error": words},
    "error as a list": lambda words, name: {"error": [{"message": words, "loc": ["body", name]}]},
    "errors": lambda words, name: {"errors": [{"message": words}], "success": False},
    "detail": lambda words, name: {"detail": words},
    "detail of a detail": lambda words, name: {"detail": {"error": {"message": words}}},
    "pydantic": lambda words, name: {
        "detail": [
            {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs", "input": 1}
        ]
    },
    "message": lambda words, name: {"object": "error", "message": words, "code": 400},
    "msg": lambda words, name: {"code": 1210, "msg": words},
    "google": lambda words, name: [
        {"error": {"code": 400, "message": words, "status": "INVALID_ARGUMENT"}}
    ],
    "problem": lambda words, name: {
        "title": "One or more validation errors occurred.",
        "status": 400,
        "errors": {name: [words]},
    },
    "json in a message": lambda words, name: {
        "error": {"message": json.dumps({"error": {"message": words, "param": name}}), "type": "x"}
    },
    "text": lambda words, name: words.encode(),
    "page": lambda words, name: f"<html><body><h1>400</h1>{words}</body></html>".encode(),
    "nothing": lambda words, name: b"",
}

#: (shape, words, status, how the field is spelt); no field in the words and none in the shape: vague.
REFUSALS: dict[str, tuple[str, str, int, str]] = {
    "by param": ("openai", "Unsupported value.", 400, "{}"),
    "by words": (
        "only a message",
        "Unsupported parameter: '{}' is not supported with this model.",
        400,
        "{}",
    ),
    "unrecognised": ("only a message", "Unrecognized request argument supplied: {}", 400, "{}"),
    "as a string": ("error as a string", "unexpected keyword argument '{}'", 422, "{}"),
    "as a list": ("error as a list", "not permitted", 422, "{}"),
    "as errors": ("errors", "property '{}' is unsupported", 400, "{}"),
    "by pydantic": ("pydantic", "", 422, "{}"),
    "by detail": ("detail", "{}: Extra inputs are not permitted", 400, "{}"),
    "by a detail's detail": ("detail of a detail", "`{}` is not allowed", 400, "{}"),
    "by message": ("message", "[{{'type': 'extra_forbidden', 'loc': ('body', '{}')}}]", 400, "{}"),
    "by msg": ("msg", "the parameter `{}` is invalid", 400, "{}"),
    "by Google": (
        "google",
        'Invalid JSON payload received. Unknown name "{}": Cannot find field.',
        400,
        "{}",
    ),
    "as a problem": ("problem", "not recognised", 400, "{}"),
    "as JSON in a message": ("json in a message", "{} not allowed", 400, "{}"),
    "as text": ("text", "unknown field `{}` at line 1 column 20", 400, "{}"),
    "on a page": ("page", "{} not supported", 400, "{}"),
    "with a dotted name": ("openai", "Unknown parameter: 'request.{}'", 400, "body.{}"),
    "as 501": ("only a message", "{} is not implemented", 501, "{}"),
    "as 500": (
        "only a message",
        "TypeError: create() got an unexpected keyword argument '{}'",
        500,
        "{}",
    ),
    "as 404": ("only a message", "argument '{}' not found", 404, "{}"),
    "as 403": ("only a message", "{} is not enabled for your account", 403, "{}"),
    "as 405": ("detail", "{} not allowed", 405, "{}"),
    "as 406": ("detail", "{} not acceptable", 406, "{}"),
    "as 415": ("detail", "unsupported field {}", 415, "{}"),
    "as 409": ("detail", "{} conflicts with this model", 409, "{}"),
    "vague": ("only a message", "Bad Request", 400, ""),
    "vague, 422": ("detail", "Unprocessable Entity", 422, ""),
    "vague, 501": ("text", "Not Implemented", 501, ""),
    "without a word": ("nothing", "", 400, ""),
    "in another language": ("msg", "请求参数有误", 400, ""),
}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def refuse(
    field: str, refusal: str, ask: Ask, *, shown: str = "", rename: str = "", spared: Any = None
) -> Ask | Reply:
    """Refuse a field, unless its value is spared; one of another name is taken for it.

    Args:
        field: as the protocol calls it.
        refusal: one of `REFUSALS`.
        ask: the request.
        shown: what the refusal calls it, if not by its name.
        rename: what the server calls it.
        spared: the only value that is taken.
    """
    if rename and rename in ask.body:
        return ask.without(rename).with_fields(**{field: ask.body[rename]})
    if (
        not ask.completes
        or field not in ask.body
        or (spared is not None and ask.body[field] is spared)
    ):
        return ask
    shape, words, status, spelling = REFUSALS[refusal]
    name = shown or field
    body = SHAPES[shape](words.format(name), spelling.format(name))
    return Reply(status=status, answer=body)


#: Fields that may be left out, or be sent otherwise; how else they are sent.
_FIELDS: dict[str, dict[str, Any]] = {
    "top_p": {},
    "temperature": {},
    "n": {},
    "max_tokens": {"rename": "max_completion_tokens"},
    "seed": {"rename": "random_seed"},
    "stream_options": {},
    "top_logprobs": {},
    "logprobs": {"spared": True},
    "continue_final_message": {},
}
#: What the other fields are refused by: the rest of the refusals is the same for all of them.
_SOME = ("by param", "by words", "by pydantic", "as text", "as 500", "as 403", "vague")
_OF_CHATS = ("top_logprobs", "continue_final_message")
for _field, _otherwise in _FIELDS.items():
    for _refusal, (_shape, _words, _status, _spelling) in REFUSALS.items():
        if _field != "top_p" and _refusal not in _SOME:
            continue
        _quiet = not _spelling
        if _field == "continue_final_message" and (
            _quiet or _status in (403, 405, 406, 409, 415, 500, 501)
        ):
            continue
        quirk(
            f"{_field} refused {_refusal}",
            kind="refusals",
            about="max_n" if _field == "n" else "logprobs" if "logprobs" in _field else _field,
            ask=partial(refuse, _field, _refusal, **_otherwise),
            api="chat" if _field in _OF_CHATS else "completions" if _field == "logprobs" else None,
            stream=True if _field == "stream_options" else None,
            vague=_quiet,
            repeated=_status in (409, 500),
        )

#: Names that a refusal gives to a field: by none of them it is the field's own.
for _name in (
    "topP",
    "top-p",
    "TOP_P",
    "Top P",
    "generation_config.topP",
    "$.top_p",
    "parameters/top_p",
):
    quirk(
        f"top_p refused as {_name}",
        kind="refusals",
        about="top_p",
        ask=partial(refuse, "top_p", "by words", shown=_name),
        vague=True,
    )
quirk(
    "max_tokens refused as maxTokens",
    kind="refusals",
    about="max_tokens",
    ask=partial(
        refuse, "max_tokens", "by words", shown="maxTokens", rename="max_completion_tokens"
    ),
    vague=True,
)
quirk(
    "max_tokens refused for its other name",
    kind="refusals",
    about="max_tokens",
    ask=partial(
        refuse,
        "max_tokens",
        "by words",
        shown="max_tokens' is not supported with this model. Use 'max_completion_tokens",
        rename="max_completion_tokens",
    ),
)


def _no_seed(ask: Ask) -> Ask | Reply:
    got = refuse("seed", "by words", ask)
    return refuse("random_seed", "by words", got) if isinstance(got, Ask) else got


quirk(
    "seed refused for good",
    kind="refusals",
    about="seed",
    ask=_no_seed,
    outcome="error",
    words="seed=None",
)
quirk(
    "log-probabilities refused for good",
    kind="refusals",
    about="logprobs",
    ask=partial(refuse, "logprobs", "by words"),
    outcome="error",
    words="log-probabilities",
)


def _integers_only(ask: Ask) -> Ask | Reply:
    """In a chat, the number of alternatives where the protocol has a boolean."""
    if ask.body.get("logprobs") is True:
        return refuse("logprobs", "by pydantic", ask)
    if ask.chat and "logprobs" in ask.body:
        return ask.with_fields(top_logprobs=ask.body["logprobs"], logprobs=True)
    return ask


quirk(
    "a chat's log-probabilities are a number",
    kind="refusals",
    about="logprobs",
    ask=_integers_only,
    api="chat",
)


def _prefix_only(ask: Ask) -> Ask | Reply:
    """DeepSeek's and Mistral's way to continue a message."""
    if ask.grown and not ask.body["messages"][-1].get("prefix"):
        words = "The last message must be a user's, or an assistant's with prefix set to true"
        return Reply(status=400, answer={"error": {"message": words}})
    return ask


quirk(
    "messages are continued by prefix", kind="refusals", about="chat", ask=_prefix_only, api="chat"
)
