"""Ask a model a scorer's questions in the form of expansions."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.extra_body import other_fields
from trio_beam.core.language_model import (
    LanguageModel,
    RequestContext,
    SampleRequest,
    prompt_opens_thinking,
)
from trio_beam.core.model_scorer import ModelScorer, without_thinking
from trio_beam.core.prompt import Prompt
from trio_beam.core.reasoning import Thinking


@attrs.frozen
class QuestionSampler:
    """Samples answers about candidates, each with its own prompt.

    Attributes:
        model: the model to ask.
        scorer: builds the questions.
        prompt: the prompt of the search.
        thinking: where its answers may hold thinking, which `scorer` is not shown.
    """

    model: LanguageModel
    scorer: ModelScorer
    prompt: Prompt
    thinking: Thinking = "auto"

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        """Sample the answer about ``request.beam``.

        Raises:
            EndpointError: a request failed.
        """
        question = self.scorer.ask(self.prompt, request.beam)
        if self.scorer.model is None:
            # The model being searched answers as it is asked to think, but not in the form of an answer.
            fields = other_fields(self.prompt.extra_body)
            question = attrs.evolve(question, extra_body=fields)
        sampler = await self.model.start(question, context)
        opened = self.thinking == "auto" and prompt_opens_thinking(sampler, question)
        answers = await sampler.sample(attrs.evolve(request, beam=Beam()), context)
        thinking = "opened" if opened else self.thinking
        return [without_thinking(answer, thinking) for answer in answers]
