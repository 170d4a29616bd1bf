"""Rounds of any purpose: expansions, a scorer's questions in their form, or a reward model's scores."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.events import Observer
from trio_beam.core.extra_body import other_fields
from trio_beam.core.language_model import (
    LanguageModel,
    RequestContext,
    Sampler,
    SampleRequest,
    price_of,
    prompt_opens_thinking,
)
from trio_beam.core.model_scorer import ModelScorer, without_thinking
from trio_beam.core.price import Price
from trio_beam.core.prompt import Prompt
from trio_beam.core.reasoning import Thinking
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.steps import Round
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.engine.reward_round import run_reward_round
from trio_beam.engine.round import OutcomeReceiver, RoundRunner, run_round


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

    @property
    def price(self) -> Price | None:
        """The price of the model's tokens now; None if unknown."""
        return price_of(self.model)

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


async def run_scored_round(
    current: Round,
    sampler: Sampler,
    model: LanguageModel,
    prompt: Prompt,
    receiver: OutcomeReceiver,
    meter: UsageMeter,
    emit: Observer,
    *,
    thinking: Thinking,
    runner: RoundRunner = run_round,
) -> None:
    """Run a round of whatever purpose, and pass its outcomes to `receiver`.

    Args:
        current: the round.
        sampler: continues the search's prompt.
        model: is asked by a scorer that names no other.
        prompt: of the search.
        receiver: of the outcomes.
        meter: counts the requests.
        emit: receives events.
        thinking: where the searched model's answers may hold thinking; see `Strategy.reasoning`.
        runner: runs it, unless it is a reward model's.
    """
    scorer = current.scorer
    if isinstance(scorer, RewardScorer):
        await run_reward_round(scorer, prompt, current, receiver, meter, emit)
        return
    if scorer is not None:
        if scorer.model is None:
            sampler = QuestionSampler(model, scorer, prompt, thinking)
        else:
            sampler = QuestionSampler(scorer.model, scorer, prompt)
    await runner(sampler, current, receiver, meter, emit)
