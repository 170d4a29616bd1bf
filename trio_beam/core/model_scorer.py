"""The interface of scorers that ask a model about each candidate, such as a judge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.prompt import Prompt


class ModelScorer(ABC):
    """Scores each candidate by a model's short answer.

    Its requests are sent like expansions: concurrently, with the same limits, timeouts and budget.
    """

    #: Parameters of the search that it does not look at.
    ignores: ClassVar[tuple[str, ...]] = ("alpha", "use_length_penalty", "length_penalty")

    @property
    @abstractmethod
    def model(self) -> LanguageModel | None:
        """The model to ask; None: the model being searched."""

    @property
    @abstractmethod
    def max_tokens(self) -> int:
        """Maximum length of an answer in tokens."""

    @property
    @abstractmethod
    def top_logprobs(self) -> int:
        """Number of alternatives that `read` needs per token of an answer."""

    @property
    def samples(self) -> int:
        """Number of answers to ask for about each candidate."""
        return 1

    @property
    def temperature(self) -> float:
        """Temperature at which answers are sampled."""
        return 1.0

    @abstractmethod
    def ask(self, prompt: Prompt, beam: Beam) -> Prompt:
        """Build the question about a candidate.

        Args:
            prompt: the prompt of the search.
            beam: the candidate.
        """

    @abstractmethod
    def read(self, answers: Sequence[Continuation]) -> float:
        """Derive a score from the answers; higher is better.

        Raises:
            EndpointError: the answers do not give one.
        """


def verdict_of(answer: Continuation) -> str:
    """Return the part of an answer behind its reasoning; "" if the reasoning has not ended."""
    text = answer.data.decode("utf-8", "replace")
    _, closed, verdict = text.rpartition("</think>")
    return "" if not closed and "<think>" in text else verdict
