"""Strip the thoughts of reasoning models, which servers often include, from a text.

Thoughts are in ``<think>...</think>`` or similar tags. The opening tag is missing if the chat template
contains it, the closing one if the text was truncated inside a thought.
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

    Everything before the last closing tag and after an unclosed opening tag is a thought.
    """
    for closing in _CLOSING.finditer(text):
        end = closing.end()
        if not _CLOSING.search(text, end):
            text = text[end:]
            break
    opening = _OPENING.search(text)
    return text if opening is None else text[: opening.start()]
