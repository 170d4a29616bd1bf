"""Find the letter that a text chooses: marked, called right, chosen, concluded, or alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from trio_beam.benchmark.sets.marks import searched, statements
from trio_beam.benchmark.sets.numbers import half_width

#: Nothing but a letter, which may then be a small one.
_ALONE = re.compile(r"\W*(?:(?:option|choice|answer)\s\W*)?([A-Z])\W*", re.IGNORECASE)
#: What stands before the letter in a statement, and says nothing.
_FILLER = re.compile(
    r"\W{0,9}(?:(?:not[ ]\W?[A-Z]\b\W{1,4}but|therefore|thus|hence|then|clearly|indeed|definitely"
    r"|likely|most|probably|option|choice|answer|letter|the|both|either|statement)\b\W{0,9}){0,6}",
)
_LETTER = re.compile(r"([A-Z])(?:\W|$)")
#: "A" and "I" before a word are no letters, except before some.
_WORD_BEHIND = re.compile(
    r"[ ](?!(?:because|since|as|for|over|and|or|not|rather|instead|given|due|is|with|which|it"
    r"|et|und|y|e)\b)[a-z]"
)
_OTHER_LETTER = re.compile(
    r"(?:\W*+(?:or|and)\W*+|[^\w&/,]*+[&/,]\W*+(?:and\W+)?)([A-Z])(?:\W|$)"
    r"(?!\W{0,3}(?:is|was|would|fails|cannot)\b)"
)
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|textrm|mbox)\{([^{}]*)\}")
_ONE = r"(?P<letter>[A-Z])(?![\w'])"
_CALLED_RIGHT = re.compile(
    r"(?<![\w'])[A-Z](?![\w'])[^\w\n]{0,4}[ ]"
    r"(?:is|must[ ]be|seems|looks|appears[ ]to[ ]be|would[ ]be|has[ ]to[ ]be)[ ]"
    r"(?:(?:therefore|thus|the|clearly|indeed|most[ ]likely|only)[ ]){0,3}"
    r"(?:correct|right|best|true|(?:final[ ]|only[ ])?answer)\b"
)
_DENIED = re.compile(r"\b(?:none|neither|if|whether)\b[^.!?\n]*$", re.IGNORECASE)
#: Phrases behind which the choice follows.
_CHOSEN = re.compile(
    rf"(?:(?i:\b(?:choose|pick|select|go[ ]with|opt[ ]for|choosing|chose)\b(?:[ ](?:option|choice|answer))?)"
    rf"[^\w\n]{{1,4}}{_ONE}"
    rf"|(?i:\b(?:so|therefore|thus|hence|leaves|must[ ]be)\b)[ ,:]*(?i:(?:it[ ](?:is|must[ ]be)|option)[ ])?"
    rf"[^\w\n]{{0,4}}{_ONE.replace('letter', 'concluded')}(?=[^\w\n]*(?:\n|$)|[^\w\n]{{0,3}}[.!])"
    rf"|选(?:择|项)?[^\w\n]{{0,4}}{_ONE.replace('letter', 'chinese')})"
)
_VERDICT = re.compile(
    r"(?:^|\n)[^\w\n]*([A-Z])(?!\w)[^\w\n]{1,6}(?:correct\b|right\b|true\b|(?<=[✓✔✅] )|(?<=[✓✔✅]))"
)
#: A line that begins with a choice, or has nothing else.
_LINE = re.compile(
    r"(?:^|\n)[^\w\n]*([A-Z])(?=[).:\]*]|[ \t]*(?:\n|$)|,[ ]|[ ](?:because|since|as)\b)"
)
_LAST_LETTER = re.compile(r"\(([A-Z])\)|\*\*([A-Z])[).:]?\*\*")


def letter_in(text: str, letters: str) -> str | None:
    """Return the letter in `letters` that a text chooses; None if that is unclear."""
    text = half_width(searched(text)).strip()
    if alone := _ALONE.fullmatch(text):
        return _one_of(alone[1].upper(), letters)
    for found in statements(text):
        chosen = _stated(found, letters)
        if chosen is not None:
            return chosen or None
    said = _said(text, letters)
    if said is not None:
        return said or None
    lines: list[str] = [letter for letter in _LINE.findall(text) if letter in letters]
    # Choices in their order are the question's, or explained one after the other.
    if lines and lines[:2] != list(letters[:2]):
        first = _LINE.match(text)
        return lines[0] if first and first[1] == lines[0] else lines[-1]
    last = [one for match in _LAST_LETTER.findall(text) if (one := "".join(match)) in letters]
    return last[-1] if last and not lines else None


def _stated(found: str, letters: str) -> str | None:
    """Return the letter that an answer states: "" if it states several, None if it is of something else."""
    plain = _WRAPPED.sub(r"\1", half_width(found))
    if alone := _ALONE.fullmatch(plain):
        return _one_of(alone[1].upper(), letters)
    filler = _FILLER.match(plain)
    match = _LETTER.match(plain, filler.end() if filler else 0)
    if match is None or _is_word(plain, match) or match[1] not in letters:
        return None
    # "A or B" chooses neither.
    other = _OTHER_LETTER.match(plain, match.end(1))
    several = other and other[1] in letters and not _is_word(plain, other)
    return "" if several else match[1]


def _said(text: str, letters: str) -> str | None:
    """Return the letter that a sentence chooses, the last one; "" if all are called right."""
    called = [
        (match.start(), match[0][0])
        for match in _CALLED_RIGHT.finditer(text)
        if not _DENIED.search(text, max(0, match.start() - 60), match.start())
    ]
    called += [(match.start(1), match[1]) for match in _VERDICT.finditer(text)]
    right = {letter for _, letter in called if letter in letters}
    if len(right) > 2:
        return ""
    chosen = [(place, letter) for place, letter in [*called, *_choices(text)] if letter in letters]
    return max(chosen)[1] if chosen else None


def _choices(text: str) -> Iterator[tuple[int, str]]:
    for match in _CHOSEN.finditer(text):
        group = match.lastgroup
        if group is not None and not _WORD_BEHIND.match(text, match.end(group)):
            yield match.start(group), match[group]


def _is_word(text: str, match: re.Match[str]) -> bool:
    return match[1] in "AI" and _WORD_BEHIND.match(text, match.end(1)) is not None


def _one_of(letter: str, letters: str) -> str | None:
    return letter if letter and letter in letters else None
