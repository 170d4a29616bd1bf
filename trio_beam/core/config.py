"""The configuration of a block-level beam search, and the interface of its selection.

Both are in one module because they refer to each other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar, Literal

import attrs

from trio_beam.core.answer_rule import ANSWERS, AnswerRule, check_confidence
from trio_beam.core.beam import Beam
from trio_beam.core.confidence import Confidence
from trio_beam.core.delimiters import BLOCKS, Steps
from trio_beam.core.population import Population, ScoredRound
from trio_beam.core.reference import check_reference
from trio_beam.core.registry import Registry
from trio_beam.core.scorer import SCORERS, AnyScorer, scorer_parameter
from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import boolean, documented, integer, number, one_of, part
from trio_beam.errors import ConfigError


@documented
@attrs.frozen
class Lookahead:
    """Rollouts that estimate each candidate's future before particles are resampled."""

    tokens: int = integer(minimum=1, unit="tokens", help="Length of a rollout.")
    rollouts: int = integer(4, minimum=1, help="Rollouts per candidate.")


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


SELECTIONS: Registry[type[Selection]] = Registry("selection", "trio_beam.selection")


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
    scorer: str | AnyScorer = scorer_parameter(
        "Scorer of candidates, higher is better; of particles, the reward beside p^alpha."
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
        check_confidence(self.answer_part, self.confidence)
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
        samples = self.samples_per_round
        self.check_budgets(samples, f"beam_width * n_per_beam ({samples}), one token each")

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

    @cached_property
    def selection_part(self) -> Selection:
        """The selection as an object, even if given by name."""
        found: Selection = SELECTIONS.part(self.selection)
        return found

    @cached_property
    def scorer_part(self) -> AnyScorer:
        """The scorer as an object, even if given by name."""
        found: AnyScorer = SCORERS.part(self.scorer)
        return found

    @cached_property
    def answer_part(self) -> AnswerRule:
        """The answer rule as an object, even if given by name."""
        found: AnswerRule = ANSWERS.part(self.answer)
        return found

    @cached_property
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
    check_reference(reference, config.max_tokens, config.proposal_temperature)
    for field, value, good in (
        ("n_per_beam", config.n_per_beam, 1),
        ("moves", config.selection_part.moves, 0),
        ("on_beam_failure", config.on_beam_failure, "cancel_siblings"),
    ):
        if value != good:
            raise ConfigError(field, f"{good!r} with a reference", value)
    if config.beam_width < 2:
        raise ConfigError("beam_width", "at least 2 with a reference, which is one", 1)
