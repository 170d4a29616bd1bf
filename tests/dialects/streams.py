"""Streams that were not recorded: recorded ones in another order, and answers cut into events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.dialects.replay import Capture, capture, completed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from trio_beam.dialects.common.exchange import ExchangeResult

DONE = "[DONE]"
#: Where the choices of a recorded stream have more than one.
INTERLEAVED = (
    "vllm__stream_chat_n2_prefill",
    "vllm__stream_completions_n2",
    "xllamacpp__stream_chat_n2_prefill",
    "xllamacpp__stream_completions_n2",
)
#: Those that are read by one request.
STREAMS = [
    case
    for case in completed(stream=True)
    if case not in ("transformersserve__chat_stream", "xllamacpp__native_stream_utf8")
]


def stream_of(events: Iterable[Any], *, done: bool = True) -> bytes:
    """The body of a stream of these events."""
    data = [json.dumps(event, ensure_ascii=False) for event in events] + [DONE] * done
    return "".join([f"data: {each}\n\n" for each in data]).encode()


def native_events(native: dict[str, Any]) -> list[dict[str, Any]]:
    """One of llama.cpp's own answers as its stream: a token an event, and the end.

    Tokens inside a character are counted and not shown, as in the recorded one.
    """
    entries = list(native.get("completion_probabilities", []))
    place = native.get("index", 0)
    counts = {"tokens_evaluated": native.get("tokens_evaluated", 4)}
    events = []
    for count, number in enumerate(native["tokens"], start=1):
        if not entries or entries[0]["id"] != number:
            continue
        event = {"index": place, "content": entries[0]["token"], "tokens": [number], "stop": False}
        shown = {"completion_probabilities": [entries.pop(0)], "tokens_predicted": count}
        events.append(event | shown | counts)
    end = {"index": place, "content": "", "tokens": [], "stop": True}
    end |= {"stop_type": native["stop_type"], "truncated": native.get("truncated", False)}
    return [*events, end | {"tokens_predicted": len(native["tokens"])} | counts]


def choices_of(case: str) -> list[list[Any]]:
    """The events of a recorded stream, those of each choice for itself, then those of none."""
    events = capture(case).events()
    sources: dict[Any, list[Any]] = {}
    for event in events:
        index = event["choices"][0]["index"] if event["choices"] else -1
        sources.setdefault(index, []).append(event)
    without = sources.pop(-1, [])
    return [sources[index] for index in sorted(sources)] + ([without] if without else [])


def woven(sources: Sequence[Sequence[Any]], order: Iterable[int]) -> list[Any]:
    """The events of all sources, each source's in its own order, taken as `order` says."""
    left = [list(source) for source in sources]
    events = [left[place].pop(0) for place in order if left[place]]
    return events + [event for source in left for event in source]


def as_stream(recorded: Capture) -> Capture:
    """The same answer to a request for a stream."""
    asked = recorded.asked | {"stream": True}
    return Capture(recorded.path, asked, 200, recorded.headers, recorded.body)


def shown(answer: ExchangeResult) -> list[Any]:
    """All that an answer says; first of its continuations, then of their counts, then of its own."""
    each = [
        (found.tokens, list(found.keys), found.data, found.finish_reason, found.exact)
        for found in answer.continuations
    ]
    generated = [(found.logprob, found.generated) for found in answer.continuations]
    return [each, generated, answer.prompt_tokens, answer.extra_generated]
