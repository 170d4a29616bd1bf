r"""Final answers in what a model wrote: ``\boxed{...}``, ``#### 72``, ``the answer is 72``, ``Answer: C``.

Nothing here evaluates anything: texts of any content and length are searched in linear time.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction

#: More of an answer is of no use, and would only make its grading slow.
_LONGEST = 1000
#: A final answer stands near the end; the rest of a very long text is not searched.
_TAIL = 20_000

_MARKED = re.compile(
    r"####|\b(?:answer|option|choice)\b(?:\s+(?:to|for|of)\s[^\n.:=]{0,80}?)?\s*(?:\bis\b|:|=)(?:\s*:)?",
    re.IGNORECASE,
)
_TAGGED = re.compile(r"<answer>((?:(?!<answer>).)*?)(?:</answer>|\Z)", re.IGNORECASE | re.DOTALL)
#: Digits in groups of three, or plain; a fraction; a power of ten. Not the 3 of "x3".
_NUMBER = re.compile(
    r"(?<![\w.])[-+−]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d)\.?)(?:e[-+]?\d{1,3})?"
    r"(?:\s*/\s*\d+)?(?![\w])",
    re.IGNORECASE,
)
_LETTER = re.compile(r"^\W*(?:option|choice)?\W*([A-Z])(?:\W|$)")
_LAST_LETTER = re.compile(
    r"\(([A-Z])\)|\*\*([A-Z])\*\*|(?:^|\n)[ \t]*([A-Z])(?=[).:]|[ \t]*(?:\n|$))"
)
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\{([^{}]*)\}")


def boxed(text: str) -> str | None:
    r"""What is in the last whole ``\boxed{...}`` (or ``\fbox``)."""
    text = text[-_TAIL:]
    starts = [match.end() for match in re.finditer(r"\\(?:boxed|fbox)\s*\{", text)]
    for start in reversed(starts[-8:]):
        depth = 1
        for place in range(start, min(len(text), start + _LONGEST)):
            depth += {"{": 1, "}": -1}.get(text[place], 0)
            if depth == 0:
                return text[start:place].strip()
    return None


def tagged(text: str) -> str | None:
    """What is in the last ``<answer>...</answer>``; the end of the text may close it."""
    found: str | None = None
    for match in _TAGGED.finditer(text[-_TAIL:]):
        found = match.group(1).strip()
    return found if found is None else found[:_LONGEST]


def marked(text: str) -> str | None:
    """What stands behind the last ``####``, ``Answer:`` or ``the answer is``, to the end of its line."""
    found: str | None = None
    tail = text[-_TAIL:]
    for match in _MARKED.finditer(tail):
        rest = tail[match.end() : match.end() + _LONGEST].partition("\n")[0].strip(" \t*_`")
        if rest:
            found = rest
    return found


def final_answer(text: str) -> str | None:
    """The answer that a text gives; without any mark of one, its last line that is not empty."""
    for find in (boxed, tagged, marked):
        if (found := find(text)) is not None:
            return _bare(found)
    lines = [line.strip() for line in text[-_TAIL:].splitlines() if line.strip()]
    return _bare(lines[-1][:_LONGEST]) if lines else None


def number_in(text: str) -> str | None:
    """The number that a text gives as its answer, in plain digits: the marked one, or else the last."""
    for find in (boxed, tagged, marked):
        if (found := find(text)) is not None and (numbers := _numbers(found)):
            # "the answer is 18 dollars (2 each)" says its answer first, "Answer: 3 * 6 = 18" last.
            return numbers[-1] if "=" in found else numbers[0]
    numbers = _numbers(text[-_TAIL:])
    return numbers[-1] if numbers else None


def letter_in(text: str, letters: str) -> str | None:
    """The letter that a text chooses, one of `letters`; None if it does not say so clearly."""
    stripped = text.strip()
    if len(stripped.strip("().:*` ")) == 1:
        return _one_of(stripped.strip("().:*` ").upper(), letters)
    for find in (boxed, tagged, marked):
        found = find(text)
        match = None if found is None else _LETTER.match(_WRAPPED.sub(r"\1", _bare(found)))
        if match and (letter := _one_of(match.group(1), letters)):
            return letter
    last: str | None = None
    for match in _LAST_LETTER.finditer(text[-_TAIL:]):
        last = _one_of(next(filter(None, match.groups())), letters) or last
    return last


def value_of(text: str) -> Fraction | None:
    """The number that a text is, and nothing else: ``1,234.50``, ``-3/4``, ``$5``, ``50%`` (as 50)."""
    plain = text.strip().replace("−", "-").replace("\\$", "").replace("$", "").replace("\\!", "")
    plain = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", plain).rstrip(".").removesuffix("%")
    plain = plain.removesuffix("\\").replace(" ", "")
    if len(plain) > 100:
        return None
    top, slash, bottom = plain.partition("/")
    try:
        # A Decimal keeps a huge exponent small; a Fraction would write it out.
        parts = [Decimal(part) for part in ((top, bottom) if slash else (top,))]
        if any(not part.is_finite() or abs(part.adjusted()) > 200 for part in parts):
            return None
        return Fraction(parts[0]) / (Fraction(parts[1]) if slash else 1)
    except (InvalidOperation, ZeroDivisionError, ValueError):
        return None


def normal_form(answer: str) -> str:
    """How answers are compared and voted on: numbers by their value, the rest without its typography."""
    value = value_of(answer)
    if value is not None:
        return str(value)
    plain = _WRAPPED.sub(r"\1", answer)
    for old, new in (("\\left", ""), ("\\right", ""), ("\\!", ""), ("\\,", ""), ("\\ ", "")):
        plain = plain.replace(old, new)
    plain = plain.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").replace("$", "")
    plain = re.sub(r"\^\{?\\circ\}?", "", plain)
    return re.sub(r"\s+", "", plain).rstrip(".").casefold()


def _numbers(text: str) -> list[str]:
    values = (value_of(match.group()) for match in _NUMBER.finditer(text))
    return [_digits(value) for value in values if value is not None]


def _digits(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    decimal = Decimal(value.numerator) / Decimal(value.denominator)
    exact = Fraction(decimal) == value
    return f"{decimal.normalize():f}" if exact else f"{value.numerator}/{value.denominator}"


def _bare(answer: str) -> str:
    """Without the sentence's own full stop, its emphasis and its dollar signs around."""
    plain = answer.strip().lstrip("*_` ").rstrip("*_`. ")
    while len(plain) > 2 and plain[0] == plain[-1] == "$":
        plain = plain[1:-1].strip()
    inner = boxed(plain)
    return plain if inner is None else inner


def _one_of(letter: str, letters: str) -> str | None:
    return letter if letter and letter in letters else None
