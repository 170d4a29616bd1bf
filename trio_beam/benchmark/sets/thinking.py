"""The answer in a text of a reasoning model, whose thoughts servers often send along.

Thoughts stand in ``<think>...</think>`` or tags like it. The opening tag may be missing, where the chat
template had written it; the closing one, where the text was cut off in the middle of a thought.
"""

from __future__ import annotations

import re

_NAMES = "think|thinking|thought|thoughts|reasoning|reflection"
_OPENING = re.compile(
    rf"<(?:{_NAMES})>|\[THINK\]|◁think▷|<\|channel\|>analysis<\|message\|>", re.IGNORECASE
)
_CLOSING = re.compile(
    rf"</(?:{_NAMES})>|\[/THINK\]|◁/think▷|<\|channel\|>final<\|message\|>", re.IGNORECASE
)


def without_thoughts(text: str) -> str:
    """Return a text without its thoughts, so that no draft in them is taken for the answer.

    Whatever stands before the last closing tag is one; so is everything behind an opening tag that is not
    closed.
    """
    for closing in _CLOSING.finditer(text):
        end = closing.end()
        if not _CLOSING.search(text, end):
            text = text[end:]
            break
    opening = _OPENING.search(text)
    return text if opening is None else text[: opening.start()]
