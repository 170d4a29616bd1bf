"""The interface of rules that ask a model which of the final beams is the answer."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from trio_beam.core.answer_rule import AnswerRule
from trio_beam.core.beam import Beam
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.result import Votes


class ModelAnswer(AnswerRule):
    """Asks a model about the final beams, in several orders, when the search has ended.

    Its requests count and fail like a judge's. Where they cannot be made (a deadline, a budget), the order of
    the beams stays.
    """

    @property
    @abstractmethod
    def orders(self) -> int:
        """Maximum number of orders in which the beams are shown, each by one request."""

    @abstractmethod
    def question(self, beams: Sequence[Beam]) -> ModelScorer:
        """Return what to ask about `beams`.

        Its ``ask(prompt, beam)`` shows them in the order that starts at `beam`; its ``read`` returns the
        place of the chosen beam in that order, from 0.
        """

    def choose(self, beams: Sequence[Beam]) -> tuple[list[Beam], Votes]:
        """Keep the order, for want of a model's choice."""
        return list(beams), ()
