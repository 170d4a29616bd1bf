"""Self-consistency: the most frequent answer among the final texts.

Wang et al. 2022 (arXiv 2203.11171); weighted by a verifier's scores: Li et al. 2022 (arXiv 2206.02336).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, TypeAlias

import attrs

from trio_beam.core.answer_rule import ANSWERS, AnswerRule
from trio_beam.core.beam import Beam
from trio_beam.core.result import Votes
from trio_beam.core.settling import Settle, Settling, VoteCount
from trio_beam.core.tool_calls import as_text
from trio_beam.core.validation import (
    PARAMETER,
    Parameter,
    check_declared,
    documented,
    integer,
    number,
    one_of,
)
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
    by: Literal["count", "score", "reward", "confidence"] = one_of(
        "count",
        "score",
        "reward",
        "confidence",
        help="Whether each candidate has one vote, or each beam exp(score), which alpha makes sharper, or its"
        " score, which must be a reward from 0 up, or its confidence. Where beams have weights, these are the"
        " votes.",
    )
    settle: Settle | None = number(
        None,
        minimum=0.5,
        maximum=0.9999,
        optional=True,
        choices=("certain",),
        help="Stop before all samples are there, and cancel the others: 'certain' when they cannot change"
        " the winner, or as soon as it is, with this probability, that of all samples. None: never.",
    )
    ahead: int = integer(
        8,
        minimum=1,
        unit="samples",
        help="With settle, how many samples are under way beyond those counted. Fewer cost fewer tokens; more"
        " take less time.",
    )

    def __attrs_post_init__(self) -> None:
        if self.settle is not None and self.by != "count":
            bound = f"None with by={self.by!r}, where a single vote may outweigh all others"
            raise ConfigError("settle", bound, self.settle)

    @property
    def settles(self) -> bool:
        """Whether it stops before all samples are there."""
        return self.settle is not None

    def without_effect(self) -> dict[str, str]:
        """Return `ahead`, under its names, if nothing is settled."""
        why = "all samples are under way at once unless the vote may be settled (settle)"
        return {} if self.settles else dict.fromkeys(("ahead", "vote_ahead"), why)

    @property
    def is_certain(self) -> bool:
        """Whether it stops only when no sample could change the winner any more."""
        return self.settle in (None, "certain")

    @property
    def needs_confidence(self) -> bool:
        """Whether beams vote by their confidence."""
        return self.by == "confidence"

    def settling(self, samples: int) -> Settling | None:
        """Return a count of the votes."""
        return None if self.settle is None else _Count(self, VoteCount(samples, self.settle))

    def choose(self, beams: Sequence[Beam]) -> tuple[list[Beam], Votes]:
        """Put the beams of the answer with the most votes first.

        A tie goes to the answer with the better beam.

        Raises:
            VoteError: the key raised, or returned an unhashable value; a reward is negative.
        """
        groups: dict[Hashable, list[Beam]] = {}
        for beam in beams:
            answer = self.answer_of(beam)
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

    def effective_votes(self, beams: Sequence[Beam]) -> float:
        """Return (sum of votes)^2 / sum of their squares, over the candidates that vote."""
        voters = [beam for beam in beams if self.answer_of(beam) is not None]
        best = max((beam.score for beam in voters), default=0.0)
        votes = [(self._votes(beam, best), beam.multiplicity) for beam in voters]
        squares = sum(vote * vote / count for vote, count in votes)
        return sum(vote for vote, _ in votes) ** 2 / squares if squares else 0.0

    def answer_of(self, beam: Beam) -> Hashable | None:
        """Return the answer that a beam votes for; None: it casts no vote.

        Raises:
            VoteError: the key raised, or returned an unhashable value.
        """
        if beam.unanswered or not beam.confident:
            return None
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
        if self.by != "score":
            return beam.multiplicity * _vote_of(beam, self.by)
        if best == -math.inf:
            return float(beam.multiplicity)
        if best == math.inf:
            return float(beam.multiplicity) if beam.score == math.inf else 0.0
        return beam.multiplicity * math.exp(beam.score - best)


@attrs.define
class _Count:
    """Counts the votes of samples in order."""

    _vote: Vote
    _votes: VoteCount

    @property
    def ahead(self) -> int:
        return self._vote.ahead

    def count(self, beams: Sequence[Beam]) -> bool:
        answers = [self._vote.answer_of(beam) for beam in beams]
        return self._votes.add(answers[0] if answers else None)


def _vote_of(beam: Beam, by: Literal["count", "reward", "confidence"]) -> float:
    if by == "count":
        return 1.0
    return _reward(beam) if by == "reward" else beam.confidence or 0.0


def _reward(beam: Beam) -> float:
    if beam.score == -math.inf:  # not scored: its evaluation was cut short
        return 0.0
    if not 0 <= beam.score < math.inf:
        what = f"rewards that vote are numbers from 0 up, not {beam.score}: use by='score'"
        raise VoteError("reward", what)
    return beam.score
