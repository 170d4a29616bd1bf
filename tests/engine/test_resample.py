"""`selection="resample"` through the whole loop."""

from __future__ import annotations

import attrs
import pytest
from trio.testing import MockClock

from tests.engine.models import WithoutProposal
from trio_beam import BeamSearchConfig, LogprobsUnavailable, Resample, SearchFailed, beam_search
from trio_beam.core.block import known
from trio_beam.testing import FakeEndpoint

CONFIG = BeamSearchConfig(
    selection="resample",
    beam_width=6,
    n_per_beam=2,
    tokens_per_step=2,
    max_tokens=8,
    seed=1,
)


async def test_the_answer_is_one_of_the_beams_whose_weights_sum_to_one() -> None:
    result = await beam_search(FakeEndpoint(), "p", CONFIG)
    assert result.text == result.beams[0].text
    weights = [beam.weight or 0 for beam in result.beams]
    assert sum(weights) == pytest.approx(1)
    assert weights[1:] == sorted(weights[1:], reverse=True)
    assert sum(beam.multiplicity for beam in result.beams) == 6
    assert len({beam.text for beam in result.beams}) == len(result.beams)


async def test_the_same_seed_draws_the_same_and_another_another() -> None:
    texts = []
    for seed in (1, 1, 2, 3, 4):
        result = await beam_search(FakeEndpoint(), "p", attrs.evolve(CONFIG, seed=seed))
        texts.append(result.text)
    assert texts[0] == texts[1]
    assert len(set(texts)) > 2


async def test_children_of_one_particle_have_their_own_seeds() -> None:
    model = FakeEndpoint()
    await beam_search(
        model, "p", attrs.evolve(CONFIG, selection=Resample(ess_threshold=1), alpha=9)
    )
    seeds = [
        request.seed + place
        for request in model.requests
        for place in range(request.n)
        if request.seed is not None
    ]
    assert len(seeds) == len(set(seeds)) == sum(request.n for request in model.requests)


async def test_without_seed_it_draws_by_chance() -> None:
    texts = {
        (await beam_search(FakeEndpoint(), "p", attrs.evolve(CONFIG, seed=None))).text
        for _ in range(12)
    }
    assert len(texts) > 2


async def test_an_unknown_proposal_is_refused(autojump_clock: MockClock) -> None:
    with pytest.raises(SearchFailed, match="has to be 1") as caught:
        await beam_search(WithoutProposal(), "p", attrs.evolve(CONFIG, proposal_temperature=0.5))
    assert all(isinstance(one.error, LogprobsUnavailable) for one in caught.value.failures)


async def test_power_weighs_the_probable_up() -> None:
    """The mean log-probability of the answers grows with alpha."""
    means = []
    for alpha in (1.0, 4.0):
        found = [
            await beam_search(FakeEndpoint(), "p", attrs.evolve(CONFIG, alpha=alpha, seed=seed))
            for seed in range(40)
        ]
        means.append(sum(known(one.beams[0].logprob) for one in found) / 40)
    assert means[1] > means[0] + 1
