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
    """The tags of one family.

    Attributes:
        opening: the opening tag, as a regular expression.
        closing: the closing tag, as a regular expression.
        end: what a model would write to end its thinking and begin its answer.
        alone: whether a closing tag says enough.
    """

    opening: str
    closing: str
    end: str
    alone: bool = True


_FINAL = r"(?:<\|end\|>)?(?:<\|start\|>assistant)?<\|channel\|>final<\|message\|>"
TAGS = (
    *(
        Tags(f"<{name}>", f"</{name}>", f"\n</{name}>\n\n")
        for name in ("think", "thinking", "seed:think")
    ),
    *(
        Tags(f"<{name}>", f"</{name}>", f"\n</{name}>\n\n", alone=False)
        for name in ("thought", "thoughts", "reasoning", "reflection")
    ),
    Tags(r"\[THINK\]", r"\[/THINK\]", "[/THINK]"),
    Tags("◁think▷", "◁/think▷", "◁/think▷"),
    Tags(r"<\|START_THINKING\|>", r"<\|END_THINKING\|>", "<|END_THINKING|>"),
    Tags(
        r"<\|channel\|>analysis<\|message\|>",
        _FINAL,
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
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


class Section(NamedTuple):
    """A stretch of thinking in a text, as offsets into it.

    Attributes:
        start: where its opening tag begins, with white space before it.
        inside: where the tag ends.
        end: where the closing tag begins; the end of the text without one.
        after: where the answer, or the next section, begins.
        closed: whether it has a closing tag.
        closing: the text that ends such thinking; "" if the family of its tags is unknown.
    """

    start: int
    inside: int
    end: int
    after: int
    closed: bool
    closing: str


def sections(text: str, thinking: Thinking) -> list[Section]:
    """Return the stretches of thinking at the beginning of a text, in order."""
    found: list[Section] = []
    if thinking == "off":
        return found
    start = 0
    while True:
        begun = _SPACE.match(text, start)
        opening = OPENING.match(text, begun.end() if begun else start)
        if opening is not None and opening.lastindex is not None:
            closing = _CLOSINGS[opening.lastindex - 1].search(text, opening.end())
            inside, end = opening.end(), TAGS[opening.lastindex - 1].end
        elif not found:
            closing = CLOSING.search(text) if thinking == "opened" else _closing_alone(text)
            inside, end = 0, ""
            if closing is None and thinking == "auto":
                return found
        else:
            return found
        if closing is None:
            return [*found, Section(start, inside, len(text), len(text), closed=False, closing=end)]
        blank = _BLANK_LINES.match(text, closing.end())
        after = blank.end() if blank else closing.end()
        found.append(Section(start, inside, closing.start(), after, closed=True, closing=end))
        start = after


class Split(NamedTuple):
    """The thinking of a text, without tags, and where its answer begins: at its end if there is none."""

    reasoning: str
    start: int


def split(text: str, thinking: Thinking) -> Split:
    """Tell thinking from answer."""
    found = sections(text, thinking)
    if not found:
        return Split("", 0)
    parts = [text[section.inside : section.end].strip() for section in found]
    return Split("\n".join(parts), found[-1].after)


def is_open(text: str, thinking: Thinking) -> bool:
    """Return whether a text ends inside the thinking."""
    found = sections(text, thinking)
    return bool(found) and not found[-1].closed


def _closing_alone(text: str) -> re.Match[str] | None:
    """Return a closing tag with no opening one before it."""
    closing = _ALONE.search(text)
    if closing is None or OPENING.search(text, 0, closing.start()):
        return None
    return closing


def opening_tag(prompt: str) -> str:
    """Return the opening tag with which a prompt ends, so that what follows is thinking; "" without one."""
    end = prompt[-_LONGEST_TAG:].rstrip()
    return next((tag[0] for tag in OPENING.finditer(end) if tag.end() == len(end)), "")


def closing_of(tag: str) -> str:
    """Return the text that ends the thinking which an opening tag has begun; "" for any other text."""
    opening = OPENING.fullmatch(tag)
    return "" if opening is None or not opening.lastindex else TAGS[opening.lastindex - 1].end
