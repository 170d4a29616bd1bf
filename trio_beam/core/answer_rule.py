"""The interface of rules that choose the answer among the final beams."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from trio_beam.core.beam import Beam
from trio_beam.core.confidence import Confidence
from trio_beam.core.registry import Registry
from trio_beam.core.result import Votes
from trio_beam.core.settling import Settling
from trio_beam.errors import ConfigError


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


ANSWERS: Registry[type[AnswerRule]] = Registry("answer", "trio_beam.answers")


def check_confidence(answer: AnswerRule, confidence: Confidence | None) -> None:
    """Refuse a rule and a limit of confidence that do not go together.

    Raises:
        ConfigError: names the reason.
    """
    if confidence is not None and answer.settles and not answer.is_certain:
        bound = (
            "None with an answer that settles with some probability: the first samples, which set the"
            " threshold, are not like the others"
        )
        raise ConfigError("confidence", bound, confidence)
    if answer.needs_confidence and (confidence is None or not confidence.top):
        bound = "a Confidence, with top from 1 up, if the answer is a vote by confidence"
        raise ConfigError("confidence", bound, confidence)
