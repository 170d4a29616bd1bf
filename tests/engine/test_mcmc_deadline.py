"""What a deadline does to the distribution of a chain, as docs/mcmc.md says it."""

from __future__ import annotations

import math
import random

import trio
from trio.testing import MockClock

from trio_beam import LanguageModel, McmcConfig, SampleRequest, mcmc, mcmc_within
from trio_beam.core.block import LENGTH, Continuation, Token
from trio_beam.core.language_model import RequestContext
from trio_beam.core.prompt import Prompt

RUNS = 200


class TwoTexts:
    """ "ac" and "bc", as probable as each other; what is cut behind "b" takes nine times as long."""

    max_per_request: int | None = None

    def __init__(self, source: random.Random) -> None:
        self.source = source

    async def start(self, prompt: Prompt, context: RequestContext) -> TwoTexts:
        await trio.lowlevel.checkpoint()
        return self

    async def sample(self, request: SampleRequest, context: RequestContext) -> list[Continuation]:
        begun = request.beam.text
        await trio.sleep(9 if begun == "b" else 1)
        text = "c" if begun else self.source.choice("ab") + "c"
        values = [math.log(0.5) if one in "ab" else 0.0 for one in text]
        tokens = [
            Token(one, value, ord(one), one.encode())
            for one, value in zip(text, values, strict=True)
        ]
        return [Continuation(tokens=tuple(tokens), data=text.encode(), finish_reason=LENGTH)]


def config(run: int) -> McmcConfig:
    return McmcConfig(alpha=1.0, tokens_per_step=2, max_tokens=2, steps=20, seed=run)


def model(run: int) -> LanguageModel:
    return TwoTexts(random.Random(run))


async def test_with_all_its_steps_a_chain_has_the_targets_distribution(
    autojump_clock: MockClock,
) -> None:
    """Half of 200 answers, give or take four standard deviations (once in 16,000; the seeds are fixed)."""
    texts = [(await mcmc(model(run), "p", config(run))).text for run in range(RUNS)]
    assert abs(texts.count("bc") - RUNS / 2) < 4 * math.sqrt(RUNS / 4)


async def test_at_a_deadline_slow_states_are_over_represented(autojump_clock: MockClock) -> None:
    """Five sixths, which is how much of the time a chain spends there (within the same error)."""
    texts = [(await mcmc_within(30, model(run), "p", config(run))).text for run in range(RUNS)]
    assert abs(texts.count("bc") - RUNS * 5 / 6) < 4 * math.sqrt(RUNS * 5 / 36)
