"""The text somewhere else, in parts, with more around it, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.servers.quirks.quirk import Ask, quirk


def _said(change: Callable[[str], dict[str, Any]], ask: Ask, answer: Any) -> Any:
    for choice in answer["choices"]:
        if ask.chat:
            choice["message"] = {"role": "assistant", **change(choice["message"]["content"])}
    return answer


_SAME: dict[str, Callable[[str], dict[str, Any]]] = {
    "a list of parts": lambda text: {"content": [{"type": "text", "text": text}]},
    "a list of two parts": lambda text: {
        "content": [{"type": "text", "text": text[:2]}, {"type": "text", "text": text[2:]}]
    },
    "parts without a type": lambda text: {"content": [{"text": text}]},
    "output_text": lambda text: {"content": [{"type": "output_text", "text": text}]},
    "a list of strings": lambda text: {"content": [text[:2], text[2:]]},
    "one part": lambda text: {"content": {"type": "text", "text": text}},
    "beside empty reasoning": lambda text: {
        "content": text,
        "reasoning_content": "",
        "reasoning": None,
    },
    "beside null tool calls": lambda text: {
        "content": text,
        "tool_calls": None,
        "refusal": None,
        "audio": None,
    },
    "beside no tool calls": lambda text: {"content": text, "tool_calls": [], "annotations": []},
}
for _name, _change in _SAME.items():
    quirk(
        f"content is {_name}",
        kind="texts",
        about="text",
        answer=partial(_said, _change),
        api="chat",
        stream=False if "list" in _name or "part" in _name else None,
    )
for _name, _change, _words in (
    (
        "in reasoning_content",
        lambda text: {"content": None, "reasoning_content": text or "x"},
        "thinking apart",
    ),
    ("in reasoning", lambda text: {"content": "", "reasoning": text or "x"}, "thinking apart"),
    (
        "in thinking parts",
        lambda text: {"content": [{"type": "thinking", "thinking": text}]},
        "thinking apart",
    ),
    (
        "in a refusal",
        lambda text: {"content": None, "refusal": "I cannot"},
        "the model refused to answer: 'I cannot'",
    ),
    (
        "in tool calls",
        lambda text: {"content": None, "tool_calls": [{"function": {"name": "f"}}]},
        "tool_calls|no text",
    ),
    ("null", lambda text: {"content": None}, "no text"),
    ("empty", lambda text: {"content": ""}, "no text"),
    ("missing", lambda text: {}, "no text"),
    (
        "half in reasoning",
        lambda text: {"content": text[2:], "reasoning_content": text[:2]},
        "log-prob|no text|reasoning",
    ),
):
    quirk(
        f"the text is {_name}",
        kind="texts",
        about="text values",
        answer=partial(_said, _change),
        api="chat",
        outcome="error",
        words=_words,
    )


def _text(change: Callable[[str, str], str], ask: Ask, answer: Any) -> Any:
    before = (
        ask.body["messages"][-1]["content"]
        if ask.chat and ask.grown
        else ask.body.get("prompt", "")
    )
    for choice in answer["choices"]:
        if ask.chat:
            choice["message"]["content"] = change(choice["message"]["content"], before)
        else:
            choice["text"] = change(choice["text"], before)
    return answer


quirk(
    "the text is stripped",
    kind="texts",
    about="text",
    answer=partial(_text, lambda text, before: text.strip()),
)
quirk(
    "the first space is lost",
    kind="texts",
    about="text",
    answer=partial(_text, lambda text, before: text.removeprefix(" ")),
)
quirk(
    "a line's end behind the text",
    kind="texts",
    about="text end",
    answer=partial(_text, lambda text, before: text + "\n"),
)
quirk(
    "the prompt in front",
    kind="texts",
    about="text end",
    answer=partial(_text, lambda text, before: before + text),
)
quirk(
    "another text",
    kind="texts",
    about="text",
    answer=partial(_text, lambda text, before: "Sorry, I cannot."),
    outcome="error",
    words="log-probabilities do not belong to the text",
)


def _echoed(ask: Ask, answer: Any) -> Any:
    """The prompt and its tokens in front, as by `echo`."""
    before = ask.body.get("prompt", "")
    for choice in answer["choices"]:
        choice["text"] = before + choice["text"]
        shown = choice["logprobs"]
        if shown:
            shown["tokens"] = [before, *shown["tokens"]]
            shown["token_logprobs"] = [None, *shown["token_logprobs"]]
            shown["top_logprobs"] = [None, *shown["top_logprobs"]]
    return answer


quirk(
    "the prompt and its tokens in front",
    kind="texts",
    about="text values",
    answer=_echoed,
    api="completions",
    outcome="error",
    words="without its log-probability",
)


def _withheld(ask: Ask, answer: Any) -> Any:
    for choice in answer["choices"]:
        choice["finish_reason"] = "content_filter"
    return answer


quirk(
    "the text is withheld",
    kind="texts",
    about="text",
    answer=_withheld,
    outcome="error",
    words="content_filter",
)
