"""Servers that list their models as llama.cpp, vLLM, SGLang or Ollama do, and lack the calls of these."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs

from tests.servers.quirks.quirk import Ask, Reply, quirk

_OWNERS = {"llama_cpp": "llamacpp", "vllm": "vllm", "sglang": "sglang", "ollama": "library"}
_NATIVE = (
    "/props",
    "/slots",
    "/completion",
    "/apply-template",
    "/tokenize",
    "/detokenize",
    "/version",
    "/metrics",
    "/generate",
    "/get_server_info",
    "/get_model_info",
    "/api/generate",
    "/api/show",
    "/api/version",
)


def _misfit(owner: str, reply: Reply, ask: Ask) -> Ask | Reply:
    if ask.path == "/v1/models":
        return Reply(answer={"object": "list", "data": [{"id": "m", "owned_by": owner}]})
    return reply if ask.path in _NATIVE else ask


_REPLIES = {
    "404": Reply(status=404, answer={"error": {"code": 404, "message": "File Not Found"}}),
    "404 in another shape": Reply(status=404, answer={"detail": "Not Found"}),
    "404 on a page": Reply(status=404, answer=b"<html>nginx</html>"),
    "405": Reply(status=405, answer={"detail": "Method Not Allowed"}),
    "501": Reply(status=501, answer=b""),
    "a page": Reply(
        answer=b"<!doctype html><html>WebUI</html>", headers={"content-type": "text/html"}
    ),
    "another shape": Reply(answer={"status": "ok"}),
    "an error in a 200": Reply(
        answer={"error": "Unexpected endpoint or method. (POST /completion)"}
    ),
    "null": Reply(answer=None),
    "403": Reply(status=403, answer={"error": "this route is disabled"}),
    "410": Reply(status=410, answer={"error": "gone"}),
    "400": Reply(status=400, answer={"error": "unsupported route"}),
}
for _dialect, _owner in _OWNERS.items():
    for _name, _reply in _REPLIES.items():
        quirk(
            f"as {_dialect}, {_name}",
            kind="misfits",
            about="dialect",
            ask=partial(_misfit, _owner, _reply),
            stream=False,  # which not every dialect has
            options={"dialect": "auto"},
        )


def _models(answer: Any, status: int, ask: Ask) -> Ask | Reply:
    return Reply(status=status, answer=answer) if ask.path == "/v1/models" else ask


for _name, _answer in {
    "a bare list": [{"id": "m"}],
    "models": {"models": [{"name": "m", "model": "m"}]},
    "names alone": {"data": ["m"]},
    "a list of names": ["m"],
    "an odd owner": {"data": [{"id": "m", "owned_by": None, "created": "yesterday"}]},
    "a model's own fields": {
        "object": "list",
        "data": [{"id": "m", "object": "model", "permission": []}],
    },
}.items():
    quirk(
        f"models: {_name}",
        kind="misfits",
        about="dialect",
        ask=partial(_models, _answer, 200),
        options={"dialect": "auto", "model": None},
    )
_UNLISTED: tuple[tuple[str, int, Any], ...] = (
    ("404", 404, {"detail": "Not Found"}),
    ("403", 403, {"error": "not for this key"}),
    ("405", 405, b""),
    ("501", 501, b"Not Implemented"),
    ("a page", 200, b"<html></html>"),
    ("another shape", 200, {"ok": True}),
    ("an error in a 200", 200, {"error": {"message": "Unexpected endpoint or method."}}),
    ("nothing", 200, {"data": []}),
)
for _name, _status, _reason in _UNLISTED:
    quirk(
        f"no list of models: {_name}",
        kind="misfits",
        about="dialect",
        ask=partial(_models, _reason, _status),
        options={"dialect": "auto"},
    )


def _half(ask: Ask) -> Ask | Reply:
    """Without the field that a dialect needs: token ids."""
    if ask.path == "/v1/models":
        return Reply(answer={"object": "list", "data": [{"id": "m", "owned_by": "vllm"}]})
    if ask.path == "/version":
        return Reply(answer={"version": "0.4.0"})
    if ask.path == "/tokenize":
        return Reply(answer={"tokens": [1, 2, 3], "max_model_len": 100, "count": 3})
    if isinstance(ask.body.get("prompt"), list):
        return Reply(status=400, answer={"error": {"message": "prompt must be a string"}})
    return attrs.evolve(ask.without("return_token_ids"))


quirk(
    "as an old vLLM",
    kind="misfits",
    about="dialect",
    ask=_half,
    stream=False,
    options={"dialect": "auto"},
)
