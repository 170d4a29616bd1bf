"""A Markov chain over texts, as a state machine without I/O.

``step()`` returns the next request; ``receive()`` takes its outcome. A move may take more than one request
if a server returns fewer tokens than requested.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from trio_beam.core import stop
from trio_beam.core.beam import Beam
from trio_beam.core.block import CONTEXT, Continuation
from trio_beam.core.events import BeamFailed, ChainExtended, ChainStepped, Event
from trio_beam.core.mcmc.metropolis import acceptance, positions
from trio_beam.core.mcmc.prefix import prefix
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.result import BeamFailure
from trio_beam.core.steps import Expansion, Outcome, Reaction, Round, Sampling
from trio_beam.core.usage import UsageMeter
from trio_beam.errors import ContextOverflow, EndpointError

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

    def step(self) -> Round | None:
        """Return the next request, or None at the end of the chain."""
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
        event = self._decide() if self._step else self._accept_block()
        self._begin_next()
        return (event,)

    def _accept_block(self) -> Event:
        self.beam = self._growing
        return ChainExtended(
            chain=self._number,
            block=self.block,
            blocks=self._config.rounds,
            length=self.beam.length,
            beam=self.beam,
        )

    def _decide(self) -> Event:
        new = self._growing
        probability = acceptance(self.beam, new, self._position, self._config.alpha)
        accepted = self._chance(self._name("accepted")) < probability
        if accepted:
            self.beam = new
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
                self.end = "done"
                return
        if self._step:
            self._position = int(self._chance(self._name("position")) * places)
            self._growing = prefix(self.beam, self._position)
        else:
            self._growing = self.beam

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
            self.beam = standing if standing.ended else full
            self.end = "done"
            return ()
        self.end = "failed"
        self.failure = BeamFailure(
            beam=standing, error=error, attempts=error.attempts, round=self.block
        )
        return (BeamFailed(failure=self.failure, rank=self._number),)
