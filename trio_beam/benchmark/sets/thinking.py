"""Strip the thoughts of reasoning models, which servers often include, from a text.

Thoughts are in ``<think>...</think>`` or similar tags. The opening tag is missing if the chat template
contains it, the closing one if the text was truncated inside a thought.
"""

from __future__ import annotations

from trio_beam.core.reasoning import CLOSING, OPENING


def without_thoughts(text: str) -> str:
    """Return a text without its thoughts, so that no draft in them is taken for the answer.

    Everything before the last closing tag and after an unclosed opening tag is a thought.
    """
    for closing in CLOSING.finditer(text):
        end = closing.end()
        if not CLOSING.search(text, end):
            text = text[end:]
            break
    opening = OPENING.search(text)
    return text if opening is None else text[: opening.start()]
