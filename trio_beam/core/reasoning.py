"""Tell a model's thinking from its answer in a text. Pure.

Thinking stands at the beginning, between tags: ``<think>`` and ``</think>``, or those of other families. If
the chat template has opened it, the text has the closing tag only; if the text was cut off, the opening one
only, and then there is no answer yet. Tags that stand further behind are part of the answer.

The split depends on the whole text and never on how it was cut into blocks or pieces of a stream.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

#: Whether a text may begin with thinking (``"auto"``), begins inside it or is all answer.
Thinking: TypeAlias = Literal["auto", "opened", "off"]


class Tags(NamedTuple):
    """The tags of one family, as regular expressions; `alone`: whether a closing one says enough."""

    opening: str
    closing: str
    alone: bool = True


_FINAL = r"(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>"
TAGS = (
    Tags("<think>", "</think>"),
    Tags("<thinking>", "</thinking>"),
    *(
        Tags(f"<{name}>", f"</{name}>", alone=False)
        for name in ("thought", "thoughts", "reasoning", "reflection")
    ),
    Tags("<seed:think>", "</seed:think>"),
    Tags(r"\[THINK\]", r"\[/THINK\]"),
    Tags("◁think▷", "◁/think▷"),
    Tags(r"<\|START_THINKING\|>", r"<\|END_THINKING\|>"),
    Tags(r"<\|channel\|>analysis<\|message\|>", _FINAL),
)


def _any(tags: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"({tag})" for tag in tags), re.IGNORECASE)


OPENING = _any([tags.opening for tags in TAGS])
CLOSING = _any([tags.closing for tags in TAGS])
_ALONE = _any([tags.closing for tags in TAGS if tags.alone])
_CLOSINGS = [re.compile(tags.closing, re.IGNORECASE) for tags in TAGS]
_SPACE = re.compile(r"\s*")
#: Behind the closing tag: not the indentation of the answer.
_BLANK_LINES = re.compile(r"(?:[ \t]*\r?\n)*")
_LONGEST_TAG = 64


class Split(NamedTuple):
    """The thinking of a text, without tags, and where its answer begins: at its end if there is none."""

    reasoning: str
    start: int


def split(text: str, thinking: Thinking) -> Split:
    """Tell thinking from answer."""
    if thinking == "off":
        return Split("", 0)
    parts: list[str] = []
    start = 0
    while True:
        begun = _SPACE.match(text, start)
        opening = OPENING.match(text, begun.end() if begun else start)
        if opening is not None and opening.lastindex is not None:
            closing = _CLOSINGS[opening.lastindex - 1].search(text, opening.end())
            inside = opening.end()
        elif not parts:
            closing = CLOSING.search(text) if thinking == "opened" else _closing_alone(text)
            inside = 0
            if closing is None and thinking == "auto":
                return Split("", 0)
        else:
            return Split("\n".join(parts), start)
        parts.append(text[inside : len(text) if closing is None else closing.start()].strip())
        if closing is None:
            return Split("\n".join(parts), len(text))
        blank = _BLANK_LINES.match(text, closing.end())
        start = blank.end() if blank else closing.end()


def _closing_alone(text: str) -> re.Match[str] | None:
    """Return a closing tag with no opening one before it."""
    closing = _ALONE.search(text)
    if closing is None or OPENING.search(text, 0, closing.start()):
        return None
    return closing


def opens_thinking(prompt: str) -> bool:
    """Return whether a prompt ends with an opening tag, so that what follows is thinking."""
    end = prompt[-_LONGEST_TAG:].rstrip()
    return any(found.end() == len(end) for found in OPENING.finditer(end))
