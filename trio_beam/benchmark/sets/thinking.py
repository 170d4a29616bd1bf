"""Strip the thoughts of reasoning models from a text that is graded.

Thoughts at the beginning are those that a search tells from the answer, by `core.reasoning`; texts from
elsewhere still have them. A grader also ignores thoughts with the same tags further behind, so that no draft
in them is taken for the answer; a tag in quotes is none.
"""

from __future__ import annotations

import re

from trio_beam.core.reasoning import CLOSING, OPENING, split

_QUOTED = re.compile(r"[`'\"]\Z")


def without_thoughts(text: str) -> str:
    """Return a text without its thoughts.

    These are everything before the last closing tag, and after an opening tag that is not closed.
    """
    text = text[split(text, "auto").start :]
    ends = [tag.end() for tag in CLOSING.finditer(text) if not _is_quoted(text, tag)]
    text = text[ends[-1] :] if ends else text
    for opening in OPENING.finditer(text):
        if not _is_quoted(text, opening):
            return text[: opening.start()]
    return text


def _is_quoted(text: str, tag: re.Match[str]) -> bool:
    return _QUOTED.search(text, max(0, tag.start() - 1), tag.start()) is not None
