"""The part of a text that is settled: it will not change, whichever beam wins and however it goes on. Pure.

A text and its extensions differ in more than their ends. A stop string removes text that was there already,
an incomplete character is not a character yet, a tag that is not complete may turn out to be text, and white
space at the end of thinking is not part of it. All of these are held back until they are decided.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from trio_beam.core.beam import Beam
from trio_beam.core.events import Event, RoundFinished
from trio_beam.core.reasoning import TAGS, Thinking, split


class Parts(NamedTuple):
    """A text, or the beginning of one: the model's thinking, and its answer."""

    reasoning: str = ""
    content: str = ""


class Settling:
    """An observer of a search that keeps what is settled; it only grows.

    A text in which thinking may stand before a closing tag without an opening one (``reasoning="auto"``) is
    taken to be the answer. Once some of it is settled it stays that, even if the tag comes after all.

    Args:
        stop: the search's stop strings.

    Attributes:
        parts: what is settled so far.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self.parts = Parts()
        self._stop = stop
        self._direct = False  # whether answers are settled that began without thinking

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, RoundFinished) and event.living:
            self._take(event.living)

    def final(self, beam: Beam) -> Parts:
        """Return the thinking and the answer of a beam of the result; both begin with what is settled."""
        found = self._of_ended(beam)
        return Parts(
            found.reasoning if found.reasoning.startswith(self.parts.reasoning) else self.parts[0],
            found.content,
        )

    def _take(self, beams: Sequence[Beam]) -> None:
        found = [self._of_ended(one) if one.ended else self._of_active(one) for one in beams]
        reasoning = _common_beginning([one.reasoning for one in found])
        content = ""
        # The answer begins where the thinking is over, and that is the same for all.
        if all(one.reasoning == reasoning and one.direct == found[0].direct for one in found):
            content = _common_beginning([one.content for one in found])
            self._direct = self._direct or (bool(content) and found[0].direct)
        self.parts = Parts(*map(_longer, self.parts, (reasoning, content)))

    def _of_ended(self, beam: Beam) -> _Found:
        if self._direct:
            return _Found(_apart(beam) or "", beam.full_text, direct=True)
        direct = split(beam.full_text, beam.thinking).start == 0
        return _Found(beam.reasoning, beam.text, direct=direct)

    def _of_active(self, beam: Beam) -> _Found:
        text = "".join(one.fragment for one in beam.lineage())
        text = _without_beginning_of(text, self._stop)
        found = _certain(text, "off" if self._direct else beam.thinking)
        apart = _apart(beam)
        if apart is None:
            return found
        # Thinking that comes apart is put before thinking in the text, so only its own order is certain.
        return found._replace(reasoning=apart, content="" if found.reasoning else found.content)


class _Found(NamedTuple):
    """The certain part of one beam; `direct`: whether its answer began without thinking in the text."""

    reasoning: str
    content: str
    direct: bool


def _certain(text: str, thinking: Thinking) -> _Found:
    """Return what every extension of a text begins with, unless a lone closing tag comes."""
    found = split(text, thinking)
    if thinking != "off":
        if found.start == len(text):  # inside the thinking, or right behind it
            text = _without_beginning_of(text, _CLOSING)
            return _Found(split(text, thinking).reasoning, "", direct=False)
        begun = text[found.start :].lstrip().lower()
        if not begun or any(tag.startswith(begun) for tag in _OPENING):
            return _Found(found.reasoning, "", direct=found.start == 0)
    return _Found(found.reasoning, text[found.start :], direct=found.start == 0)


def _apart(beam: Beam) -> str | None:
    """Return the thinking that came apart from the text; None if there is none."""
    parts = [one.continuation.reasoning for one in beam.lineage() if one.continuation]
    return None if all(part is None for part in parts) else "".join(filter(None, parts))


def _common_beginning(texts: Sequence[str]) -> str:
    shortest = min(texts, key=len)
    for place, character in enumerate(shortest):
        if any(text[place] != character for text in texts):
            return shortest[:place]
    return shortest


def _longer(before: str, now: str) -> str:
    return now if len(now) > len(before) else before


def _without_beginning_of(text: str, words: Iterable[str]) -> str:
    """Remove the longest end of `text` that may become one of `words` (in lower or upper case)."""
    longest = max(map(len, words), default=1) - 1
    for size in range(min(longest, len(text)), 0, -1):
        end = text[-size:].lower()
        if any(word.lower().startswith(end) and len(word) > size for word in words):
            return text[:-size]
    return text


def _literals(pattern: str) -> list[str]:
    """Return the texts that a pattern of a tag matches: characters and optional groups."""
    optional = re.match(r"(.*?)\(\?:(.*?)\)\?(.*)", pattern)
    if optional is None:
        return [re.sub(r"\\(.)", r"\1", pattern).lower()]
    before, group, after = optional.groups()
    return [*_literals(before + after), *_literals(before + group + after)]


_OPENING = [text for tags in TAGS for text in _literals(tags.opening)]
_CLOSING = [text for tags in TAGS for text in _literals(tags.closing)]
