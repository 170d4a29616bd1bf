"""Block-level beam search: its parameters, and the interfaces of its parts.

The parts are here because they see the configuration, and the configuration holds them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.ranking import best_first
from trio_beam.core.registry import Registry
from trio_beam.core.result import Votes
from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import boolean, documented, integer, number, one_of, part
from trio_beam.errors import ConfigError


@documented
@attrs.frozen
class Lookahead:
    """Rollouts that estimate what lies before each candidate, before particles are drawn."""

    tokens: int = integer(minimum=1, unit="tokens", help="Length of a rollout.")
    rollouts: int = integer(4, minimum=1, help="Rollouts of each candidate.")


@attrs.frozen(kw_only=True, eq=False)
class ScoredRound:
    """A round whose candidates are all in and scored.

    Attributes:
        number: of the round, from 1.
        ended: beams that ended before, best first.
        carried: beams that have all the tokens they may have, and were not expanded.
        groups: the candidates of each expanded beam, in the order of the samples.
        chance: a uniform number from 0 up to but not 1 for each name that it is called with.
        futures: for each candidate that was looked ahead from, the estimated logarithm (nats) of what
            lies before it.
    """

    number: int
    ended: Sequence[Beam]
    carried: Sequence[Beam]
    groups: Sequence[Sequence[Beam]]
    chance: Callable[[str], float]
    futures: Mapping[Beam, float] = attrs.field(factory=dict)

    @property
    def candidates(self) -> list[Beam]:
        """The candidates of the round and the beams carried over it, best first."""
        return best_first([*self.carried, *(beam for group in self.groups for beam in group)])

    def families(self, n_per_beam: int) -> list[Sequence[Beam]]:
        """The candidates in families, each of which may leave one beam."""
        if self.number > 1:
            return [group for group in self.groups if group]
        # All come from the empty beam, which stands for as many beams as there are to be.
        everybody = [beam for group in self.groups for beam in group]
        starts = range(0, len(everybody), n_per_beam)
        return [everybody[start : start + n_per_beam] for start in starts]


@attrs.frozen(kw_only=True, eq=False)
class Population:
    """The beams that stay after a round.

    Attributes:
        active: those that go on, best first.
        ended: those that have ended, best first.
    """

    active: Sequence[Beam]
    ended: Sequence[Beam]

    @classmethod
    def of(cls, beams: Sequence[Beam]) -> Population:
        """All of them, each where it belongs."""
        return cls(
            active=[beam for beam in beams if not beam.ended],
            ended=[beam for beam in beams if beam.ended],
        )


class Selection(ABC):
    """A rule for which candidates stay. It may have parameters, and has no state."""

    #: Whether beams are particles: they have weights, and the answer is drawn by weight.
    weighted: ClassVar[bool] = False
    #: Whether candidates with the same tokens count as one, wherever they come from.
    deduplicates: ClassVar[bool] = True
    #: Whether exactly the candidates with the best scores stay.
    keeps_best: ClassVar[bool] = False
    #: How to estimate futures; None: not at all.
    lookahead: Lookahead | None = None

    @abstractmethod
    def select(self, scored: ScoredRound, config: BeamSearchConfig) -> Population:
        """Choose the beams that stay."""

    def lookahead_candidates(self, scored: ScoredRound, config: BeamSearchConfig) -> Sequence[Beam]:
        """Return the candidates to roll out before `select`; empty if no lookahead is needed."""
        del scored, config
        return ()


class AnswerRule(ABC):
    """A rule for which of the final beams is the answer."""

    @abstractmethod
    def choose(self, beams: Sequence[Beam]) -> tuple[list[Beam], Votes]:
        """Order the beams, the answer first.

        Args:
            beams: best first.

        Returns:
            The same beams, and the shares of the votes; () where there was no vote.

        Raises:
            VoteError: they cannot be voted on.
        """


SELECTIONS: Registry[type[Selection]] = Registry("selection")
SCORERS: Registry[Any] = Registry("scorer")
ANSWERS: Registry[type[AnswerRule]] = Registry("answer")


@documented
@attrs.frozen(kw_only=True)
class BeamSearchConfig(Strategy):
    """The parameters of a block-level beam search.

    Raises:
        ConfigError: names the field and its bound.
    """

    beam_width: int = integer(2, minimum=1, help="Beams kept from one round to the next.")
    n_per_beam: int = integer(2, minimum=1, help="Continuations sampled for each beam in a round.")
    use_length_penalty: bool = boolean(
        default=True, help="Whether scores are divided by length ** length_penalty."
    )
    length_penalty: float = number(0.6, minimum=0, maximum=10, help="That exponent.")
    deduplicate: bool = boolean(
        default=True, help="Whether candidates with the same tokens count once."
    )
    early_stopping: bool | Literal["bound"] = one_of(
        True,
        "bound",
        False,
        help="True stops when beam_width beams have ended; 'bound' when moreover no active beam can still"
        " beat the worst of them; False goes on to max_tokens.",
    )
    proposal: Literal["sample", "enumerate"] = one_of(
        "sample",
        "enumerate",
        help="Where candidates come from: samples, or the n_per_beam most probable next tokens (in the first"
        " round beam_width * n_per_beam; never more than can survive), which with tokens_per_step=1 is"
        " classical beam search.",
    )
    selection: str | Selection = part(
        Selection,
        "top_k",
        registry=SELECTIONS,
        accepted="a Selection",
        help="Which candidates stay.",
    )
    scorer: str | Scorer | AsyncScorer | ModelScorer = part(
        ModelScorer,
        "power",
        registry=SCORERS,
        accepts=callable,
        accepted="a function, or a Judge",
        help="Score of a candidate; higher is better.",
    )
    answer: str | AnswerRule = part(
        AnswerRule,
        "best",
        registry=ANSWERS,
        accepted="a Vote",
        help="Which of the final beams is the answer.",
    )

    def __attrs_post_init__(self) -> None:
        _check_enumeration(self)
        _check_temperature(self)
        if self.weighted and not getattr(self.scorer_part, "is_p_alpha", False):
            raise ConfigError(
                "scorer",
                "'power' with selection='resample', which draws by p^alpha and asks no other score",
                self.scorer,
            )
        if self.early_stopping == "bound" and not hasattr(self.scorer_part, "best_reachable"):
            raise ConfigError(
                "early_stopping",
                "True or False with another scorer than 'power', whose bound is not known",
                self.early_stopping,
            )
        if self.min_beams > self.beam_width:
            raise ConfigError(
                "min_beams", f"at most beam_width ({self.beam_width})", self.min_beams
            )
        for name in ("max_total_tokens", "max_completion_tokens"):
            limit = getattr(self, name)
            if limit is not None and limit < self.samples_per_round:
                bound = f"at least beam_width * n_per_beam ({self.samples_per_round}), one token for each"
                raise ConfigError(name, bound, limit)

    @property
    def selection_part(self) -> Selection:
        """The selection itself, also where it was given by name."""
        found: Selection = SELECTIONS.part(self.selection)
        return found

    @property
    def scorer_part(self) -> Scorer | AsyncScorer | ModelScorer:
        """The scorer itself, also where it was given by name."""
        found: Scorer | AsyncScorer | ModelScorer = SCORERS.part(self.scorer)
        return found

    @property
    def answer_part(self) -> AnswerRule:
        """The rule for the answer itself, also where it was given by name."""
        found: AnswerRule = ANSWERS.part(self.answer)
        return found

    @property
    def weighted(self) -> bool:
        """Whether beams are particles with weights."""
        return self.selection_part.weighted

    @property
    def needs_proposal_logprobs(self) -> bool:
        """Whether samples must say how probable they were at ``proposal_temperature``."""
        return self.weighted and self.proposal_temperature != 1

    @property
    def samples_per_round(self) -> int:
        """Most continuations that are asked for in one round."""
        return self.beam_width * self.n_per_beam

    def samples_of_beam(self, number: int) -> int:
        """How many continuations are asked for of each beam in a round, the first being number 1.

        No more most probable tokens than can survive: siblings are as long as each other, so they rank by
        their log-probability. The best ``beam_width`` that go on and as many that have ended are kept, and
        without stop strings one token ends a text.
        """
        samples = self.samples_per_round if number == 1 else self.n_per_beam
        ranks = self.selection_part.keeps_best and getattr(
            self.scorer_part, "ranks_siblings", False
        )
        if self.proposal == "enumerate" and ranks:
            return min(samples, self.beam_width + (self.beam_width if self.stop else 1))
        return samples


def _check_enumeration(config: BeamSearchConfig) -> None:
    if config.proposal != "enumerate":
        return
    if config.tokens_per_step != 1:
        raise ConfigError("tokens_per_step", "1 with proposal='enumerate'", config.tokens_per_step)
    if config.weighted:
        bound = "'sample' with selection='resample', which weights what was drawn by chance"
        raise ConfigError("proposal", bound, config.proposal)


def _check_temperature(config: BeamSearchConfig) -> None:
    if config.proposal_temperature != 0:
        return
    if config.weighted:
        bound = "above 0 with weights, which divide by the probability of each sample"
        raise ConfigError("proposal_temperature", bound, 0)
    if config.proposal == "sample" and config.samples_per_round > 1:
        bound = (
            "above 0 (at 0 all continuations are the same) unless beam_width and n_per_beam are 1"
        )
        raise ConfigError("proposal_temperature", bound, config.proposal_temperature)


#: Scores all candidates of a round at once, a number for each; higher is better. A beam's own `score` is
#: not set yet when a scorer sees it.
Scorer: TypeAlias = Callable[[Sequence[Beam], BeamSearchConfig], Sequence[float]]
#: A scorer that has to be awaited.
AsyncScorer: TypeAlias = Callable[[Sequence[Beam], BeamSearchConfig], Awaitable[Sequence[float]]]
