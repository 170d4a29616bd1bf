"""Self-consistency: the most frequent answer among the final texts.

Wang et al. 2022 (arXiv 2203.11171); weighted by a verifier's scores: Li et al. 2022 (arXiv 2206.02336).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.config import ANSWERS, AnswerRule
from trio_beam.core.result import Votes
from trio_beam.core.tool_calls import as_text
from trio_beam.core.validation import PARAMETER, Parameter, check_declared, documented, one_of
from trio_beam.errors import ConfigError, VoteError

#: Extracts the answer from a text; None casts no vote. (Or `tool_calls`, which looks at the whole beam.)
VoteKey: TypeAlias = Callable[[str], Hashable | None] | Callable[[Beam], str | None]


@attrs.frozen
class LastMatch:
    """A vote key: the last match of a regular expression (its first group, if it has one).

    Raises:
        ConfigError: the pattern is not a regular expression.
    """

    pattern: str
    _compiled: re.Pattern[str] = attrs.field(init=False, eq=False, repr=False)

    @_compiled.default
    def _compile(self) -> re.Pattern[str]:
        try:
            return re.compile(self.pattern)
        except re.error as error:
            raise ConfigError("key", f"a regular expression ({error})", self.pattern) from None

    def __call__(self, text: str) -> str | None:
        """Return the last match, or None."""
        group = 1 if self._compiled.groups else 0
        found: str | None = None
        for match in self._compiled.finditer(text):
            found = match[group]
        return found


def tool_calls(beam: Beam) -> str | None:
    """A vote key: the names and arguments of a beam's tool calls, as canonical JSON.

    The order of several calls does not count. None, so that it casts no vote, without a call.
    """
    return as_text(sorted(beam.tool_calls, key=lambda call: call.text)) or None


def _as_key(value: Any) -> Any:
    return LastMatch(value) if isinstance(value, str) else value


@ANSWERS.register("vote")
@documented
@attrs.frozen
class Vote(AnswerRule):
    """Chooses the best beam among those whose answer has the most votes."""

    key: VoteKey | None = attrs.field(
        default=None,
        converter=_as_key,
        validator=check_declared,
        metadata={
            PARAMETER: Parameter(
                kind="part",
                accepts=callable,
                accepted="a function of a text, or a regular expression",
                optional=True,
                help="Extracts the answer from a text: a function, or a regular expression whose last match"
                " (or its first group) counts. None takes the tool calls, or else the text itself, stripped"
                " of white space; trio_beam.answers.tool_calls takes tool calls only.",
            )
        },
    )
    by: Literal["count", "score", "reward"] = one_of(
        "count",
        "score",
        "reward",
        help="Whether each candidate has one vote, or each beam exp(score), which alpha makes sharper, or its"
        " score, which must be a reward from 0 up. Where beams have weights, these are the votes.",
    )

    def choose(self, beams: Sequence[Beam]) -> tuple[list[Beam], Votes]:
        """Put the beams of the answer with the most votes first.

        A tie goes to the answer with the better beam.

        Raises:
            VoteError: the key raised, or returned an unhashable value; a reward is negative.
        """
        groups: dict[Hashable, list[Beam]] = {}
        for beam in beams:
            answer = None if beam.unanswered else self._answer(beam)
            if answer is not None:
                groups.setdefault(answer, []).append(beam)
        best = max((beam.score for group in groups.values() for beam in group), default=0.0)
        shares = {
            answer: sum(self._votes(beam, best) for beam in group)
            for answer, group in groups.items()
        }
        total = sum(shares.values())
        if not total:
            return list(beams), ()
        # A stable sort: ties go to the answer found first.
        order = sorted(shares, key=lambda answer: -shares[answer])
        winners = groups[order[0]]
        others = [beam for beam in beams if not any(beam is winner for winner in winners)]
        return [*winners, *others], tuple((answer, shares[answer] / total) for answer in order)

    def _answer(self, beam: Beam) -> Hashable | None:
        if self.key is None:
            return tool_calls(beam) or beam.text.strip()
        if self.key is tool_calls:
            return tool_calls(beam)
        try:
            answer = self.key(beam.text)  # type: ignore[arg-type]  # only the one above takes a beam
            hash(answer)
        except Exception as error:
            name = getattr(self.key, "__name__", type(self.key).__name__)
            raise VoteError(name, repr(error)) from error
        return answer

    def _votes(self, beam: Beam, best: float) -> float:
        if beam.weight is not None:
            return beam.weight
        if self.by == "count":
            return float(beam.multiplicity)
        if self.by == "reward":
            return beam.multiplicity * _reward(beam)
        if best == -math.inf:
            return float(beam.multiplicity)
        if best == math.inf:
            return float(beam.multiplicity) if beam.score == math.inf else 0.0
        return beam.multiplicity * math.exp(beam.score - best)


def _reward(beam: Beam) -> float:
    if beam.score == -math.inf:  # not scored: its evaluation was cut short
        return 0.0
    if not 0 <= beam.score < math.inf:
        what = f"rewards that vote are numbers from 0 up, not {beam.score}: use by='score'"
        raise VoteError("reward", what)
    return beam.score
