"""A second reading of recorded answers, with nothing but json, to hold the dialects against."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from trio_beam.core.block import Token

if TYPE_CHECKING:
    from tests.dialects.replay import Capture
    from trio_beam.core.block import Continuation


class Plain(NamedTuple):
    """One choice, as the JSON has it."""

    text: str
    tokens: list[Token]
    reason: str | None

    @property
    def logprob(self) -> float:
        """Of all tokens together, in nats."""
        return math.fsum(token.logprob for token in self.tokens)


def _joined(events: list[Any]) -> list[dict[str, Any]]:
    """The choices of a stream, in the shape that they have without one."""
    texts: dict[int, str] = defaultdict(str)
    rows: dict[int, dict[str, list[Any]]] = {}
    reasons: dict[int, str] = {}
    for event in events:
        for choice in event["choices"]:
            place = choice["index"]
            texts[place] += choice.get("text") or choice.get("delta", {}).get("content") or ""
            for name, row in (choice.get("logprobs") or {}).items():
                rows.setdefault(place, defaultdict(list))[name].extend(row)
            if choice.get("finish_reason"):
                reasons[place] = choice["finish_reason"]
    return [
        {
            "index": place,
            "text": texts[place],
            "logprobs": rows.get(place),
            "finish_reason": reasons[place],
        }
        for place in texts
    ]


def _content(entry: dict[str, Any], top: int) -> Token:
    data = None if entry.get("bytes") is None else bytes(entry["bytes"])
    others = tuple(_content(other, 0) for other in entry.get("top_logprobs", [])[:top])
    return Token(entry["token"], entry["logprob"], entry.get("id"), data, others)


def _legacy(logprobs: dict[str, Any], top: int) -> list[Token]:
    tokens = []
    for place, text in enumerate(logprobs["tokens"]):
        row = logprobs["top_logprobs"][place] or {}
        best = sorted(row, key=lambda other: -row[other])[:top]
        others = tuple(Token(other, row[other]) for other in best)
        tokens.append(Token(text, logprobs["token_logprobs"][place], None, None, others))
    return tokens


def _plain(choice: dict[str, Any], top: int) -> Plain:
    text = choice["message"]["content"] if "message" in choice else choice["text"]
    logprobs = choice["logprobs"] or {"content": []}
    if "content" in logprobs:
        tokens = [_content(entry, top) for entry in logprobs["content"]]
    else:
        tokens = _legacy(logprobs, top)
    spelt = "".join(token.text for token in tokens[:-1])
    if choice["finish_reason"] == "stop" and tokens and tokens[-1].text and text == spelt:
        tokens[-1] = tokens[-1]._replace(text="", bytes=b"")  # ended by a token that is no text
    return Plain(text, tokens, choice["finish_reason"])


def _native_joined(events: list[Any]) -> list[dict[str, Any]]:
    """The choices of llama.cpp's own stream, as the events that end them and what came before."""
    rows = []
    for end in [event for event in events if event["stop"]]:
        own = [event for event in events if event["index"] == end["index"]]
        tokens = [number for event in own for number in event["tokens"]]
        entries = [each for event in own for each in event.get("completion_probabilities", [])]
        text = "".join(event["content"] for event in own)
        more = {"tokens": tokens, "completion_probabilities": entries, "content": text}
        rows.append(end | more)
    return rows


def _native(answer: dict[str, Any], asked: int, top: int) -> Plain:
    reason = "stop" if answer["stop_type"] == "eos" else "length"
    if len(answer["tokens"]) < asked and reason == "length":
        reason = "context"
    tokens = [_content(entry, top) for entry in answer["completion_probabilities"]]
    assert [token.id for token in tokens] == answer["tokens"]
    return Plain(answer["content"], tokens, reason)


def choices_of(recorded: Capture) -> list[Plain]:
    """All of them, in the order of their indices."""
    asked = recorded.request()
    if recorded.path == "/completion":
        given = _native_joined(recorded.events()) if recorded.stream else recorded.answer()
        rows = given if isinstance(given, list) else [given]
        rows = sorted(rows, key=lambda row: row.get("index", 0))
        return [_native(row, asked.max_tokens, asked.top_logprobs) for row in rows]
    rows = _joined(recorded.events()) if recorded.stream else recorded.answer()["choices"]
    rows = sorted(rows, key=lambda row: row["index"])
    return [_plain(row, asked.top_logprobs) for row in rows]


def usage_of(recorded: Capture) -> tuple[int, int | None]:
    """(tokens of the prompt, tokens that were generated), as far as the server counts them."""
    if recorded.path == "/completion":
        given = recorded.answer()
        row = given[0] if isinstance(given, list) else given
        return row.get("tokens_evaluated", 0), row["tokens_predicted"]
    answers = recorded.events() if recorded.stream else [recorded.answer()]
    counts = [answer["usage"] for answer in answers if answer.get("usage")]
    if not counts:
        return 0, None
    prompt = max(count["prompt_tokens"] for count in counts)
    return prompt, sum(count["completion_tokens"] for count in counts)


def check_same(found: Continuation, plain: Plain) -> None:
    """The tokens are the same; `plain.text` is what the block added."""
    assert list(found.tokens) == plain.tokens
    keys = [token.key for token in plain.tokens]
    if b"".join(token.data for token in plain.tokens) != plain.text.encode():
        keys[-1] = found.data  # the tokens do not spell the text: only it tells blocks apart
    assert list(found.keys) == keys
    assert found.logprob == pytest.approx(plain.logprob, abs=1e-9)
    assert found.finish_reason == plain.reason
