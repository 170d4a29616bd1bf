"""A scorer that asks a model about each candidate: what a judge implements."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.prompt import Prompt


class ModelScorer(ABC):
    """Scores each candidate by a short answer of a model.

    Its requests are sent as expansions are: at the same time, under the same limits, timeouts and budget.
    """

    #: Parameters of the search that it does not look at.
    ignores: ClassVar[tuple[str, ...]] = ("alpha", "use_length_penalty", "length_penalty")

    @property
    @abstractmethod
    def model(self) -> LanguageModel | None:
        """The model that is asked; None: the one that is searched over."""

    @property
    @abstractmethod
    def max_tokens(self) -> int:
        """Greatest length of an answer, in tokens."""

    @property
    @abstractmethod
    def top_logprobs(self) -> int:
        """Alternatives that `read` needs beside each token of an answer."""

    @abstractmethod
    def ask(self, prompt: Prompt, beam: Beam) -> Prompt:
        """Make the question about one candidate.

        Args:
            prompt: of the search.
            beam: the candidate.
        """

    @abstractmethod
    def read(self, answers: Sequence[Continuation]) -> float:
        """Make a score of the answers; higher is better.

        Raises:
            EndpointError: they do not say.
        """
