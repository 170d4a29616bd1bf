r"""Read numbers as people and models write them.

Supported are digits in groups (``1,234``, ``1{,}234``, ``1\,234``, ``1 234``, ``1'234``, ``1,00,000``),
full-width digits and signs, fractions (``3/4``, ``\frac{3}{4}``, ``1\frac12``, ``½``), powers (``10^3``,
``1e5``, ``2 \times 10^3``), magnitudes (``1.5 million``), currencies, per cent (``50%`` is 50), and units
after a number (``18cm``, ``18\text{ cm}``, the ``18th``). The 3 of ``x3``, the 4 of ``4B`` and the 2 of
``1.2.3`` are not numbers. An answer may also be in words (``twenty-one``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from fractions import Fraction

import attrs

from trio_beam.benchmark.sets.number_words import in_words

#: Longer numbers are ignored, since they would only slow down reading.
_LONGEST = 100
#: Maximum number of decimal digits of a number, and of its denominator.
_MAX_DIGITS = 200

#: Full-width forms and other substitutes of ASCII characters.
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {
    0x3000: " ",
    **{ord(sign): "." for sign in "。．｡"},
    **{ord(sign): "-" for sign in "−﹣‐‑‒–"},
    **{ord(space): " " for space in "\u00a0\u2007\u2009\u202f"},
    ord("’"): "'",
}
_VULGAR = {
    "½": "1/2",
    "⅓": "1/3",
    "⅔": "2/3",
    "¼": "1/4",
    "¾": "3/4",
    "⅕": "1/5",
    "⅖": "2/5",
    "⅗": "3/5",
    "⅘": "4/5",
    "⅙": "1/6",
    "⅚": "5/6",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
#: Words for magnitudes; letters too, after an amount of money.
_SIZES = {
    "hundred": 10**2,
    **dict.fromkeys(("thousand", "k"), 10**3),
    **dict.fromkeys(("million", "m"), 10**6),
    **dict.fromkeys(("billion", "b"), 10**9),
    "trillion": 10**12,
}
#: Units written directly after a number; longer words may follow anyway.
_UNITS = (
    "km|cm|mm|nm|m|kg|mg|g|t|lbs?|oz|ft|in|yds?|mi|mph|kph|kmh|kWh|kW|W|V|A|K|J|N|s|ms|h|hrs?|min"
    "|l|ml|L|mL|st|nd|rd|th|am|pm|px|dB|Hz|kHz|MHz|GHz|KB|MB|GB|TB|°[CF]?|%"
)

#: Only between digits: what nobody writes between two numbers.
_SEPARATOR = re.compile(r"(?<=\d)(?:[\u00a0\u2007\u2009\u202f’_]|\\[,;:!]|\{,\})(?=\d{3}(?!\d))")
_LATEX = (
    (re.compile(r"\\(?:left|right|displaystyle|!)"), ""),
    (re.compile(r"\\(?:approx|simeq|quad|qquad|ldots|dots)\b"), " "),
    (re.compile(r"\\pm"), "±"),
    (re.compile(r"\\[,;: ]|~"), " "),
    (re.compile(r"\\(?=[$%#&_{}])"), ""),
    (re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|textrm|mbox)\s*\{([^{}]*)\}"), r" \1 "),
    (re.compile(r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degrees?"), "°"),
    (re.compile(r"(?<=\d)\s*\^\s*\{?\s*(?=(?:st|nd|rd|th)\b)"), ""),
    (re.compile(r"\\(?:times|cdot)|[×·⋅]"), "*"),
    (
        re.compile(r"(?<=\d)\s*\\[dtc]?frac\s*+\{\s*+([\d., ]++)\}\s*+\{\s*+([\d., ]++)\}"),
        r" \1/\2",
    ),
    (re.compile(r"\\[dtc]?frac\s*+\{\s*+([-+]?[\d., ]++)\}\s*+\{\s*+([\d., ]++)\}"), r"\1/\2"),
    (re.compile(r"(?<=\d)\s*\\[dtc]?frac\s*(\d)\s*(\d)"), r" \1/\2"),
    (re.compile(r"\\[dtc]?frac\s*(\d)\s*(\d)"), r"\1/\2"),
)
#: Maximum repetitions in patterns, which bounds the time per text.
_GROUPS = (
    r"\d{1,3}(?:,\d{3}){1,25}(?!\d)|\d{1,3}(?:'\d{3}){1,25}(?!\d)"
    r"|\d{1,2}(?:,\d{2}){1,25},\d{3}(?!\d)"
)
_SPACED = r"\d{1,3}(?:[ ]\d{3}){1,25}(?![\d/])"
_BODY = r"""
    (?P<sign>SIGN)? (?P<before>(?:US)?[$€£¥₹]\s?)? (?P<inner>-)?
    (?:
        (?P<whole>\d{1,9})\s+(?:and\s+)?(?P<part>\d{1,9})\s*[/⁄]\s*(?P<of>\d{1,9})
      |
        (?P<digits>(?:GROUPS|\d+)?(?:\.\d+|(?<=\d)\.?(?!\d)))
        (?:e(?P<exponent>[-+]?\d{1,3}))?
        (?:\s?\*\s?10\s?\^\s?\{?(?P<ten>-?\d{1,3})\}?)?
        (?:\s?\^\s?\{?(?P<power>-?\d{1,3})\}?)?
        (?:\s?[/⁄]\s?(?P<below>\d+(?:\.\d+)?))?
    )
    (?:\s?(?P<size>hundred|thousand|million|billion|trillion)\b)?
    (?(before)(?:(?P<money>[kKMB])(?![A-Za-z0-9_]))?)
"""
#: What may follow a number: its unit, or nothing that would make it part of a name.
_BEHIND = rf"(?:(?:{_UNITS}|[a-z]{{3,}})(?![A-Za-z0-9_])|(?![A-Za-z0-9_]))(?!\.\d)"
_FLAGS = re.VERBOSE | re.IGNORECASE
_ALL_GROUPS = f"{_GROUPS}|{_SPACED}"
_START = r"(?<![A-Za-z0-9_.\\^])"
#: In a text, a dash followed by a space starts a list item.
_IN_BODY = _BODY.replace("SIGN", "[-+]").replace("GROUPS", _GROUPS)
_ALONE_BODY = _BODY.replace("SIGN", r"[-+]\s?").replace("GROUPS", _ALL_GROUPS)
_IN_TEXT = re.compile(rf"{_START}(?:{_IN_BODY})(?-i:{_BEHIND})", _FLAGS)
_IN_ANSWER = re.compile(rf"{_START}(?:{_ALONE_BODY})(?-i:{_BEHIND})", _FLAGS)
_ALONE = re.compile(rf"\s*(?:{_ALONE_BODY})\s?(?:[€£¥₹]|%|°)?\.?\s*", _FLAGS)
#: Separators of alternatives, neither of which alone is the answer: ``18 or 20``; ``18, 20`` alone.
_OR = re.compile(r"\s*(?:[a-z]+\s+){0,2}(?:or|and/or|to|±|-)\s*", re.IGNORECASE)
_LIST = re.compile(r"\s*(?:[,;&]|and)\s*", re.IGNORECASE)
_WORD = re.compile(r"(?<![A-Za-z])(?!and\b|or\b)[A-Za-z]{2,}", re.IGNORECASE)
_RANGE = re.compile(r"\bbetween\s*$", re.IGNORECASE)
_COMMAND = re.compile(r"\\[A-Za-z]")
_DENIED = re.compile(r"\b(?:not|never|isn't|rather than|instead of)\s*$", re.IGNORECASE)
#: What goes on with a sum, and what ends a statement, before its reasons.
_OPERATOR = re.compile(r"[^\S\n]{0,2}[)\]]?[^\S\n]{0,2}[-+*/÷^±][^\S\n]{0,2}(?=[\d(\[$£€.])")
_EQUALS = re.compile(r"[^\S\n]{0,2}=")
_CLAUSE = re.compile(
    r"[.,;](?=\s|$)|\s\(|\b(?:since|because|as|where|which|given|for|from|after|when|if)\b",
    re.IGNORECASE,
)
_UNCLEAR = re.compile(
    r"\b(?:unclear|unknown|undetermined|not enough information"
    r"|(?:cannot|can't|can not) be (?:determined|found|known))\b",
    re.IGNORECASE,
)


@attrs.frozen
class Found:
    """A number in a text, with its position."""

    value: Fraction
    start: int
    end: int


def half_width(text: str) -> str:
    """Convert full-width characters to ASCII, one for one."""
    return text.translate(_HALF_WIDTH)


def value_of(text: str) -> Fraction | None:
    """Return the number if a text consists of one, with at most a currency or per cent sign."""
    plain = _plain(text.strip().strip("$"))
    match = _ALONE.fullmatch(plain) if len(plain) <= _LONGEST else None
    return None if match is None else _value(match)


def numbers_in(text: str, *, spaced: bool = False) -> list[Found]:
    """Find all numbers in a text.

    Args:
        text: of any content.
        spaced: whether spaces may separate groups of three digits, as in an answer alone.
    """
    return list(_find(_plain(text), spaced=spaced))


def stated_number(text: str) -> Fraction | str | None:
    """Return the number that a short text states as its answer.

    This is the result of a sum (``3 * 6 = 18``, ``18 = 3 * 6``), else the first that is not negated.

    Returns:
        ``"several"`` if the text names alternatives, or a sum without a result; ``"unclear"`` if it says that
        there is no answer; None if it has no number or is an expression.
    """
    plain = _plain(text)
    if _COMMAND.search(plain):
        return None  # an expression: a root, say
    found = [
        one
        for one in _find(plain, spaced=True)
        if not _DENIED.search(plain, max(0, one.start - 20), one.start)
    ]
    if not found:
        words = in_words(plain)
        return "unclear" if _UNCLEAR.search(plain) else None if words is None else Fraction(words)
    first = found[0]
    clause = _CLAUSE.search(plain, first.end)
    end = clause.start() if clause else len(plain)
    behind = plain.rfind("=", 0, end)
    lone = [
        one
        for one in found
        if behind < one.start < end
        and not (
            _OPERATOR.match(plain, one.end) or _OPERATOR.fullmatch(plain, behind + 1, one.start)
        )
    ]
    if behind > first.end:
        left = not lone or plain[behind + 1 : lone[0].start].strip(" ($") not in ("", "about", "≈")
        if left and _EQUALS.match(plain, first.end):
            return first.value
        return lone[0].value if lone else "several"
    if len(found) > 1 and _alternatives(plain, first, found[1]):
        return "several"
    return "several" if _OPERATOR.match(plain, first.end) else first.value


def _alternatives(plain: str, first: Found, second: Found) -> bool:
    """Return whether two numbers are alternatives, or the ends of a range."""
    between = plain[first.end : second.start]
    if _OR.fullmatch(between):
        return True
    if not _LIST.fullmatch(between):
        return False
    return _RANGE.search(plain, 0, first.start) is not None or not _WORD.search(plain)


def digits_of(value: Fraction) -> str:
    """Write a number in plain digits, as a fraction if its decimals do not end."""
    if value.denominator == 1:
        return str(value.numerator)
    decimal = Decimal(value.numerator) / Decimal(value.denominator)
    exact = Fraction(decimal) == value
    return f"{decimal.normalize():f}" if exact else f"{value.numerator}/{value.denominator}"


def _plain(text: str) -> str:
    """Convert LaTeX's and Unicode's number notations to plain text."""
    plain = half_width(_SEPARATOR.sub(",", text))
    for sign, fraction in _VULGAR.items():
        plain = plain.replace(sign, f" {fraction}")
    plain = re.sub(r"(?<=\d)[⁻⁰¹²³⁴-⁹]+", lambda match: f"^{match[0].translate(_RAISED)}", plain)
    for pattern, replacement in _LATEX:
        plain = pattern.sub(replacement, plain)
    return plain


def _find(plain: str, *, spaced: bool) -> Iterator[Found]:
    for match in (_IN_ANSWER if spaced else _IN_TEXT).finditer(plain):
        value = _value(match) if len(match[0]) <= _LONGEST else None
        if value is not None:
            yield Found(value, match.start(), match.end())


def _value(match: re.Match[str]) -> Fraction | None:
    negative = "-" in (match["sign"] or "") or match["inner"] is not None
    try:
        value = _mixed(match) if match["whole"] else _decimal(match)
    except (InvalidOperation, ZeroDivisionError, ValueError):
        return None
    if value is None:
        return None
    value *= _SIZES.get((match["size"] or match["money"] or "").lower(), 1)
    return -value if negative else value


def _mixed(match: re.Match[str]) -> Fraction:
    return int(match["whole"]) + Fraction(int(match["part"]), int(match["of"]))


def _decimal(match: re.Match[str]) -> Fraction | None:
    digits = re.sub(r"[,' ]", "", match["digits"])
    # A Decimal keeps a huge exponent small; a Fraction would write it out.
    decimal = Decimal(digits)
    shift = int(match["exponent"] or 0) + int(match["ten"] or 0)
    power = int(match["power"] or 1)
    size = (abs(decimal.adjusted()) + abs(shift) + 1) * max(1, abs(power))
    if size > _MAX_DIGITS or len(digits) * max(1, abs(power)) > 10 * _MAX_DIGITS:
        return None
    value = Fraction(decimal) * Fraction(10) ** shift
    return value**power / Fraction(match["below"] or 1)
