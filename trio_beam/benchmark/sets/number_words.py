"""Read English numbers in words, such as ``twenty-one`` and ``one hundred and five``."""

from __future__ import annotations

import re

#: Longer ones are ignored.
_LONGEST = 100
_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen"),
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_NAMES = dict(zip(_ONES, range(20), strict=True)) | dict(
    zip(_TENS, range(20, 100, 10), strict=True)
)
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_NAME = "|".join(sorted([*_NAMES, *_SCALES], key=len, reverse=True))
#: At the beginning of a text: "one of them" is no number.
_IN_WORDS = re.compile(
    r"[^\w\n]{0,4}(?:(?:about|exactly|only|just|approximately)\s+)?"
    rf"((?:{_NAME})(?:[\s-]+(?:and\s+)?(?:{_NAME})){{0,12}})\b(?!\s+(?:of|more|less|or|and|to)\b)",
    re.IGNORECASE,
)


def in_words(text: str) -> int | None:
    """Return the number that a text begins with in words; None if there is none."""
    match = _IN_WORDS.match(text[:_LONGEST])
    if match is None:
        return None
    total = group = 0
    for word in re.split(r"[\s-]+", match[1].lower()):
        scale = _SCALES.get(word, 0)
        if scale > 100:
            total, group = total + max(1, group) * scale, 0
        elif scale:
            group = max(1, group) * scale
        else:
            group += _NAMES.get(word, 0)  # "and" is nothing
    return total + group
