"""A scorer's questions, asked of a model as if they were expansions."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.language_model import LanguageModel, RequestContext, SampleRequest
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.prompt import Prompt


@attrs.frozen
class QuestionSampler:
    """Samples the answers about each candidate, by a prompt of its own.

    Attributes:
        model: answers.
        scorer: asks.
        prompt: of the search.
    """

    model: LanguageModel
    scorer: ModelScorer
    prompt: Prompt

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        """Sample the answer about ``request.beam``.

        Raises:
            EndpointError: none could be had.
        """
        question = self.scorer.ask(self.prompt, request.beam)
        sampler = await self.model.start(question, context)
        return await sampler.sample(attrs.evolve(request, beam=Beam()), context)
