"""The same answer in other bytes: charsets, codings, chunks, numbers, streams."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

from tests.servers.quirks.quirk import Ask, Reply, quirk


def _bytes(change: Callable[[bytes], bytes], ask: Ask, reply: Reply, **headers: str) -> Reply:
    return reply.saying(change(reply.content), **headers)


def _recoded(charset: str, ask: Ask, reply: Reply) -> Reply:
    """Characters as they are, in another charset."""
    try:
        content = json.dumps(json.loads(reply.content), ensure_ascii=False).encode(charset)
    except ValueError:
        return reply
    return reply.saying(content, content_type=f"application/json; charset={charset}")


for _charset in ("latin-1", "windows-1252", "utf-16", "utf-8-sig", "utf-8", "utf-32"):
    quirk(
        f"in {_charset}",
        kind="decoding",
        about="bytes type",
        send=partial(_recoded, _charset),
        stream=False,
    )
quirk(
    "with a BOM",
    kind="decoding",
    about="bytes",
    send=partial(_bytes, lambda body: b"\xef\xbb\xbf" + body),
)
quirk(
    "padded",
    kind="decoding",
    about="bytes",
    send=partial(_bytes, lambda body: b"\n \n" + body + b"\n\n"),
)


def _packed(coding: str, pack: Callable[[bytes], bytes], ask: Ask, reply: Reply) -> Reply:
    return reply.saying(pack(reply.content), content_encoding=coding)


_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "x-gzip": gzip.compress,
}
for _coding, _pack in _PACKERS.items():
    quirk(
        f"packed by {_coding}",
        kind="decoding",
        about="bytes",
        send=partial(_packed, _coding, _pack),
    )


def _in_pieces(size: int, ask: Ask, reply: Reply) -> Reply:
    body = reply.content
    return reply.saying(*[body[start : start + size] for start in range(0, len(body), size)])


for _size in (1, 7, 1000):
    quirk(f"in chunks of {_size}", kind="decoding", about="chunks", send=partial(_in_pieces, _size))


def _labelled(kind: str, ask: Ask, reply: Reply) -> Reply:
    return reply.saying(*reply.pieces, content_type=kind)


for _type in (
    "text/plain",
    "text/html",
    "application/octet-stream",
    "application/json; charset=nonsense",
):
    quirk(f"called {_type}", kind="decoding", about="type", send=partial(_labelled, _type))


def _changed(change: Callable[[Any], Any], ask: Ask, answer: Any) -> Any:
    return change(answer)


def _with_usage(usage: Any, answer: Any) -> Any:
    return {**answer, "usage": usage}


def _with_index(of: Callable[[int], Any], answer: Any) -> Any:
    choices = [{**choice, "index": of(choice["index"])} for choice in answer["choices"]]
    return {**answer, "choices": choices}


_USAGES: dict[str, Any] = {
    "null": None,
    "a list": [],
    "empty": {},
    "floats": {"prompt_tokens": 3.0, "completion_tokens": None},
    "text": {"prompt_tokens": "3", "completion_tokens": "?"},
    "a word": "n/a",
    "negative": {"prompt_tokens": -1, "completion_tokens": -1},
    "not a number": {"prompt_tokens": float("nan"), "completion_tokens": float("inf")},
}
for _name, _usage in _USAGES.items():
    quirk(
        f"usage is {_name}",
        kind="decoding",
        about="usage",
        answer=partial(_changed, partial(_with_usage, _usage)),
    )
for _name, _of in {"text": str, "a float": float}.items():
    quirk(
        f"an index is {_name}",
        kind="decoding",
        about="index",
        answer=partial(_changed, partial(_with_index, _of)),
        outcome="error",
        words="index",
    )
for _stream in (False, True):  # which pieces are whose cannot be known
    quirk(
        f"an index is null{' in a stream' if _stream else ''}",
        kind="decoding",
        answer=partial(_changed, partial(_with_index, lambda k: None)),
        stream=_stream,
        about="index max_n",
        outcome="error" if _stream else "same",
        words="12 tokens, where at most 3",
    )


def _numbers_as_text(answer: Any) -> Any:
    for choice in answer["choices"]:
        shown = choice["logprobs"] or {}
        for entry in shown.get("content") or ():
            entry["logprob"] = repr(entry["logprob"])
        if shown.get("token_logprobs"):
            shown["token_logprobs"] = list(map(repr, shown["token_logprobs"]))
    return answer


quirk(
    "log-probabilities as text",
    kind="decoding",
    about="values",
    answer=partial(_changed, _numbers_as_text),
    outcome="error",
    words="got `str`",
)


def _odd_alternatives(value: Any, answer: Any) -> Any:
    for choice in answer["choices"]:
        shown = choice["logprobs"] or {}
        for entry in shown.get("content") or ():
            entry["top_logprobs"] = [
                *entry["top_logprobs"],
                {"token": "x", "logprob": value, "bytes": None},
            ]
        for row in shown.get("top_logprobs") or ():
            row["x"] = value
    return answer


for _value in (float("-inf"), float("nan"), None, -9999.0, 0.5):
    quirk(
        f"an alternative has {_value}",
        kind="decoding",
        about="alternatives",
        answer=partial(_changed, partial(_odd_alternatives, _value)),
        top=2,
    )


def _no_alternatives(value: Any, answer: Any) -> Any:
    for choice in answer["choices"]:
        shown = choice["logprobs"] or {}
        for entry in shown.get("content") or ():
            entry["top_logprobs"] = value
        if "top_logprobs" in shown:
            shown["top_logprobs"] = value
    return answer


_NONE: dict[str, Any] = {"null": None, "an empty list": []}
for _name, _none in _NONE.items():
    quirk(
        f"alternatives are {_name}",
        kind="decoding",
        about="alternatives",
        answer=partial(_changed, partial(_no_alternatives, _none)),
        top=2,
    )


def _unknown_fields(answer: Any) -> Any:
    choices = [
        {**choice, "matched_stop": 2, "stop_reason": [], "content_filter_results": {"hate": {}}}
        for choice in answer["choices"]
    ]
    return {**answer, "choices": choices, "kv_transfer_params": None, "system_fingerprint": 7}


quirk(
    "fields that nobody knows",
    kind="decoding",
    about="fields",
    answer=partial(_changed, _unknown_fields),
)

# -- streams


def _streamed(change: Callable[[bytes], bytes], ask: Ask, reply: Reply) -> Reply:
    return reply.saying(change(reply.content)) if b"data:" in reply.content[:20] else reply


def _first(more: bytes) -> Callable[[bytes], bytes]:
    return lambda body: more + body


_STREAMS: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": lambda body: body.replace(b"\n", b"\r\n"),
    "CR": lambda body: body.replace(b"\n", b"\r"),
    "no space": lambda body: body.replace(b"data: ", b"data:"),
    "comments": lambda body: b": hello\n\n" + body.replace(b"\n\n", b"\n\n: ping\n\n"),
    "other fields": lambda body: body.replace(
        b"data: ", b"id: 1\nevent: message\nretry: 5\ndata: "
    ),
    "no [DONE]": lambda body: body.replace(b"data: [DONE]\n\n", b""),
    "no empty line at its end": lambda body: body.rstrip(b"\n"),
    "no line of its own at its end": lambda body: body.replace(b"data: [DONE]\n\n", b"").rstrip(
        b"\n"
    ),
    "a role first": _first(
        b'data: {"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "text": ""}]}\n\n'
    ),
    "null choices first": _first(b'data: {"choices": null, "usage": null}\n\n'),
    "a prompt's filter first": _first(b'data: {"choices": [], "prompt_filter_results": []}\n\n'),
    "an event of nothing": _first(b"data:\n\ndata: {}\n\n"),
    "a ping's own event": _first(b'event: ping\ndata: {"type": "ping"}\n\n'),
}
for _name, _change in _STREAMS.items():
    quirk(
        f"a stream with {_name}",
        kind="decoding",
        about="stream reason max_n" if "end" in _name or "DONE" in _name else "stream",
        send=partial(_streamed, _change),
        stream=True,
    )


def _cumulated(body: bytes) -> bytes:
    """A count in every event, as it stands."""
    return body.replace(
        b'data: {"choices": [{', b'data: {"usage": {"completion_tokens": 1}, "choices": [{'
    )


quirk(
    "a stream with counts",
    kind="decoding",
    about="stream",
    send=partial(_streamed, _cumulated),
    stream=True,
)
