"""`FakeEndpoint`: reproducible, with a seed and without."""

from __future__ import annotations

from trio_beam import BeamSearchConfig, search
from trio_beam.testing import FakeEndpoint


async def samples(count: int) -> list[str]:
    config = BeamSearchConfig(beam_width=1, n_per_beam=1, tokens_per_step=4, max_tokens=12)
    model = FakeEndpoint()
    return [(await search(model, "x", config)).text for _ in range(count)]


async def test_without_a_seed_samples_differ_but_not_from_run_to_run() -> None:
    once = await samples(20)
    assert len(set(once)) > 10
    assert await samples(20) == once
