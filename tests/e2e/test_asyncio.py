"""The embedded model from asyncio: started, searched and ended."""

from __future__ import annotations

import asyncio

import trio

import trio_beam.asyncio
from trio_beam import BeamSearchConfig, SearchResult

CONFIG = BeamSearchConfig(beam_width=2, n_per_beam=1, tokens_per_step=4, max_tokens=8, seed=1)


def test_the_embedded_model_under_asyncio() -> None:
    async def main() -> SearchResult:
        async with (
            asyncio.timeout(120),
            trio_beam.asyncio.serve_local(slots=2, context=256) as url,
            trio_beam.asyncio.Endpoint(url) as endpoint,
        ):
            return await trio_beam.asyncio.search(endpoint, "Once upon a time", CONFIG)

    result = asyncio.run(main())
    assert result.exact
    assert result.beams[0].length == 8
    assert not trio.lowlevel.in_trio_run()
