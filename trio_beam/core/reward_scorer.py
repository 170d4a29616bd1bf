"""The interface of scorers that ask a reward model about the candidates of a round, many at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import ClassVar

from trio_beam.core.beam import Beam
from trio_beam.core.language_model import RequestContext
from trio_beam.core.prompt import Prompt


class RewardScorer(ABC):
    """Scores candidates by rewards, with a number for each step of each candidate's answer.

    Its requests are sent in rounds like expansions: concurrently, with the same timeouts and budget.
    """

    #: Parameters of the search that it does not look at.
    ignores: ClassVar[tuple[str, ...]] = ("alpha", "use_length_penalty", "length_penalty")

    @abstractmethod
    def opened(self) -> AbstractAsyncContextManager[None]:
        """Keep it open during a search; searches may share it."""

    @abstractmethod
    def max_batch(self, prompt: Prompt) -> int | None:
        """Return the maximum number of candidates per request; None: no known limit."""

    @abstractmethod
    def learn_batch(self, limit: int) -> None:
        """Note that the server takes no more than `limit` candidates in a request."""

    @abstractmethod
    async def rewards(
        self, prompt: Prompt, beams: Sequence[Beam], context: RequestContext
    ) -> Sequence[tuple[float, ...]]:
        """Return the step scores of each candidate, one number per step of its answer (`steps_of`).

        Args:
            prompt: the prompt of the search.
            beams: the candidates, at most `max_batch`.
            context: of the request.

        Raises:
            EndpointError: the request failed.
        """

    @abstractmethod
    def score_of(self, step_scores: Sequence[float]) -> float:
        """Derive a candidate's score from its step scores; higher is better."""


def steps_of(beam: Beam) -> list[str]:
    """Divide a beam's answer into steps; none if it has not begun.

    A step ends with a block, unless that was cut inside the step (`Continuation.ends_step`). What has no
    visible text is no step, but belongs to the one before it, or to the first.

    Returns:
        The steps, whose concatenation is `Beam.text`.
    """
    if beam.unanswered:
        return []
    steps: list[str] = []
    for step in _divide(beam):
        if steps and not (step.strip() and steps[-1].strip()):
            steps[-1] += step
        else:
            steps.append(step)
    return steps


def _divide(beam: Beam) -> list[str]:
    """Divide the answer where blocks end a step."""
    rest = beam.text
    thinking = len(beam.full_text) - len(rest)  # characters still to be skipped
    parts: list[str] = []
    ended = True
    for block in beam.lineage():
        assert block.continuation is not None
        if ended:
            parts.append("")
        length = max(0, len(block.fragment) - thinking)
        thinking = max(0, thinking - len(block.fragment))
        parts[-1] += rest[:length]
        rest = rest[length:]
        ended = block.continuation.ends_step
    if parts:
        parts[-1] += rest  # an incomplete character
    return parts
