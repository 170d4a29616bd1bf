"""The search as a state machine, without any input or output.

``step()`` says what is to be done; ``receive()`` takes what came of it, one beam at a time and in
any order. Nothing that it computes depends on that order: candidates are ranked by score, then by
their parent's rank, then by sample index.

A round costs as much as its new tokens: beams share their prefixes (`core.beam`).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import attrs

from trio_beam.core import stop
from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.actions import Expansion, Failed, Outcome, Over, Round, Step
from trio_beam.core.beam_search.block_length import affordable
from trio_beam.core.beam_search.candidates import RoundEnd, merged
from trio_beam.core.beam_search.particles import drawn_first
from trio_beam.core.beam_search.scoring import check_scores, rank
from trio_beam.core.beam_search.voting import vote
from trio_beam.core.block import CONTEXT
from trio_beam.core.events import (
    BeamExpanded,
    BeamFailed,
    Event,
    QuorumReached,
    RoundFinished,
    RoundStarted,
)
from trio_beam.core.judge import Judge
from trio_beam.core.registry import SCORERS, SELECTIONS
from trio_beam.core.result import BeamFailure, SearchResult, StopReason
from trio_beam.core.seeds import base_seed, sample_number, uniform
from trio_beam.core.usage import Ledger
from trio_beam.errors import ContextOverflow, EndpointError, ScorerError, TrioBeamError
from trio_beam.scorers.power import best_reachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.beam_search.voting import Votes
    from trio_beam.core.block import Continuation
    from trio_beam.core.config import BeamSearchConfig


class BeamSearchState:
    """One search, from the empty beam to its result.

    Args:
        config: its parameters.
        entropy: a number that stands for chance where the configuration has no seed.

    Attributes:
        config: its parameters.
        ledger: what it has cost so far.
        cancel_siblings: whether the rest of the current round should be cancelled.
        quorum_reached: whether it should be cancelled after ``quorum_grace`` seconds.
    """

    def __init__(self, config: BeamSearchConfig, entropy: int = 0) -> None:
        self.config = config
        self._entropy = entropy if config.seed is None else config.seed
        self.ledger = Ledger(config.max_total_tokens, config.max_requests)
        self._failures: dict[tuple[int, int, int, int], BeamFailure] = {}
        self.cancel_siblings = False
        self.quorum_reached = False
        self._exhausted = False
        self._base_seed = None if config.seed is None else base_seed(config.seed)
        self._active: list[Beam] = [Beam()]
        self._ended: list[Beam] = []
        self._round: Round | None = None
        self._outcomes: dict[int, list[Beam]] = {}
        self._received = 0
        self._completed = 0
        self._failed = False
        self._over: Over | None = None
        self._scorer = SCORERS[config.scorer] if isinstance(config.scorer, str) else config.scorer
        self._selection = SELECTIONS[config.selection]()
        self._end: RoundEnd | None = None  # of the open round, once all its outcomes are in
        self._unscorable = False
        self._shortened = False  # whether the budget has made a block shorter

    @property
    def failures(self) -> tuple[BeamFailure, ...]:
        """What went wrong so far, by round and by rank, whichever came first."""
        return tuple(
            failure for _, failure in sorted(self._failures.items(), key=lambda item: item[0])
        )

    def step(self) -> Step:
        """Close the round whose outcomes are all in, and say what is next.

        Raises:
            TrioBeamError: an outcome of the current round is still missing.
        """
        if self._over is not None:
            return self._over
        events: tuple[Event, ...] = ()
        if self._round is not None:
            if self._received < len(self._round.expansions):
                raise TrioBeamError("step() before every beam of the round was received")
            # A round that the budget cut short stays open: the beams that it left out stand as they are.
            if (end := self._end_of(self._round)) is not None:
                if (first := end.next()) is not None:
                    return first
                self._failed, self._exhausted = end.failed, end.exhausted
                if not self._cut_short:
                    events = (self._close_round(self._round, end),)
        if self._failed:
            return Failed(failures=self.failures)
        reason = "budget" if self._exhausted else self._stop_reason()
        block = self._block_length()
        if reason is None and (block < 1 or not self.ledger.allows(1)):
            reason = "budget"
        if reason is not None:
            self._over = Over(stop_reason=reason)
            return attrs.evolve(self._over, events=events)
        self._round = self._open_round(block)
        started = RoundStarted(
            round=self._round.number,
            rounds=self.config.rounds,
            beams=len(self._round.expansions),
            samples=sum(expansion.n for expansion in self._round.expansions),
        )
        return attrs.evolve(self._round, events=(*events, started))

    def receive(self, outcome: Outcome) -> tuple[Event, ...]:
        """Take what came of one expansion of the current round.

        Raises:
            TrioBeamError: there is no round, or that beam was received before.
        """
        ranks = range(len(self._round.expansions)) if self._round else range(0)
        if self._round is None or outcome.rank not in ranks or outcome.rank in self._outcomes:
            raise TrioBeamError(f"nothing is expected of the beam of rank {outcome.rank}")
        number = self._round.number
        parent = self._round.expansions[outcome.rank].beam
        self._outcomes[outcome.rank] = [
            self._child(parent, continuation)
            for _, continuation in sorted(outcome.continuations.items())
        ]
        self._received += 1
        tokens = sum(continuation.generated for continuation in outcome.continuations.values())
        self.ledger.completion_tokens += tokens
        events: list[Event] = []
        if outcome.continuations:
            events.append(
                BeamExpanded(
                    round=number,
                    rank=outcome.rank,
                    candidates=len(outcome.continuations),
                    tokens=tokens,
                )
            )
        self._exhausted = self._exhausted or outcome.exhausted
        for error in outcome.errors:
            events += self._note_failure(parent, outcome.rank, error, number)
        if outcome.cancelled and not self.quorum_reached:
            # Cancelled from outside, or because of a sibling: there is no next round to go on to.
            self._failed = True
        return (*events, *self._check_quorum(self._round))

    def fail_scoring(self) -> None:
        """The scorer has failed: what stands is what the rounds before have left."""
        self._unscorable = self._failed = True

    def fail(self, failure: BeamFailure) -> None:
        """Note a failure before the first round."""
        self._failures[0, 0, 0, 0] = failure
        self._failed = True

    def result(self, stop_reason: StopReason, *, voted: bool = True) -> SearchResult:
        """The best so far, at any moment; what came back of an unfinished round counts too.

        Raises:
            VoteError: a vote was wanted, and the configuration's ``vote_key`` failed.
        """
        beams = self._best(stop_reason)
        votes: Votes = ()
        if voted and self.config.answer == "vote":
            beams, votes = vote(beams, self.config.vote_key, self.config.vote_by)
        return SearchResult(
            text=beams[0].text if beams else "",
            score=beams[0].score if beams else -math.inf,
            beams=tuple(beams),
            usage=self.ledger.usage(),
            rounds=self._completed,
            stop_reason=stop_reason,
            failures=self.failures,
            exact=all(beam.exact for beam in beams),
            votes=votes,
        )

    def _best(self, stop_reason: StopReason) -> list[Beam]:
        if self._selection.weighted:
            return drawn_first(self._standing(), uniform(self._entropy, "answer"))
        beams = self._ended if stop_reason == "finished" else rank(self._standing())
        beams = [beam for beam in beams if beam.continuation is not None]
        if self.config.deduplicate and not self._selection.merges:
            _, beams = merged((), beams)
        return beams[: self.config.beam_width]

    # -- opening a round

    def _open_round(self, block: int) -> Round:
        number = self._completed + 1
        config = self.config
        self._outcomes = {}
        self._received = 0
        self.cancel_siblings = self.quorum_reached = False
        expansions = tuple(
            Expansion(
                rank=index,
                beam=beam,
                n=config.samples_per_round if number == 1 else config.n_per_beam,
                max_tokens=min(block, config.max_tokens - beam.length),
                seed=self._seed(number, index),
            )
            for index, beam in enumerate(self._expandable())
        )
        return Round(number=number, expansions=expansions)

    def _expandable(self) -> list[Beam]:
        return [beam for beam in self._active if beam.length < self.config.max_tokens]

    def _seed(self, number: int, index: int) -> int | None:
        if self._base_seed is None:
            return None
        width, n = self.config.beam_width, self.config.n_per_beam
        return self._base_seed + sample_number(number, index, 0, width=width, n=n)

    def _block_length(self) -> int:
        """Tokens a block, shortened so that the round fits into what is left of the budget."""
        beams = [beam.length for beam in self._expandable()]
        n = self.config.n_per_beam if self._completed else self.config.samples_per_round
        block, usual = affordable(
            self.config, self.ledger.tokens_left, beams, n, judged=isinstance(self._scorer, Judge)
        )
        self._shortened = self._shortened or block < usual
        return block

    # -- receiving

    def _child(self, parent: Beam, continuation: Continuation) -> Beam:
        child = stop.extend(parent, continuation, self.config.stop)
        if not self._selection.weighted:
            return child
        block = child.continuation
        assert block is not None
        gained = self.config.alpha * block.logprob - block.proposal_logprob
        return child.but(log_weight=parent.log_weight + gained)

    def _note_failure(
        self, parent: Beam, rank: int, error: EndpointError, number: int
    ) -> list[Event]:
        if isinstance(error, ContextOverflow) and parent.continuation is not None:
            # Not a failure: the beam has grown until it filled the context.
            if not self._outcomes[rank]:
                self._outcomes[rank] = [parent.but(finish_reason=CONTEXT)]
            return []
        failure = BeamFailure(beam=parent, error=error, attempts=error.attempts, round=number)
        self._failures[number, 0, rank, len(self._failures)] = failure
        if self.config.on_beam_failure == "cancel_siblings":
            self.cancel_siblings = self._failed = True
        return [BeamFailed(failure=failure, rank=rank)]

    def _check_quorum(self, current: Round) -> list[Event]:
        quorum = self.config.quorum
        missing = self._received < len(current.expansions)
        if quorum is None or self.quorum_reached or self._failed or not missing:
            return []
        candidates = sum(map(len, self._outcomes.values()))
        expected = sum(expansion.n for expansion in current.expansions)
        if candidates < quorum * expected:
            return []
        self.quorum_reached = True
        return [
            QuorumReached(
                round=current.number,
                candidates=candidates,
                expected=expected,
                grace=self.config.quorum_grace,
            )
        ]

    # -- closing a round

    def _enough_survive(self, current: Round) -> bool:
        """Whether ``min_beams`` are left; a round that had fewer to begin with needs all of them."""
        others = len(self._ended) + len(self._carried())
        if not any(number == current.number for number, *_ in self._failures):
            return True
        survivors = others + sum(1 for beams in self._outcomes.values() if beams)
        expanded = others + len(current.expansions)
        self._failed = survivors < min(self.config.min_beams, expanded)
        return not self._failed

    @property
    def _cut_short(self) -> bool:
        return self._failed or self._exhausted

    def _end_of(self, current: Round) -> RoundEnd | None:
        """The end of a round whose outcomes are all in; None if it has none, having failed."""
        if self._end is None and not self._cut_short and self._enough_survive(current):
            self._end = self._make_end(current)
        return None if self._cut_short else self._end

    def _make_end(self, current: Round) -> RoundEnd:
        return RoundEnd(
            current.number,
            [self._outcomes[rank] for rank in sorted(self._outcomes)],
            self._ended,
            self._carried(),
            config=self.config,
            scorer=self._scorer,
            selection=self._selection,
            ledger=self.ledger,
            seed=self._base_seed,
            chance=lambda what: uniform(self._entropy, f"round {current.number} {what}"),
            fail=self._note_aside,
        )

    def _note_aside(self, failure: BeamFailure, rank: int) -> Sequence[Event]:
        self._failures[failure.round, 1, rank, len(self._failures)] = failure
        return (BeamFailed(failure=failure, rank=rank),)

    def take_scores(self, beams: Sequence[Beam], scores: object) -> None:
        """Take the scores of the candidates of a `Scoring`.

        Raises:
            ScorerError: they are not one number for each.
        """
        assert self._end is not None
        values = check_scores(self.config.scorer, scores, beams)
        self._end.take_scores(dict(zip(beams, values, strict=True)))

    def _close_round(self, current: Round, end: RoundEnd) -> Event:
        population = end.select()
        candidates = end.closing().candidates
        self._active, self._ended = list(population.active), list(population.ended)
        self._completed = current.number
        self._round = self._end = None
        return RoundFinished(
            round=current.number,
            rounds=self.config.rounds,
            candidates=end.arrived,
            active=len(self._active),
            ended=len(self._ended),
            best_score=max((beam.score for beam in candidates), default=-math.inf),
            completion_tokens=self.ledger.completion_tokens,
        )

    def _stop_reason(self) -> StopReason | None:
        if not self._active:
            return "finished"
        enough = len(self._ended) >= self.config.beam_width
        if enough and self.config.early_stopping is True:
            return "finished"
        if enough and self.config.early_stopping == "bound":
            worst = self._ended[-1].score
            if all(best_reachable(beam, self.config) <= worst for beam in self._active):
                return "finished"
        if self._completed == self.config.rounds or not self._expandable():
            return "budget" if self._shortened else "max_tokens"
        return None

    # -- the best so far

    def _standing(self) -> list[Beam]:
        """All beams that stand now; for those of an open round, what came back of them."""
        if self._round is None:
            return [*self._ended, *self._active]
        end = self._end or self._make_end(self._round)
        try:
            scored = not self._unscorable and end.scored_now()
        except ScorerError:  # what has failed besides is not to be hidden by it
            scored = False
        if not scored:
            before = [*self._ended, *self._active]
            # What has no scores is still better than nothing.
            return before if self._completed else [*before, *end.fresh]
        waiting = [e.beam for e in self._round.expansions if not self._outcomes.get(e.rank)]
        return [*end.standing, *waiting]

    def _carried(self) -> list[Beam]:
        """Active beams that already have all the tokens they may have."""
        return [beam for beam in self._active if beam.length >= self.config.max_tokens]
