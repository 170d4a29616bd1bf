"""What the answer of each strategy is drawn from, as the table of docs/choosing.md says it: exactly.

Particles and chains have tests of their own (`selection/test_expected_weights.py`, `test_reference.py` and
`test_tempering.py`, `core/mcmc/test_distribution.py`), and so have their cut-offs
(`core/beam_search/test_cut_off.py`, `engine/test_mcmc_deadline.py`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.core.exhaustive import (
    Fate,
    all_ways,
    block,
    decided_by,
    logprobs,
    sample,
    texts,
    tokens_of,
)
from tests.selection.test_expected_weights import searched
from trio_beam import BeamSearchConfig, RequestContext, SampleRequest, search_within
from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.block import STOP, Continuation, Token
from trio_beam.core.prompt import Prompt
from trio_beam.core.result import SearchResult
from trio_beam.core.steps import Outcome, Round
from trio_beam.strategies import best_of_n, self_consistency
from trio_beam.strategies import sample as one_sample

Text = tuple[int, ...]
Run = Callable[[Fate], SearchResult]


def law(run: Run) -> dict[Text, float]:
    """The probability of each answer."""
    found: defaultdict[Text, float] = defaultdict(float)
    for probability, result in all_ways(run):
        found[tokens_of(result.beams[0])] += probability
    return found


def answers(config: BeamSearchConfig, patch: pytest.MonkeyPatch) -> dict[Text, float]:
    """The probability of each answer of a whole search."""
    return law(lambda fate: searched(fate, config, patch)[1])


def probabilities(longest: int, temperature: float = 1.0) -> dict[Text, float]:
    """Of all texts, each token sampled at this temperature."""
    found = {}
    for text in texts(longest):
        lasts = [None, *text[:-1]]
        pairs = zip(lasts, text, strict=True)
        found[text] = math.exp(sum(logprobs(last, temperature)[token] for last, token in pairs))
    return found


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("tokens", [1, 2, 3])
def test_a_sample_is_drawn_from_the_model_whatever_its_blocks(
    temperature: float, tokens: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = BeamSearchConfig(
        beam_width=1,
        n_per_beam=1,
        tokens_per_step=tokens,
        max_tokens=3,
        proposal_temperature=temperature,
    )
    assert answers(config, monkeypatch) == pytest.approx(probabilities(3, temperature))
    if tokens == 3:
        whole = one_sample(temperature=temperature, max_tokens=3)
        assert answers(whole, monkeypatch) == pytest.approx(probabilities(3, temperature))


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_sample_that_is_cut_off_is_drawn_from_beginnings(
    rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a number of blocks that does not depend on the text."""
    config = BeamSearchConfig(beam_width=1, n_per_beam=1, tokens_per_step=1, max_tokens=3)

    def run(fate: Fate) -> SearchResult:
        decided_by(fate, monkeypatch)
        machine = BeamSearchMachine(config)
        while isinstance(step := machine.step(), Round) and step.number <= rounds:
            [one] = step.expansions
            blocks = {0: sample(fate, one.beam, one.max_tokens)}
            machine.receive(Outcome(rank=0, continuations=blocks))
        return machine.result("deadline")

    assert law(run) == pytest.approx(probabilities(rounds))


@pytest.mark.parametrize("n", [2, 3])
def test_the_best_of_n_has_the_law_of_a_maximum(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """P(the best is x) = F(x)^n - F(below x)^n, F being the model's share of texts with at most its score."""
    config = best_of_n(n, max_tokens=2)
    scores = {
        text: config.scorer_part([Beam().extend(block((), text))], config)[0]  # type: ignore[operator,index]
        for text in probabilities(2)
    }
    below = 0.0
    expected = {}
    for text in sorted(scores, key=scores.__getitem__):
        upto = below + probabilities(2)[text]
        expected[text] = upto**n - below**n
        below = upto
    assert answers(config, monkeypatch) == pytest.approx(expected)


def test_the_shares_of_a_vote_are_the_models_own_on_average(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where each text is its own answer; at temperature 0.7."""
    config = self_consistency(3, max_tokens=2, temperature=0.7)
    mean: defaultdict[str, float] = defaultdict(float)
    for probability, (_, result) in all_ways(lambda fate: searched(fate, config, monkeypatch)):
        for answer, share in result.votes:
            mean[str(answer)] += probability * share
    expected: defaultdict[str, float] = defaultdict(float)
    for text, value in probabilities(2, 0.7).items():
        expected[Beam().extend(block((), text)).text] += value
    assert mean == pytest.approx(expected)


@pytest.mark.parametrize("selection", ["top_k", "subtrees"])
def test_more_candidates_move_a_search_to_the_most_probable_text(
    selection: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its law is no power of p: that of the best of what was sampled, block by block."""
    shares = []
    for n in (1, 2, 3):
        config = BeamSearchConfig(
            selection=selection, beam_width=1, n_per_beam=n, tokens_per_step=2, max_tokens=3
        )
        found = answers(config, monkeypatch)
        assert sum(found.values()) == pytest.approx(1)
        best = max(probabilities(3), key=lambda text: probabilities(3)[text])
        shares.append(found[best])
    assert shares[0] == pytest.approx(probabilities(3)[best])
    assert shares == sorted(shares)


class TwoTexts:
    """ "a" after a second and "b" after nine, as probable as each other, one to a request."""

    max_per_request: int | None = 1

    async def start(self, prompt: Prompt, context: RequestContext) -> TwoTexts:
        await trio.lowlevel.checkpoint()
        return self

    async def sample(self, request: SampleRequest, context: RequestContext) -> Sequence[Any]:
        assert request.seed is not None
        text = "ab"[request.seed % 2]
        await trio.sleep(1 if text == "a" else 9)
        token = Token(text, math.log(0.5), ord(text), text.encode())
        return [Continuation(tokens=(token,), data=text.encode(), finish_reason=STOP)]


@pytest.mark.parametrize("strategy", [best_of_n, self_consistency])
async def test_a_deadline_within_a_block_favours_fast_texts(
    strategy: Any, autojump_clock: MockClock
) -> None:
    config = strategy(8, max_tokens=4, seed=1)
    cut = await search_within(2.0, TwoTexts(), "p", config)
    assert cut.stop_reason == "deadline"
    assert {beam.text for beam in cut.beams} == {"a"}
    whole = await search_within(20.0, TwoTexts(), "p", config)
    assert {beam.text for beam in whole.beams} == {"a", "b"}
    nothing = await search_within(0.5, TwoTexts(), "p", config)
    assert nothing.text == ""
    assert nothing.beams == ()
