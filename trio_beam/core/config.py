"""The configuration of a block-level beam search, and the interfaces of its parts.

Both are in one module because they refer to each other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.confidence import Confidence
from trio_beam.core.delimiters import BLOCKS, Steps
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.ranking import best_first
from trio_beam.core.reference import has_proposals
from trio_beam.core.registry import Registry
from trio_beam.core.result import Votes
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.settling import Settling
from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import boolean, documented, integer, number, one_of, part
from trio_beam.errors import ConfigError


@documented
@attrs.frozen
class Lookahead:
    """Rollouts that estimate each candidate's future before particles are resampled."""

    tokens: int = integer(minimum=1, unit="tokens", help="Length of a rollout.")
    rollouts: int = integer(4, minimum=1, help="Rollouts per candidate.")


@attrs.frozen(kw_only=True, eq=False)
class ScoredRound:
    """A round whose candidates have all arrived and been scored.

    Attributes:
        number: of the round, from 1.
        ended: beams that ended in earlier rounds, best first.
        carried: beams at the maximum length, which were not expanded.
        groups: the candidates of each expanded beam, in sample order.
        chance: returns a uniform number in [0, 1) for a name.
        futures: for each candidate with rollouts, the estimated log (nats) of the sum of p^alpha over its
            futures.
    """

    number: int
    ended: Sequence[Beam]
    carried: Sequence[Beam]
    groups: Sequence[Sequence[Beam]]
    chance: Callable[[str], float]
    futures: Mapping[Beam, float] = attrs.field(factory=dict)

    @property
    def candidates(self) -> list[Beam]:
        """The candidates of the round and the carried beams, best first."""
        return best_first([*self.carried, *(beam for group in self.groups for beam in group)])

    def families(self, n_per_beam: int) -> list[Sequence[Beam]]:
        """Group the candidates into families, of which each may keep one beam."""
        if self.number > 1:
            return [group for group in self.groups if group]
        # All candidates come from the empty beam, which stands for `beam_width` beams.
        everybody = [beam for group in self.groups for beam in group]
        starts = range(0, len(everybody), n_per_beam)
        return [everybody[start : start + n_per_beam] for start in starts]


@attrs.frozen(kw_only=True, eq=False)
class Population:
    """The beams kept after a round.

    Attributes:
        active: beams to be expanded further, best first.
        ended: ended beams, best first.
        exponent: with weights, the power of p by which they were drawn, or would have been.
        effective_sample_size: with weights, that under this power, before they were drawn.
        resampled: whether they were drawn from all.
    """

    active: Sequence[Beam]
    ended: Sequence[Beam]
    exponent: float | None = None
    effective_sample_size: float | None = None
    resampled: bool = False

    @classmethod
    def of(cls, beams: Sequence[Beam]) -> Population:
        """Divide beams into active and ended ones."""
        return cls(
            active=[beam for beam in beams if not beam.ended],
            ended=[beam for beam in beams if beam.ended],
        )


class Selection(ABC):
    """A stateless rule that decides which candidates to keep. It may have parameters."""

    #: Whether beams are weighted particles from which the answer is drawn.
    weighted: ClassVar[bool] = False
    #: Whether candidates with the same tokens are merged, whatever their parents.
    deduplicates: ClassVar[bool] = True
    #: Whether it keeps exactly the candidates with the best scores.
    keeps_best: ClassVar[bool] = False
    #: How to estimate futures; None: do not.
    lookahead: Lookahead | None = None
    #: Metropolis-Hastings steps of each particle after each round.
    moves: int = 0
    #: A complete text that one particle follows; None: none does.
    reference: Beam | None = None

    def power(self, length: int, config: BeamSearchConfig) -> float:
        """Return the power of p by which particles of `length` tokens are drawn."""
        del length
        return config.alpha

    @abstractmethod
    def select(self, scored: ScoredRound, config: BeamSearchConfig) -> Population:
        """Choose the beams to keep."""

    def lookahead_candidates(self, scored: ScoredRound, config: BeamSearchConfig) -> Sequence[Beam]:
        """Return the candidates to roll out before `select`; empty if no lookahead is needed."""
        del scored, config
        return ()


class AnswerRule(ABC):
    """A rule that chooses the answer among the final beams."""

    @property
    def settles(self) -> bool:
        """Whether it may be settled before all samples are there."""
        return False

    def without_effect(self) -> dict[str, str]:
        """Return the options that change nothing beside the others, each with the reason."""
        return {}

    @property
    def is_certain(self) -> bool:
        """Whether it is settled only when no sample could change it any more."""
        return not self.settles

    @property
    def needs_confidence(self) -> bool:
        """Whether it reads the confidence of beams."""
        return False

    def settling(self, samples: int) -> Settling | None:
        """Return what tells when the answer is settled, given the number of samples; None: nothing does."""
        del samples
        return None

    @abstractmethod
    def choose(self, beams: Sequence[Beam]) -> tuple[list[Beam], Votes]:
        """Order the beams, the answer first.

        Args:
            beams: best first.

        Returns:
            The beams in the new order, and the shares of the votes, () without a vote.

        Raises:
            VoteError: the beams cannot be voted on.
        """

    def effective_votes(self, beams: Sequence[Beam]) -> float:
        """Return how many independent equal votes are worth as much as those of `choose`; 0 without."""
        del beams
        return 0.0


SELECTIONS: Registry[type[Selection]] = Registry("selection", "trio_beam.selection")
SCORERS: Registry[Any] = Registry("scorer", "trio_beam.scorers", "trio_beam.rewards")
ANSWERS: Registry[type[AnswerRule]] = Registry("answer", "trio_beam.answers")


@documented
@attrs.frozen(kw_only=True)
class BeamSearchConfig(Strategy):
    """The parameters of a block-level beam search.

    Raises:
        ConfigError: names the field and its bound.
    """

    beam_width: int = integer(2, minimum=1, help="Beams kept from one round to the next.")
    n_per_beam: int = integer(2, minimum=1, help="Continuations sampled per beam in a round.")
    use_length_penalty: bool = boolean(
        default=True, help="Whether to divide scores by length ** length_penalty."
    )
    length_penalty: float = number(
        0.6, minimum=0, maximum=10, help="Exponent of the length in scores."
    )
    deduplicate: bool = boolean(
        default=True, help="Whether to merge candidates with the same tokens."
    )
    early_stopping: bool | Literal["bound"] = one_of(
        True,
        "bound",
        False,
        help="True: stop when beam_width beams have ended; 'bound': stop when, moreover, no active beam"
        " can beat the worst of them; False: go on to max_tokens.",
    )
    proposal: Literal["sample", "enumerate"] = one_of(
        "sample",
        "enumerate",
        help="Source of candidates: samples, or the n_per_beam most probable next tokens (beam_width *"
        " n_per_beam in the first round; never more than can survive), which with tokens_per_step=1 is"
        " classical beam search.",
    )
    selection: str | Selection = part(
        Selection,
        "top_k",
        registry=SELECTIONS,
        accepted="a Selection",
        help="Rule for the candidates to keep.",
    )
    scorer: str | AnyScorer = part(
        ModelScorer,
        "power",
        registry=SCORERS,
        accepts=lambda value: isinstance(value, RewardScorer) or callable(value),
        accepted="a function, a Judge or a RewardModel",
        help="Scorer of candidates, higher is better; of particles, the reward beside p^alpha.",
    )
    answer: str | AnswerRule = part(
        AnswerRule,
        "best",
        registry=ANSWERS,
        accepted="a Vote or a Select",
        topic="answer",
        help="Rule for the answer among the final beams.",
    )
    block: str | Steps | None = part(
        Steps,
        None,
        registry=BLOCKS,
        accepted="a Steps",
        optional=True,
        help="Where a block ends before it has tokens_per_step tokens; None: nowhere.",
    )

    confidence: Confidence | None = part(
        Confidence,
        None,
        accepted="a Confidence",
        optional=True,
        help="Ends texts while they are generated, once their confidence falls below that of the first ones.",
    )

    def __attrs_post_init__(self) -> None:
        self.check_format(self.extra_body)
        _check_enumeration(self)
        _check_temperature(self)
        _check_reference(self)
        scorer = self.scorer_part
        if self.early_stopping == "bound" and not hasattr(scorer, "best_reachable"):
            raise ConfigError(
                "early_stopping",
                "True or False with a scorer other than 'power', whose bound is unknown",
                self.early_stopping,
            )
        if self.one_by_one:
            _check_one_by_one(self)
        _check_confidence(self)
        steps = self.block_part
        if steps is not None and steps.min_tokens > self.tokens_per_step:
            bound = f"with min_tokens of at most tokens_per_step ({self.tokens_per_step})"
            raise ConfigError("block", bound, steps.min_tokens)
        if steps is not None and self.selection_part.moves:
            bound = "None with moves, which regrow texts to a common length"
            raise ConfigError("block", bound, self.block)
        if self.reasoning_budget is not None:
            _check_reasoning_budget(self.reasoning_budget, self)
        if self.min_beams > self.beam_width:
            raise ConfigError(
                "min_beams", f"at most beam_width ({self.beam_width})", self.min_beams
            )
        for name in ("max_total_tokens", "max_completion_tokens"):
            limit = getattr(self, name)
            if limit is not None and limit < self.samples_per_round:
                bound = (
                    f"at least beam_width * n_per_beam ({self.samples_per_round}), one token each"
                )
                raise ConfigError(name, bound, limit)

    def without_effect(self) -> dict[str, str]:
        """Return the fields that change nothing beside the others, each with the reason."""
        found = super().without_effect()
        if self.weighted:
            drawn = "particles are drawn by their weights"
            found |= dict.fromkeys(("use_length_penalty", "length_penalty", "deduplicate"), drawn)
        elif self.samples_per_round == 1:
            found["scorer"] = "there is one candidate, with nothing to be compared with"
        elif ignored := getattr(self.scorer_part, "ignores", ()):
            found |= dict.fromkeys(ignored, f"the scorer {self.scorer!r} does not look at it")
        found |= self.answer_part.without_effect()
        if self.beam_width == 1:
            found["answer"] = "there is one beam, so nothing to vote on"
        if self.tokens_per_step == 1:
            found["block"] = "with tokens_per_step=1 each block is one token"
        return found

    @property
    def selection_part(self) -> Selection:
        """The selection as an object, even if given by name."""
        found: Selection = SELECTIONS.part(self.selection)
        return found

    @property
    def scorer_part(self) -> AnyScorer:
        """The scorer as an object, even if given by name."""
        found: AnyScorer = SCORERS.part(self.scorer)
        return found

    @property
    def answer_part(self) -> AnswerRule:
        """The answer rule as an object, even if given by name."""
        found: AnswerRule = ANSWERS.part(self.answer)
        return found

    @property
    def block_part(self) -> Steps | None:
        """The rule for the end of a block as an object, even if given by name."""
        found: Steps | None = BLOCKS.part(self.block)
        return found

    @property
    def one_by_one(self) -> bool:
        """Whether samples are requested one by one, so that each can be cancelled."""
        return self.answer_part.settles or self.confidence is not None

    @property
    def rounds(self) -> int:
        """Maximum number of blocks until ``max_tokens``; the last one is shortened.

        One more with ``reasoning_budget``, where a block ends as well.
        """
        shortest = self.tokens_per_step if self.block_part is None else self.block_part.min_tokens
        return -(-self.max_tokens // shortest) + (self.reasoning_budget is not None)

    @property
    def several_blocks(self) -> bool:
        """Whether a text is continued, so that all of it must be known."""
        moves = self.selection_part.moves > 0
        return moves or self.block_part is not None or super().several_blocks

    @property
    def one_block_instead(self) -> str | None:
        """The setting with which every answer is sampled as a single block; None if it is."""
        if self.block_part is not None:
            return "block must be None"
        if self.proposal == "enumerate":
            return "proposal must be 'sample'"
        if self.selection_part.moves:
            return "moves must be 0"
        return super().one_block_instead

    @property
    def weighted(self) -> bool:
        """Whether beams are weighted particles."""
        return self.selection_part.weighted

    @property
    def rewards(self) -> bool:
        """Whether a reward is part of the target distribution."""
        return self.weighted and not getattr(self.scorer_part, "is_p_alpha", False)

    @property
    def needs_logprobs(self) -> bool:
        """Whether log-probabilities are needed; otherwise none are asked for.

        They are for weights, ``proposal="enumerate"``, ``top_logprobs`` and `Confidence`, and for a scorer
        whose attribute ``needs_logprobs`` is true. A scorer without that attribute needs none.
        """
        return (
            self.weighted
            or self.proposal == "enumerate"
            or self.top_logprobs > 0
            or self.confidence is not None
            or bool(getattr(self.scorer_part, "needs_logprobs", False))
        )

    @property
    def needs_proposal_logprobs(self) -> bool:
        """Whether samples need log-probabilities at ``proposal_temperature``."""
        return self.weighted and self.proposal_temperature != 1

    @property
    def max_beams(self) -> int:
        """Maximum number of beams of a result."""
        return self.beam_width

    @property
    def samples_per_round(self) -> int:
        """Maximum number of continuations requested in a round."""
        return self.beam_width * self.n_per_beam

    def samples_of_beam(self, number: int) -> int:
        """Return the number of continuations requested per beam in round `number`, from 1.

        With enumeration, no more than can survive: siblings have equal lengths, so they rank by
        log-probability; at most ``beam_width`` unfinished and ``beam_width`` ended ones are kept, and
        without stop strings only one token ends a text.
        """
        samples = self.samples_per_round if number == 1 else self.n_per_beam
        ranks = self.selection_part.keeps_best and getattr(
            self.scorer_part, "ranks_siblings", False
        )
        if self.proposal == "enumerate" and ranks:
            return min(samples, self.beam_width + (self.beam_width if self.stop else 1))
        return samples


def _check_reasoning_budget(tokens: int, config: BeamSearchConfig) -> None:
    if config.reasoning == "off":
        raise ConfigError("reasoning_budget", "None with reasoning='off'", tokens)
    if tokens >= config.max_tokens:
        bound = f"below max_tokens ({config.max_tokens}), so that an answer can follow"
        raise ConfigError("reasoning_budget", bound, tokens)
    if config.selection_part.moves or config.selection_part.reference is not None:
        bound = "None with moves or a reference, whose texts must all have been sampled"
        raise ConfigError("reasoning_budget", bound, tokens)


def _check_enumeration(config: BeamSearchConfig) -> None:
    if config.proposal != "enumerate":
        return
    if config.tokens_per_step != 1:
        raise ConfigError("tokens_per_step", "1 with proposal='enumerate'", config.tokens_per_step)
    if config.weighted:
        bound = "'sample' with selection='resample', which weights random samples"
        raise ConfigError("proposal", bound, config.proposal)


def _check_confidence(config: BeamSearchConfig) -> None:
    answer, confidence = config.answer_part, config.confidence
    if confidence is not None and answer.settles and not answer.is_certain:
        bound = (
            "None with an answer that settles with some probability: the first samples, which set the"
            " threshold, are not like the others"
        )
        raise ConfigError("confidence", bound, confidence)
    if answer.needs_confidence and (confidence is None or not confidence.top):
        bound = "a Confidence, with top from 1 up, if the answer is a vote by confidence"
        raise ConfigError("confidence", bound, confidence)


def _check_one_by_one(config: BeamSearchConfig) -> None:
    """Raise `ConfigError` unless all samples are drawn in one round, and all of them are kept."""
    what = "with confidence" if config.confidence else "with an answer that settles"
    why = f"{what}: samples are counted one by one"
    if config.weighted:
        raise ConfigError("selection", f"one without weights {why}", config.selection)
    if config.proposal == "enumerate":
        raise ConfigError("proposal", f"'sample' {why}", config.proposal)
    if config.n_per_beam != 1:
        raise ConfigError("n_per_beam", f"1 {why}", config.n_per_beam)
    if config.block_part is not None:
        raise ConfigError("block", f"None {why}", config.block)
    if config.reasoning_budget is not None:  # which may take a second block
        raise ConfigError("reasoning_budget", f"None {why}", config.reasoning_budget)
    if config.tokens_per_step < config.max_tokens:
        bound = f"at least max_tokens ({config.max_tokens}) {why}"
        raise ConfigError("tokens_per_step", bound, config.tokens_per_step)


def _check_temperature(config: BeamSearchConfig) -> None:
    if config.proposal_temperature != 0:
        return
    if config.weighted:
        bound = "above 0 with weights, which divide by the probability of each sample"
        raise ConfigError("proposal_temperature", bound, 0)
    if config.proposal == "sample" and config.samples_per_round > 1:
        bound = (
            "above 0 (at 0 all continuations are identical) unless beam_width and n_per_beam are 1"
        )
        raise ConfigError("proposal_temperature", bound, config.proposal_temperature)


def _check_reference(config: BeamSearchConfig) -> None:
    reference = config.selection_part.reference
    if reference is None:
        return
    name = "reference"
    whole = reference.ended or reference.length == config.max_tokens
    if not whole or not 0 < reference.length <= config.max_tokens:
        bound = f"a text that has ended, or has max_tokens ({config.max_tokens}) tokens"
        raise ConfigError(name, bound, reference.length)
    if reference.forced:
        raise ConfigError(name, "a text without forced tokens", reference.text)
    if reference.logprob is None:
        raise ConfigError(name, "a text with log-probabilities", None)
    if config.proposal_temperature != 1 and not has_proposals(reference):
        bound = f"sampled at the proposal_temperature ({config.proposal_temperature:g}), or this 1"
        raise ConfigError(name, bound, reference.text)
    for field, value, good in (
        ("n_per_beam", config.n_per_beam, 1),
        ("moves", config.selection_part.moves, 0),
        ("on_beam_failure", config.on_beam_failure, "cancel_siblings"),
    ):
        if value != good:
            raise ConfigError(field, f"{good!r} with a reference", value)
    if config.beam_width < 2:
        raise ConfigError("beam_width", "at least 2 with a reference, which is one", 1)


#: Returns a score for each candidate of a round; higher is better. A beam's own `score` is not yet set
#: when the scorer receives it. Its `logprob` is None unless the scorer has a true attribute
#: ``needs_logprobs`` (or ``top_logprobs`` is above 0).
#: The second argument is the search's configuration, a `BeamSearchConfig` or an `McmcConfig`.
Scorer: TypeAlias = Callable[[Sequence[Beam], Any], Sequence[float]]
#: An asynchronous scorer.
AsyncScorer: TypeAlias = Callable[[Sequence[Beam], Any], Awaitable[Sequence[float]]]
#: Any scorer but a name.
AnyScorer: TypeAlias = Scorer | AsyncScorer | ModelScorer | RewardScorer
