"""Beam search as a state machine without I/O.

Rule 1: nothing here awaits, reads a clock or draws a random number; input arrives through `receive` and
`take_scores`. Rule 2: no result depends on the order in which outcomes arrive: candidates are ranked by
score, then by their parent's rank, then by sample index.

``step()`` returns what to do next. A `Round` asks for requests, whose outcomes go to ``receive()``;
`ScoreCandidates` asks for an asynchronous scorer, whose scores go to ``take_scores()``. `phases` defines
the phases. A round costs only its new tokens, since beams share their prefixes (`core.beam`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.block_length import affordable
from trio_beam.core.beam_search.candidates import final_beams
from trio_beam.core.beam_search.early_stopping import ends_early
from trio_beam.core.beam_search.expansion_round import expansion_round, reference_block
from trio_beam.core.beam_search.final_choice import FinalChoice
from trio_beam.core.beam_search.moves import Moves
from trio_beam.core.beam_search.open_round import OpenRound
from trio_beam.core.beam_search.particles import draw_answer, effective_sample_size, log_evidence
from trio_beam.core.beam_search.phases import TRANSITIONS, Phase
from trio_beam.core.beam_search.sample_order import SampleOrder
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import Event, RoundFinished, RoundStarted
from trio_beam.core.model_answer import ModelAnswer
from trio_beam.core.population import Population
from trio_beam.core.ranking import best_first
from trio_beam.core.result import BeamFailure, ParticleRound, SearchResult, StopReason, Votes
from trio_beam.core.scoring import call_scorer, check_scores
from trio_beam.core.seeds import Chance, base_seed
from trio_beam.core.statistics import wilson_interval
from trio_beam.core.steps import (
    Failed,
    Finished,
    Outcome,
    Reaction,
    Round,
    ScoreCandidates,
    Step,
)
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.errors import ScorerError, TrioBeamError


class BeamSearchMachine:
    """One search, from the empty beam to its result.

    Args:
        config: the configuration.
        entropy: seed of random decisions if the configuration has none.

    Attributes:
        config: the configuration.
        meter: its cost so far.
        phase: the current phase.
    """

    def __init__(self, config: BeamSearchConfig, entropy: int = 0) -> None:
        self.config = config
        self.meter = UsageMeter(config.budget)
        self.phase = Phase.READY
        self._chance = Chance(entropy if config.seed is None else config.seed)
        self._base_seed = None if config.seed is None else base_seed(config.seed)
        self._active: list[Beam] = [Beam(thinking=config.reasoning)]
        self._ended: list[Beam] = []
        self._failures: list[BeamFailure] = []  # without those of the open round
        self._completed = 0
        self._exact = True  # whether everything received in completed rounds was
        self._shortened = False  # whether the budget has shortened a block
        self._settled = False
        self._open: OpenRound | None = None
        self._moves: Moves | None = None  # while particles move between two rounds
        self._length = 0  # of unfinished texts: the lengths of all blocks so far
        self._moved = (0, 0)  # steps accepted and made
        self._particle_rounds: list[ParticleRound] = []
        self._choice: FinalChoice | None = (
            None  # while or after a model has been asked for the answer
        )
        self._end: Finished | Failed | None = None

    @property
    def failures(self) -> tuple[BeamFailure, ...]:
        """The failures so far, ordered by round and rank, not by arrival."""
        later = (one.failures for one in (self._open, self._moves, self._choice) if one is not None)
        return (*self._failures, *chain.from_iterable(later))

    def open_thinking(self) -> None:
        """Note, before the first round, that the prompt has opened the model's thinking."""
        self._active = [beam.replace(thinking="opened") for beam in self._active]

    def step(self) -> Step:
        """Return what to do next.

        Raises:
            TrioBeamError: a requested outcome or score is still missing.
        """
        if self._end is not None:
            return self._end
        if self._choice is not None:
            return self._choose(self._choice)
        if self._moves is not None:
            return self._next_move(self._moves) or self._open_round(())
        return self._open_round(()) if self._open is None else self._step_of_round(self._open)

    def _step_of_round(self, current: OpenRound) -> Step:
        if (wanted := current.next()) is not None:
            self._enter(Phase.EVALUATING if isinstance(wanted, Round) else Phase.SCORING)
            return wanted
        if current.verdict == "failed":
            return self._fail(current.scorer_error)
        if current.verdict == "budget":
            # The round stays open: beams it did not expand remain unchanged.
            return self._finish("budget", ())
        events = (self._close(current),)
        if self.config.selection_part.moves:
            return self._begin_moves(events)
        return self._open_round(events)

    def receive(self, outcome: Outcome) -> Reaction:
        """Process the outcome of one expansion of the current round.

        Raises:
            TrioBeamError: no round is open, or the outcome was not expected.
        """
        if self._choice is not None and outcome.rank in self._choice.evaluation.missing:
            self.meter.completion_tokens += outcome.generated
            return self._choice.receive(outcome)
        if self._moves is not None and outcome.rank in self._moves.missing:
            return self._moves.receive(outcome)
        if self._open is None or self._end is not None:
            raise TrioBeamError(f"unexpected outcome for beam {outcome.rank}: no round is open")
        return self._open.receive(outcome)

    def take_scores(self, beams: Sequence[Beam], scores: object) -> tuple[Event, ...]:
        """Set the scores requested by `ScoreCandidates`; return the events that follow.

        Invalid scores fail the search.
        """
        if self._moves is None:
            assert self._open is not None
            self._open.take_scores(beams, scores)
            return ()
        try:
            values = check_scores(self.config.scorer, scores, beams)
        except ScorerError as error:
            self._moves.scorer_failed(error)
            return ()
        return self._moves.take_scores(beams, values)

    def scorer_failed(self, error: ScorerError) -> None:
        """Mark the search as failed by its scorer; results fall back to earlier rounds."""
        if self._moves is not None:
            self._moves.scorer_failed(error)
            return
        assert self._open is not None
        self._open.scorer_failed(error)

    def fail(self, failure: BeamFailure) -> None:
        """Mark the search as failed before its first round."""
        self._failures.append(failure)
        self._fail(None)

    def result(self, stop_reason: StopReason, *, voted: bool = True) -> SearchResult:
        """Return the best result so far, at any moment, including the received part of an open round.

        Not so with weights, but in the first round: what has come back of a round weighs less than what has
        not, by the tokens that it has more, and is not what would come back of the whole.

        Raises:
            VoteError: the final beams cannot be voted on.
        """
        votes: Votes = ()
        count = 0.0
        if voted and self._choice is not None and self._choice.decided:
            beams, votes = self._choice.result()
        else:
            beams = self._best(stop_reason)
            if voted:
                beams, votes = self.config.answer_part.choose(beams)
                count = self.config.answer_part.effective_votes(beams)
        particles = self._particles()
        evidence: float | None = None
        if self.config.selection_part.reference is None:
            evidence = log_evidence(particles, len(self._ended) + len(self._active))
        return SearchResult(
            text=beams[0].text if beams else "",
            score=beams[0].score if beams else -math.inf,
            beams=tuple(beams),
            usage=self.meter.usage(),
            rounds=self._completed,
            stop_reason=stop_reason,
            failures=self.failures,
            exact=self._exact and (self._open is None or not self._counts or self._open.exact),
            votes=votes,
            log_evidence=evidence,
            vote_intervals=tuple(wilson_interval(share, count) for _, share in votes if count),
            effective_votes=count or None,
            effective_sample_size=effective_sample_size(particles),
            particle_rounds=tuple(self._particle_rounds),
            acceptance_rates=(self._moved[0] / self._moved[1],) if self._moved[1] else (),
        )

    # -- phases

    def _enter(self, phase: Phase) -> None:
        assert phase in TRANSITIONS[self.phase], f"{self.phase} cannot become {phase}"
        self.phase = phase

    def _finish(self, reason: StopReason, events: tuple[Event, ...]) -> Finished:
        """End the search; only this step has the events, not its repetitions."""
        self._enter(Phase.FINISHED)
        self._end = Finished(stop_reason=reason)
        return attrs.evolve(self._end, events=events)

    def _fail(self, cause: ScorerError | None) -> Failed:
        self._enter(Phase.FAILED)
        self._end = Failed(failures=self.failures, cause=cause)
        return self._end

    # -- opening a round

    def _open_round(self, events: tuple[Event, ...]) -> Step:
        reason = self._stop_reason()
        block = self._block_length()
        if reason is None and (block < 1 or not self.meter.allows(1)):
            reason = "budget"
        if reason is not None:
            return self._ask_for_choice(reason, events) or self._finish(reason, events)
        self._length = min(self._length + block, self.config.max_tokens)
        beams = self._expandable()
        opened = expansion_round(self.config, self._completed + 1, beams, block, self._base_seed)
        started = RoundStarted(
            round=opened.number,
            rounds=self.config.rounds,
            beams=len(opened.expansions),
            samples=opened.samples,
        )
        opened = attrs.evolve(opened, events=(*events, started))
        order: SampleOrder | None = None
        if self.config.one_by_one:
            settling = self.config.answer_part.settling(len(opened.expansions))
            order = SampleOrder(opened.expansions, settling, self.config.confidence)
            opened = attrs.evolve(opened, held=order.held)
        self._open = OpenRound(
            opened,
            self._ended,
            self._carried(),
            config=self.config,
            meter=self.meter,
            chance=Chance(self._chance.entropy, f"round {opened.number} "),
            seed=self._base_seed,
            reference=reference_block(self.config, beams, block),
            order=order,
        )
        self._enter(Phase.EXPANDING)
        return opened

    # -- moves of particles between two rounds

    def _begin_moves(self, events: tuple[Event, ...]) -> Step:
        selection, number = self.config.selection_part, self._completed
        self._moves = Moves(
            [*self._ended, *self._active],
            self._length,
            selection.power(self._length, self.config),
            selection.moves,
            number,
            config=self.config,
            chance=Chance(self._chance.entropy, f"moves of round {number} "),
            seed=self._base_seed,
            meter=self.meter,
        )
        if (step := self._next_move(self._moves)) is None:
            return self._open_round(events)
        assert not isinstance(step, ScoreCandidates)  # a step begins with samples
        return attrs.evolve(step, events=(*events, *step.events))

    def _next_move(self, moves: Moves) -> Step | None:
        """Return the next requests of the moves; None if their particles have been taken over."""
        if moves.missing:
            raise TrioBeamError("step() was called before all requested outcomes were received")
        if (wanted := moves.next()) is not None:
            self._enter(Phase.EVALUATING)
            return wanted
        if moves.failed or moves.scorer_error is not None:
            return self._fail(moves.scorer_error)
        if moves.is_exhausted():
            return self._finish("budget", ())
        population = Population.of(self._scored(moves.moved()))
        self._active, self._ended = list(population.active), list(population.ended)
        self._failures += moves.failures
        self._exact = self._exact and moves.exact
        self._moved = tuple(map(sum, zip(self._moved, moves.counts, strict=True)))  # type: ignore[assignment]
        self._moves = None
        if self.phase is not Phase.READY:
            self._enter(Phase.READY)
        return None

    def _scored(self, moved: list[Beam]) -> list[Beam]:
        """Score texts that are new by p^alpha; those with rewards have been given them."""
        if self.config.rewards:
            return moved
        scores = call_scorer(self.config.scorer_part, moved, self.config)  # type: ignore[arg-type]
        return [beam.replace(score=one) for beam, one in zip(moved, scores, strict=True)]

    # -- a model's choice of the answer

    def _ask_for_choice(self, reason: StopReason, events: tuple[Event, ...]) -> Round | None:
        """Return the requests for a model's choice, if one is wanted and the budget allows it."""
        rule, beams = self.config.answer_part, self._best(reason)
        if not isinstance(rule, ModelAnswer) or len(beams) < 2:
            return None
        choice = FinalChoice(rule, beams, self._completed, self.config, self._base_seed, reason)
        if not choice.is_affordable(self.meter):
            return None
        wanted = choice.evaluation.round
        self._choice = choice
        self._enter(Phase.EVALUATING)
        return attrs.evolve(wanted, events=(*events, *wanted.events))

    def _choose(self, choice: FinalChoice) -> Step:
        evaluation = choice.evaluation
        if evaluation.missing:
            raise TrioBeamError("step() was called before all requested outcomes were received")
        if evaluation.exhausted:
            return self._finish("budget", ())
        if evaluation.stopped or not choice.decided:
            return self._fail(None)
        return self._finish(choice.stop_reason, ())

    def _expandable(self) -> list[Beam]:
        return [beam for beam in self._active if beam.length < self.config.max_tokens]

    def _carried(self) -> list[Beam]:
        """Return the active beams at the maximum length."""
        return [beam for beam in self._active if beam.length >= self.config.max_tokens]

    def _block_length(self) -> int:
        """Return the block length in tokens, shortened so that the round fits the remaining budget."""
        n = self.config.samples_of_beam(self._completed + 1)
        block, usual = affordable(self.config, self.meter, self._expandable(), n)
        self._shortened = self._shortened or block < usual
        return block

    def _stop_reason(self) -> StopReason | None:
        config = self.config
        if config.selection_part.moves and self._length < config.max_tokens:
            return None  # texts that have ended may grow again
        if self._settled or not self._active:
            return "settled" if self._settled else "finished"
        if ends_early(config, self._active, self._ended):
            return "finished"
        if self._completed == config.rounds or not self._expandable():
            return "budget" if self._shortened else "max_tokens"
        return None

    # -- closing a round

    def _close(self, closed: OpenRound) -> RoundFinished:
        population, candidates, scored = closed.close()
        ranked = scored.candidates
        self._active, self._ended = list(population.active), list(population.ended)
        self._failures += closed.failures
        self._exact = self._exact and closed.exact
        self._settled = closed.settled
        self._completed += 1
        self._open = None
        self._enter(Phase.READY)
        particles = None
        if population.exponent is not None and population.effective_sample_size is not None:
            particles = ParticleRound(
                round=self._completed,
                exponent=population.exponent,
                effective_sample_size=population.effective_sample_size,
                resampled=population.resampled,
            )
            self._particle_rounds.append(particles)
        return RoundFinished(
            round=self._completed,
            rounds=self.config.rounds,
            candidates=candidates,
            active=len(self._active),
            ended=len(self._ended),
            best_score=max((beam.score for beam in ranked), default=-math.inf),
            completion_tokens=self.meter.completion_tokens,
            best=next(iter(best_first([*self._ended, *self._active])), Beam()),
            living=() if self.config.selection_part.moves else (*self._ended, *self._active),
            particles=particles,
            scored=tuple(ranked),
            kept=(*self._active, *self._ended),
            futures=tuple(map(scored.futures.get, ranked)) if scored.futures else (),
        )

    # -- the best so far

    def _best(self, stop_reason: StopReason) -> list[Beam]:
        if self.config.weighted:
            return draw_answer(self._standing(), self._chance("answer"))
        beams = self._ended if stop_reason == "finished" else best_first(self._standing())
        return final_beams(beams, self.config)

    @property
    def _counts(self) -> bool:
        """Whether an open round counts for the result."""
        whole = self._open is not None and self._open.is_whole
        return whole or not self._completed or not self.config.weighted

    def _particles(self) -> list[Beam]:
        if not self.config.weighted:
            return []
        return [beam for beam in self._standing() if beam.continuation is not None]

    def _standing(self) -> list[Beam]:
        """Return all current beams, with the received candidates of an open round that counts."""
        before = [*self._ended, *self._active]
        if self._open is None or not self._counts:
            return before
        standing = self._open.standing()
        if standing is not None:
            return standing
        # Unscored candidates are better than nothing.
        return before if self._completed else [*before, *self._open.unscored()]
