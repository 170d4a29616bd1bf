"""A Markov chain over texts, as a state machine without I/O.

``step()`` returns the next request; ``receive()`` takes its outcome. A move may take more than one request
if a server returns fewer tokens than requested. With a reward in the target, each text is scored once, before
it is compared: a reward that varies is then drawn with its text, and counts with the mean of exp(beta *
reward) (Andrieu and Roberts 2009, "The pseudo-marginal approach").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import attrs

from trio_beam.core import stop
from trio_beam.core.beam import Beam
from trio_beam.core.block import CONTEXT, Continuation, known
from trio_beam.core.evaluation import Evaluation, judge, reward
from trio_beam.core.events import BeamFailed, ChainExtended, ChainStepped, Event
from trio_beam.core.mcmc.metropolis import acceptance, positions
from trio_beam.core.mcmc.prefix import prefix
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.result import BeamFailure
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.scorer import AsyncScorer
from trio_beam.core.scoring import (
    call_scorer,
    check_scores,
    is_async,
    name_of,
    rewarded,
)
from trio_beam.core.steps import Expansion, Outcome, Reaction, Round, Sampling, ScoreCandidates
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.errors import ContextOverflow, EndpointError, ScorerError

#: Why a chain makes no more steps.
End = Literal["done", "budget", "failed"]


class Chain:
    """A text that grows block by block and moves by Metropolis-Hastings steps.

    Args:
        config: the configuration.
        number: of the chain, from 0.
        chance: for positions and acceptances.
        seed: of the first sample of chain 0; None: the server's own randomness.
        meter: holds the chain's share of the budget.

    Attributes:
        meter: its cost so far.
        beam: the current text; initially the empty beam.
        blocks: number of blocks completed with all their steps.
        exact: whether every compared text had true log-probabilities.
        end: why the chain has ended; None while it runs.
        failure: its failure, if any.
        scorer_error: the error of the scorer, if that ended it.
        accepted: number of steps accepted.
        decided: number of steps.
        trace: log (nats) of the target of the text after each step of the last block.
    """

    def __init__(
        self,
        config: McmcConfig,
        number: int,
        chance: Callable[[str], float],
        seed: int | None,
        meter: UsageMeter,
    ) -> None:
        self.meter = meter
        self.beam = Beam(thinking=config.reasoning)
        self.blocks = 0
        self.exact = True
        self.end: End | None = None
        self.failure: BeamFailure | None = None
        self.scorer_error: ScorerError | None = None
        self.accepted = self.decided = 0
        self.trace: list[float] = []
        self._config = config
        self._sampling = Sampling.of(
            config, enumerate=False, proposal_logprobs=config.proposal_temperature != 1
        )
        self._number = number
        self._chance = chance
        self._seed = seed
        self._samples = 0
        self._step = 0  # 0: the block is being added
        self._position = 0
        self._growing = self.beam  # the next text, as far as it has been sampled
        self._context_full = False
        self._scorer = config.scorer_part
        self._evaluation: Evaluation | None = None  # of the next text, while one is running
        self._evaluated = 0
        self._overflown = False  # whether it ends with the next text, which fills the context
        self._unscored = False  # whether the next text is complete, but has no reward yet

    @property
    def block(self) -> int:
        """Number of the current block, from 1."""
        return self.blocks + 1

    @property
    def standing(self) -> Beam:
        """The current text; before the first block is complete, the part sampled so far."""
        return self._growing if self.beam.continuation is None else self.beam

    @property
    def _limit(self) -> int:
        return self._config.limit(self.block)

    def step(self) -> Round | ScoreCandidates | None:
        """Return the next request, or None at the end of the chain."""
        if self.end is None and self._unscored:
            return self._ask_scorer()
        wanted = self._limit - self._growing.length
        prompt = self.meter.prompt_length + self._growing.length
        if self.end is None and not self.meter.allows(wanted, prompt):
            self.end = "budget"
        if self.end is not None:
            return None
        seed = self._seed
        if seed is not None:
            # Chains number their samples in turn, so that no two samples share a seed.
            seed += self._samples * self._config.chains + self._number
        expansion = Expansion(
            rank=self._number, beam=self._growing, n=1, max_tokens=wanted, seed=seed
        )
        return Round(
            number=self.block, purpose="expand", expansions=(expansion,), sampling=self._sampling
        )

    def receive(self, outcome: Outcome) -> Reaction:
        """Process the outcome of the last step; a cancellation changes nothing."""
        if self._evaluation is not None:
            return Reaction(self._receive_reward(self._evaluation, attrs.evolve(outcome, rank=0)))
        if outcome.errors:
            self.meter.completion_tokens += outcome.generated
            return Reaction(self._fail(outcome.errors[0]))
        if outcome.continuations:
            return Reaction(self._grow(outcome.continuations[0]))
        if outcome.exhausted:
            self.end = "budget"
        return Reaction()

    def _grow(self, continuation: Continuation) -> tuple[Event, ...]:
        self._samples += 1
        self.meter.completion_tokens += continuation.generated
        grown = stop.extend(self._growing, continuation, self._config.stop)
        self.meter.discarded_tokens += self._growing.length + len(continuation) - grown.length
        self._growing = grown
        self.exact = self.exact and self._growing.exact
        self._context_full = self._context_full or self._growing.finish_reason == CONTEXT
        if not self._growing.ended and self._growing.length < self._limit:
            return ()
        return self._reward()

    def _move(self) -> tuple[Event, ...]:
        """Go on with the next text, which is complete."""
        self._unscored = False
        if self._overflown:
            self.beam = self._growing
            self._finish()
            return ()
        event = self._decide() if self._step else self._accept_block()
        self._begin_next()
        return (event,)

    # -- rewards

    def _reward(self) -> tuple[Event, ...]:
        """Score the next text by a plain function, or note that it has to be asked for its reward."""
        self._growing = self._growing.replace(reward=0.0)  # not that of its beginning
        if not self._config.rewards or not self._config.is_rewarded(self._growing):
            return self._move()
        if isinstance(self._scorer, (ModelScorer, RewardScorer)) or is_async(self._scorer):
            self._unscored = True
            return ()
        try:
            [score] = call_scorer(self._scorer, [self._growing], self._config)  # type: ignore[arg-type]
        except ScorerError as error:
            self.scorer_failed(error)
            return ()
        return self._take(score)

    def _take(self, score: float) -> tuple[Event, ...]:
        try:
            self._growing = rewarded(self._growing, score, self._config)
        except ScorerError as error:
            self.scorer_failed(error)
            return ()
        return self._move()

    def _ask_scorer(self) -> Round | ScoreCandidates | None:
        scorer, beam = self._scorer, self._growing
        if isinstance(scorer, ModelScorer):
            first = (
                None if self._seed is None else self._seed + self._question_number(scorer.samples)
            )
            evaluation = judge(self.block, [beam], scorer, self._config, first)
        elif isinstance(scorer, RewardScorer):
            evaluation = reward(self.block, [beam], scorer, self._config)
        else:
            plain: AsyncScorer = scorer  # type: ignore[assignment]  # a plain one has already scored
            return ScoreCandidates(scorer=plain, beams=(beam,))
        [one] = evaluation.round.expansions
        prompt = self.meter.prompt_length + beam.length
        if not self.meter.allows(one.n * one.max_tokens, prompt):
            self.end = "budget"
            return None
        self._evaluated += 1
        self._evaluation = evaluation
        asked = attrs.evolve(one, rank=self._number)  # as all requests of the chain
        return attrs.evolve(evaluation.round, expansions=(asked,))

    def _question_number(self, samples: int) -> int:
        """Number the answers of scorers behind the chains' own samples, which are far fewer."""
        asked = self._evaluated * self._config.chains + self._number
        return 2**29 + asked * samples

    def _receive_reward(self, evaluation: Evaluation, outcome: Outcome) -> tuple[Event, ...]:
        self._evaluation = None
        self.meter.completion_tokens += outcome.generated
        errors = evaluation.receive(outcome)
        value = evaluation.values[outcome.rank]
        if value is not None:
            steps = evaluation.step_scores.get(self._growing, ())
            self._growing = self._growing.replace(step_scores=steps)
            return self._take(value)
        if errors:
            return self._fail(errors[0])
        if outcome.exhausted:
            self.end = "budget"
        return ()

    def take_scores(self, beams: Sequence[Beam], scores: object) -> tuple[Event, ...]:
        """Take the score requested by `ScoreCandidates`; return the events that follow."""
        try:
            [score] = check_scores(self._config.scorer, scores, beams)
        except ScorerError as error:
            self.scorer_failed(error)
            return ()
        return self._take(score)

    def scorer_failed(self, error: ScorerError) -> None:
        """End the chain, and with it the run."""
        self.end = "failed"
        self.scorer_error = error

    # -- moves

    def _accept_block(self) -> Event:
        self.beam = self._growing
        self.trace = []
        return ChainExtended(
            chain=self._number,
            block=self.block,
            blocks=self._config.rounds,
            length=self.beam.length,
            beam=self.beam,
        )

    def _decide(self) -> Event:
        new = self._growing
        config = self._config
        probability = acceptance(self.beam, new, self._position, config.alpha, config.beta)
        accepted = self._chance(self._name("accepted")) < probability
        self.decided += 1
        if accepted:
            self.accepted += 1
            self.beam = new
        log_target = config.alpha * known(self.beam.logprob)
        self.trace.append(log_target + (config.beta * self.beam.reward if config.rewards else 0.0))
        return ChainStepped(
            chain=self._number,
            block=self.block,
            step=self._step,
            position=self._position,
            length=new.length,
            probability=probability,
            accepted=accepted,
            beam=self.beam,
            proposed=new,
        )

    def _begin_next(self) -> None:
        """Go on to the next step that samples something; an ended text gets no block."""
        self._step += 1
        places = positions(self.beam)
        if self._step > self._config.steps or not places:
            self.blocks += 1
            self._step = int(self.beam.ended)
            if self._is_last():
                self._finish()
                return
        if self._step:
            self._position = int(self._chance(self._name("position")) * places)
            self._growing = prefix(self.beam, self._position)
        else:
            self._growing = self.beam

    def _finish(self) -> None:
        """End the chain, which must have a text that its scorer allows."""
        self.end = "done"
        if self.beam.reward == -math.inf:
            message = (
                f"gives no text of chain {self._number} a finite reward: more steps may find one"
            )
            self.scorer_failed(ScorerError(name_of(self._config.scorer), message))

    def _is_last(self) -> bool:
        nothing_to_do = self.beam.ended and not (self._config.steps and positions(self.beam))
        return self.blocks == self._config.rounds or self._context_full or nothing_to_do

    def _name(self, what: str) -> str:
        return f"chain {self._number} block {self.block} step {self._step} {what}"

    def _fail(self, error: EndpointError) -> tuple[Event, ...]:
        standing = self.standing
        if isinstance(error, ContextOverflow) and standing.continuation is not None:
            # Not a failure: the text has filled the context, so the chain keeps its current text.
            full = standing.replace(finish_reason=CONTEXT)
            self._growing = standing if standing.ended else full
            self._overflown = True
            return self._reward()
        self.end = "failed"
        self.failure = BeamFailure(
            beam=standing, error=error, attempts=error.attempts, round=self.block
        )
        return (BeamFailed(failure=self.failure, rank=self._number),)
