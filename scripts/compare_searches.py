"""Compare the effect of alpha, selection and lookahead on the embedded model.

    uv run --extra local python scripts/compare_searches.py [--seeds 3]

Each strategy answers the same prompts with the same seeds, in 16 tokens. The table shows the mean log p of an
answer (nats, the model's own at temperature 1), the number of distinct answers, and the generated tokens per
answer.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from trio_beam import (
    BeamSearchConfig,
    Endpoint,
    McmcConfig,
    SearchResult,
    beam_search,
    mcmc,
    serve_local,
)
from trio_beam.core.block import known

PROMPTS = (
    "The capital of France is",
    "Once upon a time, there was a",
    "To make a cup of tea, first",
    "Water is made of",
)
TOKENS = 16
Way = Callable[[Endpoint, str, int], Awaitable[SearchResult]]


def searching(**given: Any) -> Way:
    """A beam search of blocks of 4 tokens."""

    async def way(endpoint: Endpoint, prompt: str, seed: int) -> SearchResult:
        fields: dict[str, Any] = {"tokens_per_step": 4, "max_tokens": TOKENS, "n_per_beam": 1}
        return await beam_search(
            endpoint, prompt, BeamSearchConfig(**(fields | given), seed=1000 + seed)
        )

    return way


async def chains(endpoint: Endpoint, prompt: str, seed: int) -> SearchResult:
    """Metropolis-Hastings over the same blocks."""
    config = McmcConfig(alpha=4, tokens_per_step=4, max_tokens=TOKENS, steps=6, seed=1000 + seed)
    return await mcmc(endpoint, prompt, config)


def resampling(alpha: float, **given: Any) -> Way:
    """Eight particles for p^alpha."""
    return searching(selection="resample", alpha=alpha, beam_width=8, **given)


WAYS: dict[str, Way] = {
    "one sample": searching(beam_width=1, tokens_per_step=TOKENS),
    "one sample, temperature 0.25": searching(
        beam_width=1, tokens_per_step=TOKENS, proposal_temperature=0.25
    ),
    "top_k, width 4, n 2": searching(beam_width=4, n_per_beam=2),
    "subtrees, width 4, n 2": searching(selection="subtrees", beam_width=4, n_per_beam=2),
    "best of 8": searching(beam_width=8, tokens_per_step=TOKENS),
    "resample, alpha 1": resampling(1.0),
    "resample, alpha 2": resampling(2.0),
    "resample, alpha 4": resampling(4.0),
    "resample, alpha 4, lookahead 4 x 4": resampling(4.0, lookahead_tokens=4),
    "resample, alpha 4, temperature 0.5": resampling(4.0, proposal_temperature=0.5),
    "mcmc, alpha 4, 6 steps a block": chains,
}


async def compare(seeds: int) -> None:
    """Run all strategies in sequence and print a row for each."""
    async with trio.open_nursery() as nursery:
        base_url = await nursery.start(serve_local)
        async with Endpoint(base_url) as endpoint:
            print(f"{'':36} mean log p   distinct  tokens generated")
            for name, way in WAYS.items():
                found = [
                    await way(endpoint, prompt, seed) for prompt in PROMPTS for seed in range(seeds)
                ]
                logprob = sum(known(one.beams[0].logprob) for one in found) / len(found)
                tokens = sum(one.usage.completion_tokens for one in found) / len(found)
                distinct = len({(i // seeds, one.text) for i, one in enumerate(found)})
                print(f"{name:36} {logprob:10.2f} {distinct:6} / {len(found):<3} {tokens:8.0f}")
        nursery.cancel_scope.cancel(reason="all is compared")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="searches of each prompt")
    trio.run(compare, parser.parse_args().seeds)
