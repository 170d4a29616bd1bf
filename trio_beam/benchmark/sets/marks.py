r"""Find where a text marks its final answer.

They are ``\boxed{...}``, ``<answer>``, ``#### 72``, ``Answer: C`` and ``72 is the answer``.

The thoughts of reasoning models are ignored (`thinking`). Texts of any content and length are searched in
linear time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from trio_beam.benchmark.sets.numbers import half_width
from trio_beam.benchmark.sets.thinking import without_thoughts

#: Longer answers are useless and would only slow down grading.
LONGEST = 1000
#: Final answers are near the end; the rest of a very long text is not searched.
_TAIL = 20_000
#: Of the marks of a text, so many are looked at, from the last one.
_MOST = 8

_BOX = re.compile(r"\\(?:boxed|fbox)[ ]?\{")
#: Between two boxes that give one answer: ``\boxed{1} or \boxed{2}``.
_JOINED = re.compile(r"[\s$]*+(?:\\text)?\{?\s*+(?:,[\s,]*+(?:or|and)?|or|and)[\s,]*+\}?[\s$]*+")
_TAGGED = re.compile(
    r"<(?:final_)?answer>((?:(?!<(?:final_)?answer>).)*?)(?:</(?:final_)?answer>|\Z)"
    r"|\[answer\]((?:(?!\[answer\]).)*?)(?:\[/answer\]|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_MODAL = r"(?:should|must|would|will|could|can|has[ ]to)[ ](?:[a-z]{1,12}[ ])?be\b"
_MARKED = re.compile(
    rf"""
    [#]{{4}}(?:(?=[^\w\n]*(?:\w\b|\d))|(?=[^\n]*\Z))
  | \b(?:answer|option|choice|final[ ](?:result|value|total|number|count|solution))\b(?P<json>")?[*_`']*
    (?:[ ](?:to|for|of)[ ][^\n.:=]{{0,80}}?)?
    [^\S\n]*(?:(?:{_MODAL}|\bis\b|\bequals\b|\bcomes[ ](?:out[ ])?to\b)(?:[^\S\n]*:)?|[:=→⇒]|->|[-–—](?=[ ]))
  | \bans[.:]
  | (?:^|\n)[>#*_ \t]*(?:(?:the|my)[ ])?(?:final[ ]|correct[ ])?answer[*_]*
    (?=[ \t]*\n|[ ][*_(\\$]*(?:\d|[A-J]\b))
  | \b(?:antwort|réponse|respuesta|risposta|resposta|ответ)\b(?:[ ](?:corr?ecta|corretta|correta|finale?))?
    [^\S\n]*(?:ist\b|est\b|es\b|è|é|:|=)
  | (?:答案|答え|正解|정답)[^\S\n]*(?:是|为|為|は)?[^\S\n]*:?
    """,
    re.IGNORECASE | re.VERBOSE,
)
#: Behind the answer: "so 72 is the final answer".
_BEHIND = re.compile(
    r"\b(?:is|are)[ ](?:therefore[ ]|thus[ ])?(?:the|our|my)[ ](?:final[ ]|correct[ ]|right[ ])?answer\b",
    re.IGNORECASE,
)
_LAST_FORMULA = re.compile(r"\$[^$\n]{1,100}\$(?=\W{0,4}$)")
_CLAUSE = re.compile(r"[.;:!?](?=\s)|,(?=\s)|\n")
_SENTENCE = 120
_LEAD = " \t*_`\"'“>"
_TRAIL = ' \t*_`"”'
_FENCES = re.compile(r"[`~]{3,}[^\n]*|\$\$|\\[\[\]]")
_PARAGRAPH = re.compile(r"\n[^\S\n]*\n")
_COMMAND = re.compile(r"\\[A-Za-z]+")
_LONG_WORD = re.compile(r"[^\W\d_]{2,}")
_NAMED = re.compile(r"\$?\s?[A-Za-z]\s?=")


def searched(text: str) -> str:
    """Return the part of a text that is searched for the answer."""
    return without_thoughts(text)[-_TAIL:]


def boxed(text: str) -> str | None:
    r"""Return the content of the last complete ``\boxed{...}`` (or ``\fbox``).

    Of two that are joined by a comma or a word, return both: ``\boxed{1} or \boxed{2}`` is ``1, 2``.
    """
    text = searched(text)
    later: tuple[int, str] | None = None
    for match in reversed([*_BOX.finditer(text)][-_MOST:]):
        end = _closing_brace(text, match.end())
        if end is None:
            continue
        inside = text[match.end() : end].strip()
        if later is None:
            later = match.start(), inside
        else:
            between = text[end + 1 : later[0]]
            joined = len(between) < _SENTENCE and _JOINED.fullmatch(between)
            return f"{inside}, {later[1]}" if joined and inside != later[1] else later[1]
    return None if later is None else later[1]


def tagged(text: str) -> str | None:
    """Return the content of the last ``<answer>...</answer>``, possibly closed by the end of the text."""
    found: str | None = None
    for match in _TAGGED.finditer(searched(text)):
        found = (match[1] or match[2] or "").strip()
    return found if found is None else found[:LONGEST]


def marked(text: str) -> str | None:
    """Return the rest of the line after the last ``####``, ``Answer:`` or ``the answer is``."""
    return next(marks(text), None)


def marks(text: str) -> Iterator[str]:
    """Return what the marks of a text point at, from the last one: the rest of a line, or the next line."""
    tail = half_width(searched(text))
    places = [(match.end(), match) for match in _MARKED.finditer(tail)]
    places += [(match.start(), match) for match in _BEHIND.finditer(tail)]
    places.sort(key=lambda one: one[0])
    for place, match in reversed(places[-_MOST:]):
        if match.re is _BEHIND:
            found = _before(tail, place)
        else:
            found = _quoted(tail, place) if match["json"] else None
            found = found or _after(tail, place)
        if found:
            yield found


def statements(text: str) -> Iterator[str]:
    """Return the answers that a text marks, the clearest one first: a box, tags, then other marks."""
    for find in (boxed, tagged):
        if (found := find(text)) is not None:
            yield found
    yield from marks(text)


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for place in range(start, min(len(text), start + LONGEST)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
    return None


def _after(tail: str, place: int) -> str | None:
    """Return the rest of a line; if it is empty, the next line, if that is a paragraph and short."""
    line, _, more = tail[place : place + LONGEST].partition("\n")
    line = line.lstrip(_LEAD).rstrip(_TRAIL)
    if line and not _FENCES.fullmatch(line):
        return line
    paragraph = _PARAGRAPH.split(_FENCES.sub("", more).strip(), maxsplit=1)[0].strip()
    return paragraph if "\n" not in paragraph and _is_bare(paragraph) else None


def _is_bare(line: str) -> bool:
    """Return whether a line is an answer, and not the first one of a solution."""
    words = _LONG_WORD.findall(_COMMAND.sub("", line))
    return len(words) <= 4 and ("=" not in line or _NAMED.match(line) is not None)


def _before(tail: str, place: int) -> str | None:
    """Return the clause that ends at a place; a question ("what is the answer") has none."""
    start = max(0, place - _SENTENCE)
    clause = _CLAUSE.split(tail[start:place])[-1].strip(_LEAD)
    if formula := _LAST_FORMULA.search(clause):
        return formula[0]
    return None if clause.lower() in ("this", "that", "it", "what", "which", "") else clause


def _quoted(tail: str, place: int) -> str | None:
    """Return a value of JSON."""
    try:
        value, _ = json.JSONDecoder().raw_decode(tail[place : place + LONGEST].lstrip())
    except (ValueError, RecursionError):
        return None
    return str(value) if isinstance(value, (str, int, float)) else None
