"""A judge's questions, asked of a language model as if they were expansions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from trio_beam.core.beam import Beam

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.block import Continuation
    from trio_beam.core.judge import Judge
    from trio_beam.core.language_model import Call, LanguageModel, SampleRequest
    from trio_beam.core.prompt import Prompt


@attrs.frozen
class JudgeSampler:
    """For each candidate the beginning of the judge's answer, by a prompt of its own.

    Attributes:
        model: who answers.
        judge: who asks.
        prompt: of the search.
    """

    model: LanguageModel
    judge: Judge
    prompt: Prompt

    @property
    def most_per_request(self) -> int | None:
        """One is all that is asked for."""
        return None

    async def sample(self, request: SampleRequest, call: Call) -> Sequence[Continuation]:
        """The first token of the answer about ``request.beam``.

        Raises:
            EndpointError: none could be had.
        """
        sampler = await self.model.start(self.judge.ask(self.prompt, request.beam), call)
        return await sampler.sample(attrs.evolve(request, beam=Beam()), call)
