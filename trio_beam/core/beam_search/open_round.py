"""An open round: outcomes arrive, candidates are scored and evaluated, and some are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from trio_beam.core import stop
from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.candidates import CandidatePool
from trio_beam.core.beam_search.lookahead import look_ahead
from trio_beam.core.beam_search.sample_order import SampleOrder
from trio_beam.core.beam_search.stand_ins import fill_groups
from trio_beam.core.block import CONTEXT, Continuation, known
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.evaluation import Evaluation, first_seed, judge, reward
from trio_beam.core.events import BeamExpanded, BeamFailed, Event
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.population import Population, ScoredRound
from trio_beam.core.result import BeamFailure
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.scorer import AsyncScorer
from trio_beam.core.scoring import check_scores
from trio_beam.core.seeds import Chance
from trio_beam.core.steps import Outcome, Reaction, Round, ScoreCandidates
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.errors import ContextOverflow, EndpointError, ScorerError, TrioBeamError


class OpenRound:
    """One round, from its first request until it is closed or has failed.

    Args:
        expansions: its requests.
        ended: beams that ended in earlier rounds, best first.
        carried: beams at the maximum length, which are not expanded.
        config: of the search.
        meter: of the search.
        chance: for the draws of the round.
        seed: of the first sample of the search; None: the server's own randomness.
        reference: the particle that follows the reference, and its block; None: there is none, or it has
            ended.
        order: counts the samples one by one; None: all of them count.

    Attributes:
        number: of the round, from 1.
        verdict: why it cannot be closed: ``"failed"`` or ``"budget"``; otherwise None.
        scorer_error: the scorer's error, if that is why.
    """

    def __init__(
        self,
        expansions: Round,
        ended: Sequence[Beam],
        carried: Sequence[Beam],
        *,
        config: BeamSearchConfig,
        meter: UsageMeter,
        chance: Chance,
        seed: int | None,
        reference: tuple[Beam, Continuation] | None = None,
        order: SampleOrder | None = None,
    ) -> None:
        self.number = expansions.number
        self.verdict: Literal["failed", "budget"] | None = None
        self.scorer_error: ScorerError | None = None
        self._round = expansions
        self._order = order
        self._ended = ended
        self._carried = carried
        self._config = config
        self._scorer = config.scorer_part
        self._steps = config.block_part
        self._selection = config.selection_part
        self._meter = meter
        self._chance = chance
        self._seed = seed
        self._reference = reference
        self._outcomes: dict[int, list[Beam]] = {}
        self._failures: dict[tuple[int, int, int], BeamFailure] = {}
        self._pool: CandidatePool | None = None  # once all outcomes have arrived
        self._evaluation: Evaluation | None = None  # while one is running
        self._scoring = False  # whether an asynchronous scorer is running
        self._exact_rollouts = True

    @property
    def settled(self) -> bool:
        """Whether the answer was settled before the last sample."""
        return self._order is not None and self._order.settled

    @property
    def exact(self) -> bool:
        """Whether all that counts, rollouts included, has token ids and true log-probabilities."""
        groups = self._groups
        return self._exact_rollouts and all(child.exact for group in groups for child in group)

    @property
    def failures(self) -> list[BeamFailure]:
        """The failures of this round: of expansions, then of evaluations, each by rank."""
        return [failure for _, failure in sorted(self._failures.items(), key=lambda item: item[0])]

    @property
    def missing(self) -> frozenset[int]:
        """Ranks whose outcomes are still awaited."""
        if self._evaluation is not None:
            return self._evaluation.missing
        return frozenset(range(len(self._round.expansions))) - self._outcomes.keys()

    @property
    def _groups(self) -> list[list[Beam]]:
        """The children of each beam by rank; without the samples behind the one that settled the answer."""
        groups = [self._outcomes[rank] for rank in sorted(self._outcomes)]
        return self._order.kept(groups) if self._order is not None else groups

    # -- receiving

    def receive(self, outcome: Outcome) -> Reaction:
        """Process the outcome of an expansion or an evaluation.

        Raises:
            TrioBeamError: no outcome for that rank is awaited.
        """
        if outcome.rank not in self.missing:
            message = (
                f"unexpected outcome for beam {outcome.rank}: unknown rank or already received"
            )
            raise TrioBeamError(message)
        self._meter.completion_tokens += outcome.generated
        if self._evaluation is not None:
            return self._receive_evaluation(self._evaluation, outcome)
        return self._receive_expansion(outcome)

    def _receive_expansion(self, outcome: Outcome) -> Reaction:
        parent = self._round.expansions[outcome.rank].beam
        children = [self._child(outcome.rank, block) for block in outcome.blocks]
        discarded = sum(block.sampled + block.discarded for block in outcome.blocks) - sum(
            child.sampled_length - parent.sampled_length for child in children
        )
        self._meter.discarded_tokens += discarded
        children += outcome.candidates
        self._outcomes[outcome.rank] = children
        events: list[Event] = []
        if children:
            expanded = BeamExpanded(
                round=self.number,
                rank=outcome.rank,
                candidates=len(children),
                tokens=outcome.generated,
                discarded=discarded,
                forced=sum(child.forced > parent.forced for child in children),
                children=tuple(children),
            )
            events.append(expanded)
        if self.settled:
            return Reaction(tuple(events))  # it was under way, or cancelled
        if outcome.exhausted:
            self.verdict = self.verdict or "budget"
        failed = [
            error
            for error in outcome.errors
            if not self._fills_context(parent, outcome.rank, error)
        ]
        events += [self._note_failure(0, parent, outcome.rank, error) for error in failed]
        cancels = bool(failed) and self._round.sampling.cancel_siblings
        if cancels or outcome.cancelled:
            # Cancelled from outside, or because of a sibling: there will be no next round.
            self.verdict = "failed"
        if self._order is None or self.verdict == "failed":
            return Reaction(tuple(events), self.missing if cancels else frozenset())
        begin = self._order.receive(outcome.rank, children)
        return Reaction(tuple(events), self.missing if self.settled else frozenset(), begin)

    def _child(self, rank: int, continuation: Continuation) -> Beam:
        child = self._extended(self._round.expansions[rank].beam, continuation)
        return child if self._order is None else self._order.judge(rank, child)

    def _extended(self, parent: Beam, continuation: Continuation) -> Beam:
        if self._steps is not None:
            continuation = self._steps.cut(parent, continuation)
        child = stop.extend(parent, continuation, self._config.stop)
        if not self._selection.weighted:
            return child
        block = child.continuation
        assert block is not None
        gained = self._config.alpha * known(block.logprob) - block.proposal_logprob
        return child.replace(log_weight=parent.log_weight + gained)

    def _fills_context(self, parent: Beam, rank: int, error: EndpointError) -> bool:
        """Return whether the beam has simply filled the context, which is not a failure."""
        if not isinstance(error, ContextOverflow) or parent.continuation is None:
            return False
        if not self._outcomes[rank]:
            self._outcomes[rank] = [parent.replace(finish_reason=CONTEXT)]
        return True

    def _receive_evaluation(self, evaluation: Evaluation, outcome: Outcome) -> Reaction:
        beam = evaluation.round.expansions[outcome.rank].beam
        if evaluation.round.purpose == "rollout":
            exact = all(block.exact for block in outcome.blocks)
            self._exact_rollouts = self._exact_rollouts and exact
        errors = evaluation.receive(outcome)
        events = [self._note_failure(1, beam, outcome.rank, error) for error in errors]
        cancels = bool(errors) and evaluation.round.sampling.cancel_siblings
        return Reaction(tuple(events), evaluation.missing if cancels else frozenset())

    def _note_failure(self, when: int, beam: Beam, rank: int, error: EndpointError) -> BeamFailed:
        failure = BeamFailure(beam=beam, error=error, attempts=error.attempts, round=self.number)
        self._failures[when, rank, len(self._failures)] = failure
        return BeamFailed(failure=failure, rank=rank)

    def take_scores(self, beams: Sequence[Beam], scores: object) -> None:
        """Set the scores requested by `ScoreCandidates`; invalid ones fail the search."""
        assert self._pool is not None
        self._scoring = False
        try:
            values = check_scores(self._config.scorer, scores, beams)
            self._pool.take_scores(dict(zip(beams, values, strict=True)))
        except ScorerError as error:
            self.scorer_failed(error)

    def scorer_failed(self, error: ScorerError) -> None:
        """Mark the search as failed by its scorer; results fall back to earlier rounds."""
        self._scoring = False
        self.scorer_error = error
        self.verdict = "failed"

    # -- towards the selection

    def next(self) -> Round | ScoreCandidates | None:
        """Return the next step before `close`, or None if it can be closed or has a verdict.

        Raises:
            TrioBeamError: a requested outcome or score is still missing.
        """
        if self.missing or self._scoring:
            raise TrioBeamError("step() was called before all requested outcomes were received")
        if self._evaluation is not None:
            self._absorb(self._evaluation)
        elif self._pool is None and self.verdict is None:
            self._check_survivors()
        if self.verdict is not None:
            return None
        if self._pool is None:
            self._pool = self._make_pool()
        try:
            scored = self._pool.score_now(self._scorer)
        except ScorerError as error:
            self.scorer_failed(error)
            return None
        return self._look_ahead(self._pool) if scored else self._ask_scorer(self._pool)

    def _ask_scorer(self, pool: CandidatePool) -> Round | ScoreCandidates | None:
        if isinstance(self._scorer, ModelScorer):
            first = first_seed(self.number, self._scorer.samples, self._config, self._seed)
            asked = judge(self.number, pool.to_score, self._scorer, self._config, first)
            return self._begin(asked)
        if isinstance(self._scorer, RewardScorer):
            return self._begin(reward(self.number, pool.to_score, self._scorer, self._config))
        self._scoring = True
        scorer: AsyncScorer = self._scorer  # type: ignore[assignment]  # a plain one has already scored
        return ScoreCandidates(scorer=scorer, beams=tuple(pool.to_score))

    def _look_ahead(self, pool: CandidatePool) -> Round | None:
        lookahead = self._selection.lookahead
        beams = pool.lookahead_candidates() if lookahead is not None else ()
        if lookahead is None or not beams:
            return None
        return self._begin(look_ahead(self.number, beams, lookahead, self._config, self._seed))

    def _begin(self, evaluation: Evaluation) -> Round | None:
        """Start an evaluation if the budget allows all of it: a part of it would be wasted."""
        expansions = evaluation.round.expansions
        wanted = sum(one.n * one.max_tokens for one in expansions)
        prompts = sum(self._meter.prompt_length + one.beam.length for one in expansions)
        if not self._meter.allows(wanted, prompts, requests=evaluation.requests):
            self.verdict = "budget"
            return None
        self._evaluation = evaluation
        return evaluation.round

    def _absorb(self, evaluation: Evaluation) -> None:
        pool = self._pool
        assert pool is not None
        self._evaluation = None
        if evaluation.stopped or evaluation.exhausted:
            self.verdict = "failed" if evaluation.stopped else "budget"
            return
        standing = len(pool.standing)
        # Checked before any are dropped, so that a failed search keeps them.
        alone = self._selection.weighted and evaluation.dropped == len(evaluation.values)
        if alone or standing - evaluation.dropped < min(self._config.min_beams, standing):
            self.verdict = "failed"
        elif evaluation.round.purpose == "rollout":
            pool.take_futures(evaluation.results)
        else:
            try:
                pool.take_scores(evaluation.results, evaluation.step_scores)
            except ScorerError as error:
                self.scorer_failed(error)

    def _check_survivors(self) -> None:
        """Fail unless ``min_beams`` survive; a round with fewer beams needs all of them.

        What was cancelled because the answer was settled has not failed. With weights, one of the expanded
        beams must survive: nothing else can stand in for the others.
        """
        if not self._failures:
            return
        others = len(self._ended) + len(self._carried)
        expanded = len(self._outcomes) - sum(1 for beams in self._groups if not beams)
        alone = self._selection.weighted and not expanded
        wanted = min(self._config.min_beams, others + len(self._outcomes))
        if alone or others + expanded < wanted:
            self.verdict = "failed"

    def _make_pool(self) -> CandidatePool:
        groups = self._groups
        if self._selection.weighted and not self.missing and any(groups):
            wanted = self._round.expansions[0].n if self.number == 1 else 0
            groups = fill_groups(groups, wanted, self._chance("stand-ins"))
        if self._reference is not None and not self.missing and self.verdict is None:
            follower = self._extended(*self._reference).replace(is_reference=True)
            groups = [[*groups[0], follower]] if self.number == 1 else [*groups, [follower]]
        return CandidatePool(
            self.number,
            groups,
            self._ended,
            self._carried,
            config=self._config,
            selection=self._selection,
            chance=self._chance,
        )

    # -- the end of it

    @property
    def is_whole(self) -> bool:
        """Whether all that it is to choose from has come back."""
        return self._pool is not None

    def close(self) -> tuple[Population, int, ScoredRound]:
        """Select; return the beams to keep, the number of candidates, and the scored round."""
        pool = self._pool
        assert pool is not None
        scored = pool.scored_round()
        return pool.select(), sum(map(len, self._groups)), scored

    def standing(self) -> list[Beam] | None:
        """Return all current beams; None if not yet scored.

        Without weights, those still awaited are included as they were before the round.
        """
        pool = self._pool or self._make_pool()
        if not self._is_scored(pool):
            return None
        if self._selection.weighted:
            return pool.standing  # others stand in for what has failed, and nothing is waited for
        waiting = [e.beam for e in self._round.expansions if not self._outcomes.get(e.rank)]
        return [*pool.standing, *waiting]

    def unscored(self) -> list[Beam]:
        """Return the received candidates, without scores."""
        return (self._pool or self._make_pool()).fresh

    def _is_scored(self, pool: CandidatePool) -> bool:
        if self.scorer_error is not None:
            return False
        try:
            return pool.score_now(self._scorer)
        except ScorerError:  # must not hide other failures
            return False
