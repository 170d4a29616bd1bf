r"""Find final answers in a model's text: ``\boxed{...}``, ``#### 72``, ``the answer is 72``, ``Answer: C``.

The thoughts of reasoning models are ignored (`thinking`). Nothing is evaluated, and texts of any content
and length are searched in linear time.
"""

from __future__ import annotations

import re
from fractions import Fraction

from trio_beam.benchmark.sets.numbers import (
    digits_of,
    half_width,
    numbers_in,
    stated_number,
    value_of,
)
from trio_beam.benchmark.sets.thinking import without_thoughts

__all__ = [
    "boxed",
    "final_answer",
    "letter_in",
    "marked",
    "normal_form",
    "number_in",
    "tagged",
    "value_of",
]

#: Longer answers are useless and would only slow down grading.
_LONGEST = 1000
#: Final answers are near the end; the rest of a very long text is not searched.
_TAIL = 20_000

_MARKED = re.compile(
    r"####|\b(?:answer|option|choice)\b(?:\s+(?:to|for|of)\s[^\n.:=]{0,80}?)?\s*(?:\bis\b|:|=)(?:\s*:)?"
    r"|\b(?:antwort|réponse|respuesta|risposta|resposta|ответ)\s*(?:ist\b|est\b|es\b|:|=)"
    r"|(?:答案|答え|正解|정답)\s*(?:是|为|為|は)?\s*:?",
    re.IGNORECASE,
)
_TAGGED = re.compile(r"<answer>((?:(?!<answer>).)*?)(?:</answer>|\Z)", re.IGNORECASE | re.DOTALL)
_LETTER = re.compile(r"^\W*+(?:(?:option|choice)\W*+)?([A-Z])(?:\W|$)")
#: Nothing but a letter, which may then be a small one.
_ALONE = re.compile(r"\W*(?:(?:option|choice|answer)\s\W*)?([A-Z])\W*", re.IGNORECASE)
_OTHER_LETTER = re.compile(r"(?:\W*+(?:or|and)\W*+|[^\w&/,]*+[&/,]\W*+)([A-Z])(?:\W|$)")
_LAST_LETTER = re.compile(
    r"\(([A-Z])\)|\*\*([A-Z])\*\*|(?:^|\n)[ \t]*([A-Z])(?=[).:]|[ \t]*(?:\n|$))"
)
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\{([^{}]*)\}")


def boxed(text: str) -> str | None:
    r"""Return the content of the last complete ``\boxed{...}`` (or ``\fbox``)."""
    text = _tail(text)
    starts = [match.end() for match in re.finditer(r"\\(?:boxed|fbox)\s*\{", text)]
    for start in reversed(starts[-8:]):
        depth = 1
        for place in range(start, min(len(text), start + _LONGEST)):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if depth == 0:
                return text[start:place].strip()
    return None


def tagged(text: str) -> str | None:
    """Return the content of the last ``<answer>...</answer>``, possibly closed by the end of the text."""
    found: str | None = None
    for match in _TAGGED.finditer(_tail(text)):
        found = match.group(1).strip()
    return found if found is None else found[:_LONGEST]


def marked(text: str) -> str | None:
    """Return the rest of the line after the last ``####``, ``Answer:`` or ``the answer is``."""
    found: str | None = None
    tail = half_width(_tail(text))
    for match in _MARKED.finditer(tail):
        rest = tail[match.end() : match.end() + _LONGEST].partition("\n")[0].strip(" \t*_`")
        if rest:
            found = rest
    return found


def final_answer(text: str) -> str | None:
    """Return the answer that a text marks, else its last non-empty line."""
    for find in (boxed, tagged, marked):
        if (found := find(text)) is not None:
            return _bare(found)
    lines = [line.strip() for line in _tail(text).splitlines() if line.strip()]
    return _bare(lines[-1][:_LONGEST]) if lines else None


def number_in(text: str) -> str | None:
    """Return the number that a text gives as its answer, in plain digits: the marked one, else the last.

    Returns None if there is none, or if the answer consists of several.
    """
    for find in (boxed, tagged, marked):
        if (found := find(text)) is None:
            continue
        match stated_number(found):
            case Fraction() as value:
                return digits_of(value)
            case "several":
                return None
    numbers = numbers_in(_tail(text))
    return digits_of(numbers[-1].value) if numbers else None


def letter_in(text: str, letters: str) -> str | None:
    """Return the letter in `letters` that a text chooses; None if that is unclear."""
    text = half_width(_tail(text))
    if alone := _ALONE.fullmatch(text):
        return _one_of(alone.group(1).upper(), letters)
    for find in (boxed, tagged, marked):
        found = find(text)
        plain = "" if found is None else _WRAPPED.sub(r"\1", _bare(found))
        if alone := _ALONE.fullmatch(plain):
            return _one_of(alone.group(1).upper(), letters)
        match = _LETTER.match(plain)
        if match and (letter := _one_of(match.group(1), letters)):
            # "A or B" chooses neither.
            other = _OTHER_LETTER.match(plain, match.end(1))
            return None if other and _one_of(other.group(1), letters) else letter
    last: str | None = None
    for match in _LAST_LETTER.finditer(text):
        last = _one_of(next(filter(None, match.groups())), letters) or last
    return last


def normal_form(answer: str) -> str:
    """Normalise an answer for comparison: numbers by value, other text without typography."""
    value = value_of(answer)
    if value is not None:
        return str(value)
    plain = _WRAPPED.sub(r"\1", answer)
    for old, new in (("\\left", ""), ("\\right", ""), ("\\!", ""), ("\\,", ""), ("\\ ", "")):
        plain = plain.replace(old, new)
    plain = plain.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("$", "")
    plain = re.sub(r"\^\{?\\circ\}?", "", plain)
    return re.sub(r"\s+", "", plain).rstrip(".").casefold()


def _tail(text: str) -> str:
    """Return the part of a text that is searched for the answer."""
    return without_thoughts(text)[-_TAIL:]


def _bare(answer: str) -> str:
    """Strip an answer of a final full stop, emphasis and dollar signs."""
    plain = answer.strip().lstrip("*_` ").rstrip("*_`. ")
    while len(plain) > 2 and plain[0] == plain[-1] == "$":
        plain = plain[1:-1].strip()
    inner = boxed(plain)
    return plain if inner is None else inner


def _one_of(letter: str, letters: str) -> str | None:
    return letter if letter and letter in letters else None
