"""Run a search's rounds through the original's `_expand_beams_parallel`, overridden or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeAlias

import attrs

from trio_beam.compat.expansion import Expanded
from trio_beam.compat.session import Session
from trio_beam.compat.text_beam import TextBeam, text_beam
from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import Observer
from trio_beam.core.language_model import Sampler
from trio_beam.core.steps import Outcome, Round
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.engine.round import OutcomeReceiver, deliver
from trio_beam.errors import EndpointError

#: From the active beams and the block number (from 0) to candidates, prompt and completion tokens.
Expand: TypeAlias = Callable[[list[TextBeam], int], Awaitable[tuple[Iterable[Any], int, int]]]
#: From each token's alpha * log p and the number of tokens to a score.
Score: TypeAlias = Callable[[list[float], int], float]


@attrs.define(eq=False)
class MethodRounds:
    """Runs and scores the rounds of one search through two methods.

    Candidates are used as the method returns them: more or fewer than requested, in its order (which breaks
    ties), and whether or not they continue the given beams.
    """

    _session: Session
    _expand: Expand
    _score: Score
    _alpha: float
    _beam_width: int
    #: The candidates of the last round, by the last blocks of their beams.
    _candidates: dict[Continuation | None, TextBeam] = attrs.field(factory=dict, init=False)

    async def run(
        self,
        sampler: Sampler,
        current: Round,
        receiver: OutcomeReceiver,
        meter: UsageMeter,
        emit: Observer,
    ) -> None:
        """Run a round, like `run_round`."""
        del sampler  # the session has it
        self._session.meter, self._session.emit = meter, emit
        beams = self._active(current)
        try:
            given, prompt, completion = await self._expand(beams, current.number - 1)
        except EndpointError as error:
            expanded = self._session.failed
            if error not in expanded.errors.values():
                expanded = Expanded(errors={0: error})
        else:
            candidates = [text_beam(one, self._alpha) for one in given]
            expanded = Expanded(results={0: (candidates, prompt, completion)})
        self._deliver(expanded, current, receiver, meter, emit)

    def score(self, beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        """Score the candidates of the last round."""
        del config
        found = [self._candidates[beam.continuation] for beam in beams]
        return [self._score(one.log_target, len(one.tokens)) for one in found]

    def _active(self, current: Round) -> list[TextBeam]:
        """Return the beams of a round; in the first, the empty beam `beam_width` times."""
        beams = []
        for expansion in current.expansions:
            beam = self._candidates.get(expansion.beam.continuation)
            if beam is None:
                beam = TextBeam.of_beam(expansion.beam, self._alpha)
            beam.max_tokens, beam.seed = expansion.max_tokens, expansion.seed
            beams.append(beam)
        return beams * self._beam_width if current.number == 1 else beams

    def _deliver(
        self,
        expanded: Expanded,
        current: Round,
        receiver: OutcomeReceiver,
        meter: UsageMeter,
        emit: Observer,
    ) -> None:
        self._candidates = {}
        ranks = len(current.expansions)
        last = ranks - 1  # a method may expand more beams than it was given
        found: dict[int, list[Beam]] = {rank: [] for rank in range(ranks)}
        errors: dict[int, list[EndpointError]] = {rank: [] for rank in range(ranks)}
        for place, (candidates, prompt, completion) in expanded.results.items():
            meter.prompt_tokens += prompt
            meter.completion_tokens += completion
            for one in candidates:
                assert one.beam is not None
                self._candidates[one.beam.continuation] = one
                found[min(place, last)].append(one.beam)
        for place, error in expanded.errors.items():
            errors[min(place, last)].append(error)
        for rank in range(ranks):
            outcome = Outcome(
                rank=rank,
                candidates=tuple(found[rank]),
                errors=tuple(errors[rank]),
                cancelled=bool(expanded.errors) and not (found[rank] or errors[rank]),
            )
            length = meter.prompt_length
            deliver(receiver, current, outcome, meter, emit, prompt_length=length)
