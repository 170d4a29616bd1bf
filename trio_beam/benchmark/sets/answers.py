r"""Read final answers in a model's text: numbers, letters, and formulas or words.

Where they stand, `marks` finds. Nothing is evaluated, and texts of any content and length are searched in
linear time.
"""

from __future__ import annotations

import re
from fractions import Fraction

from trio_beam.benchmark.sets.letters import letter_in
from trio_beam.benchmark.sets.marks import LONGEST, boxed, marked, searched, statements, tagged
from trio_beam.benchmark.sets.numbers import digits_of, numbers_in, stated_number, value_of

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

_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\{([^{}]*)\}")
_MATH = r"(?:\$[^$\n]{1,1000}\$|\\\((?:(?!\\\)).){1,1000}\\\))"
#: Formulas at the beginning of an answer, before its reasons: "$x$, since".
_FORMULAS = re.compile(rf"{_MATH}(?:\s*(?:,|,? and|,? or)\s*{_MATH}){{0,9}}")
#: Behind the answer of a text without a mark.
_REMARK = re.compile(
    r"\n[>*_ \t]*(?:check|verification|to verify|note|let me know|explanation)\b", re.IGNORECASE
)
_ASIDE = re.compile(r"\((?!\s*=)[^()\n]{0,300}\)")
_SENTENCE = re.compile(r"[.!?](?=\s)|\n")
_BOLD = re.compile(r"\*\*([^*\n]{1,100})\*\*")
_SIGNS = str.maketrans({"√": r"\sqrt ", "∞": r"\infty ", "∪": r"\cup ", "≤": r"\le ", "≥": r"\ge "})
_ROOT = re.compile(r"√\s*\(([^()\n]{1,200})\)|√\s*([0-9]+|[A-Za-z])")


def final_answer(text: str) -> str | None:
    """Return the answer that a text marks, else its last non-empty line."""
    for found in statements(text):
        return _bare(found)
    lines = [line.strip() for line in searched(text).splitlines() if line.strip()]
    return _bare(lines[-1][:LONGEST]) if lines else None


def number_in(text: str) -> str | None:
    """Return the number that a text gives as its answer, in plain digits: the marked one, else the last.

    Returns None if there is none, or if the answer consists of several.
    """
    for found in statements(text):
        match stated_number(found):
            case Fraction() as value:
                return digits_of(value)
            case str():
                return None
    last = _last_number(searched(text))
    return None if last is None else digits_of(last)


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


def _last_number(text: str) -> Fraction | None:
    """Return the last number of a text, without remarks; of its sentence, the one in bold if there is one."""
    remark = _REMARK.search(text)
    for part in (
        _ASIDE.sub(" ", text[: remark.start()]) if remark else "",
        _ASIDE.sub(" ", text),
        text,
    ):
        numbers = numbers_in(part)
        if numbers:
            break
    else:
        return None
    for sentence in reversed(_SENTENCE.split(part)):
        if numbers_in(sentence):
            bold = [one for some in _BOLD.findall(sentence) for one in numbers_in(some)]
            return bold[-1].value if bold else numbers[-1].value
    return numbers[-1].value


def _bare(answer: str) -> str:
    """Strip an answer of reasons behind a formula, a final full stop, emphasis and dollar signs."""
    plain = answer.strip().lstrip("*_` ").rstrip("*_`. ")
    if formulas := _FORMULAS.match(plain):
        plain = formulas[0]
    while len(plain) > 2 and plain[0] == plain[-1] == "$" and "$" not in plain[1:-1]:
        plain = plain[1:-1].strip()
    if plain.startswith("\\(") and plain.endswith("\\)") and "\\(" not in plain[2:]:
        plain = plain[2:-2].strip()
    inner = boxed(plain)
    plain = plain if inner is None else inner
    return _ROOT.sub(lambda root: rf"\sqrt{{{root[1] or root[2]}}}", plain).translate(_SIGNS)
