"""How probable samples were at another temperature, as llama.cpp reports it and as it is bounded."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import pytest
import trio

from tests.e2e.bare import bare_client
from trio_beam import Beam, BeamSearchConfig, Endpoint, Resample, SearchResult, beam_search
from trio_beam.core.block import Continuation

PROMPT = "Once upon a time, there was a"
#: More than the vocabulary has.
_ALL = 100_000
TEMPERATURE = 0.6
Known: TypeAlias = dict[tuple[int, ...], dict[int, float]]


async def search(base_url: str, **given: Any) -> SearchResult:
    config = BeamSearchConfig(
        selection=Resample(ess_threshold=0),
        alpha=1 / TEMPERATURE,
        proposal_temperature=TEMPERATURE,
        beam_width=3,
        n_per_beam=1,
        tokens_per_step=2,
        max_tokens=4,
        seed=5,
    )
    async with Endpoint(base_url, **given) as endpoint:
        return await beam_search(endpoint, PROMPT, config)


@pytest.fixture(scope="module")
def known() -> Known:
    """Log-probabilities behind some tokens; the server takes a second for all of its vocabulary."""
    return {}


async def tempered(base_url: str, ids: list[int]) -> dict[int, float]:
    """The log-probability of every token behind the prompt and some tokens, at TEMPERATURE."""
    fields = {"prompt": [PROMPT, *ids], "n_predict": 1, "n_probs": _ALL, "temperature": 1.0}
    async with bare_client(base_url, timeout=60) as client:
        answer = (await client.post("/completion", json=fields)).json()
    (first,) = answer["completion_probabilities"]
    scaled = {one["id"]: one["logprob"] / TEMPERATURE for one in first["top_logprobs"]}
    total = math.log(math.fsum(map(math.exp, scaled.values())))
    return {number: value - total for number, value in scaled.items()}


def first_block(beam: Beam) -> Continuation:
    block = beam.lineage()[0].continuation
    assert block is not None
    return block


@pytest.mark.parametrize(
    ("dialect", "exact", "error"),
    [("llama_cpp", True, 2e-3), ("openai", False, 0.2)],
)
async def test_they_are_what_the_whole_vocabulary_says(
    base_url: str, known: Known, dialect: str, exact: bool, error: float
) -> None:
    """Reported: to the digits that are sent. Bounded from 20 alternatives: within a fifth of a nat here."""
    with trio.fail_after(120):
        result = await search(base_url, dialect=dialect, model="smollm2")
        assert result.exact == exact
        assert len({beam.text for beam in result.beams}) > 1
        for beam in result.beams:
            block = first_block(beam)
            ids = [token.id for token in block.tokens]
            assert None not in ids
            assert block.proposal is not None
            for place in range(len(block)):
                before = tuple(number for number in ids[:place] if number is not None)
                if before not in known:
                    known[before] = await tempered(base_url, list(before))
                truth = known[before][ids[place] or 0]
                assert block.proposal[place] == pytest.approx(truth, abs=error)


async def test_at_alpha_one_over_t_weights_are_products_of_sums(base_url: str) -> None:
    """Then p^alpha / q is what q was divided by, the same for all samples of one token."""
    with trio.fail_after(60):
        config = BeamSearchConfig(
            selection="resample", alpha=1 / TEMPERATURE, proposal_temperature=TEMPERATURE,
            beam_width=4, n_per_beam=1, tokens_per_step=1, max_tokens=1, seed=4,
        )  # fmt: skip
        async with Endpoint(base_url) as endpoint:
            result = await beam_search(endpoint, "1, 2, 3,", config)
    weights = [(beam.weight or 0) / beam.multiplicity for beam in result.beams]
    assert len(weights) > 1
    assert weights == pytest.approx([1 / 4] * len(weights), rel=1e-3)
    assert result.usage.completion_tokens == 2 * 4
