"""Ask a model which of the final beams is the answer, after the last round."""

from __future__ import annotations

from collections.abc import Sequence

from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.evaluation import Evaluation, first_seed, judge
from trio_beam.core.events import BeamFailed
from trio_beam.core.model_answer import ModelAnswer
from trio_beam.core.result import BeamFailure, StopReason, Votes
from trio_beam.core.steps import Outcome, Reaction
from trio_beam.core.usage_meter import UsageMeter


class FinalChoice:
    """The choice among the final beams.

    Args:
        rule: asks the model.
        beams: at least two, best first.
        number: of the last round.
        config: of the search.
        seed: of the first sample of the search; None: the server's own randomness.
        stop_reason: why the search has ended.

    Attributes:
        evaluation: the requests, one per order of the beams.
        stop_reason: why the search has ended.
    """

    def __init__(
        self,
        rule: ModelAnswer,
        beams: Sequence[Beam],
        number: int,
        config: BeamSearchConfig,
        seed: int | None,
        stop_reason: StopReason,
    ) -> None:
        self.stop_reason = stop_reason
        self._beams = list(beams)
        # An order for each of the first beams, which it starts with.
        # Numbered as a round of its own, so that its seeds are its own.
        question = rule.question(self._beams)
        first = first_seed(number + 1, question.samples, config, seed)
        self.evaluation: Evaluation = judge(
            number + 1, self._beams[: rule.orders], question, config, first
        )
        self._number = number
        self._failures: dict[int, list[BeamFailure]] = {}

    @property
    def failures(self) -> list[BeamFailure]:
        """The failures of its requests, by rank."""
        return [one for _, failures in sorted(self._failures.items()) for one in failures]

    def is_affordable(self, meter: UsageMeter) -> bool:
        """Return whether the budget allows the requests, each of which shows all beams."""
        expansions = self.evaluation.round.expansions
        shown = sum(beam.length for beam in self._beams) + meter.prompt_length
        tokens = sum(one.max_tokens for one in expansions)
        return meter.allows(tokens, shown * len(expansions), requests=len(expansions))

    def receive(self, outcome: Outcome) -> Reaction:
        """Process the outcome for one order of the beams; a failure may cancel the other orders."""
        beam = self._beams[outcome.rank]
        found = [
            BeamFailure(beam=beam, error=error, attempts=error.attempts, round=self._number)
            for error in self.evaluation.receive(outcome)
        ]
        self._failures[outcome.rank] = found
        cancels = bool(found) and self.evaluation.round.sampling.cancel_siblings
        return Reaction(
            tuple(BeamFailed(failure=one, rank=outcome.rank) for one in found),
            self.evaluation.missing if cancels else frozenset(),
        )

    @property
    def decided(self) -> bool:
        """Whether the model has chosen at least once."""
        return any(value is not None for value in self.evaluation.values.values())

    def result(self) -> tuple[list[Beam], Votes]:
        """Return the beams, those chosen most often first, and the share of each; ties keep their order."""
        picks = [0] * len(self._beams)
        for rank, place in self.evaluation.values.items():
            if place is not None:
                picks[(rank + int(place)) % len(picks)] += 1
        order = sorted(range(len(picks)), key=lambda place: -picks[place])
        total = sum(picks)
        shares = tuple(
            (self._beams[place].text, picks[place] / total) for place in order if picks[place]
        )
        return [self._beams[place] for place in order], shares
