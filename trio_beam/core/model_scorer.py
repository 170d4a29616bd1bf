"""The interface of scorers that ask a model about each candidate, such as a judge."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token
from trio_beam.core.language_model import LanguageModel
from trio_beam.core.prompt import Prompt
from trio_beam.core.reasoning import Thinking


class ModelScorer(ABC):
    """Scores each candidate by a model's short answer, which it may think about before.

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
    def labels(self) -> tuple[str, ...]:
        """Words whose probabilities `read` looks for among the alternatives of an answer's first token."""
        return ()

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
        """Derive a score from the answers, which are without the thinking before them; higher is better.

        Raises:
            EndpointError: the answers do not give one.
        """


def without_thinking(answer: Continuation, thinking: Thinking) -> Continuation:
    """Return an answer with its thinking in `Continuation.reasoning` only.

    Its data and its tokens are those behind the thinking: none if the thinking has not ended.
    """
    beam = Beam(thinking=thinking).extend(answer)
    verdict = beam.text.encode("utf-8", "replace")
    if answer.reasoning is None and len(verdict) == len(beam.full_text.encode("utf-8", "replace")):
        return answer
    tokens = _ending(answer.tokens, verdict)
    return attrs.evolve(
        answer,
        tokens=tokens,
        keys=[token.key for token in tokens],
        data=verdict,
        reasoning=beam.reasoning,
    )


def _ending(tokens: Sequence[Token], text: bytes) -> tuple[Token, ...]:
    """Return the last tokens that spell a text, or are as long if none do (split characters)."""
    wanted, joined = text.strip(), b""
    if not wanted:
        return ()
    long_enough: int | None = None
    for start in reversed(range(len(tokens))):
        joined = tokens[start].data + joined
        if wanted in joined:
            return tuple(tokens[start:])
        if long_enough is None and len(joined) >= len(wanted):
            long_enough = start
    return tuple(tokens[long_enough or 0 :])
