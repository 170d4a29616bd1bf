"""The interface of scorers that ask a reward model about the candidates of a round, many at a time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import ClassVar

from trio_beam.core.beam import Beam
from trio_beam.core.language_model import RequestContext
from trio_beam.core.prompt import Prompt
from trio_beam.core.reasoning import split


class RewardScorer(ABC):
    """Scores candidates by rewards, with a number for each step of each candidate.

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
        """Return the step scores of each candidate, one number per block.

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


def steps_of(beam: Beam) -> tuple[list[str], list[int]]:
    """Divide a beam's answer into steps: its blocks, those without visible text joined to the one before.

    Returns:
        The steps, whose concatenation is the answer, and for each block the index of its step. Blocks of
        thinking before the answer belong to the first step.
    """
    hidden = split(beam.full_text, beam.thinking).start
    steps: list[str] = []
    places: list[int] = []
    for block in beam.lineage():
        fragment = block.fragment[hidden:]
        hidden = max(0, hidden - len(block.fragment))
        if not steps or (fragment.strip() and steps[-1].strip()):
            steps.append("")
        steps[-1] += fragment
        places.append(len(steps) - 1)
    text = "".join(steps)
    whole = beam.answer
    if steps and whole != text:  # an incomplete character, or a stop string, at the end
        steps = _cut(steps, len(whole))
        steps[-1] += whole[len(text) :]
    return steps, places


def _cut(steps: Sequence[str], length: int) -> list[str]:
    kept: list[str] = []
    for step in steps:
        kept.append(step[:length])
        length -= len(kept[-1])
    return kept
