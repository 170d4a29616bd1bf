"""A way of writing an answer, filled with the right one and with a wrong one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import attrs


class Text(NamedTuple):
    """A text of a model, and whether it answers what the reference says."""

    text: str
    reference: str
    right: bool


@attrs.frozen
class Style:
    """A way of writing an answer.

    Each is filled twice: with the reference as the answer, and with the reference where the style has
    something else than its answer, such as a draft. A grader that finds the reference anywhere in a text, or
    that says yes to everything, fails.

    Attributes:
        text: has ``{A}`` for the answer, and may have ``{B}`` for something else.
        answers: whether a text of this kind has an answer at all; if not, neither value is right.
        values: how the two are written, if not as the kind does by default.
        references: what they are worth; by default what is written.
    """

    text: str
    answers: bool = True
    values: tuple[str, str] | None = None
    references: tuple[str, str] | None = None

    def texts(self, *defaults: tuple[str, str]) -> Iterator[Text]:
        """Fill the style with both answers, for each of the default pairs if it has no values of its own."""
        for values in defaults if self.values is None else (self.values,):
            references = self.references or values
            for one, other in ((0, 1), (1, 0)):
                text = _filled(self.text, {"{A}": values[one], "{B}": values[other]})
                yield Text(text, references[one], self.answers)
                yield Text(text, references[other], right=False)


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{[AB]\}", lambda match: values[match[0]], text)
