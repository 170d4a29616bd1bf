"""A search over steps is the same whether the real server stops at the delimiters or we cut alone."""

from __future__ import annotations

import pytest
import trio

from trio_beam import BeamSearchConfig, Endpoint, Steps, beam_search

CONFIG = BeamSearchConfig(tokens_per_step=12, max_tokens=24, seed=3, block=Steps(["\n", " the"]))


async def test_the_server_stops_where_we_cut(
    embedded_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with trio.fail_after(120):
        async with Endpoint(embedded_url) as endpoint:
            asked = await beam_search(endpoint, "1. apple\n2. pear\n3.", CONFIG)
            monkeypatch.setattr(Steps, "server_delimiters", ())
            cut = await beam_search(endpoint, "1. apple\n2. pear\n3.", CONFIG)
    assert [beam.text for beam in asked.beams] == [beam.text for beam in cut.beams]
    for one, other in zip(asked.beams, cut.beams, strict=True):
        assert [token.id for token in one.tokens] == [token.id for token in other.tokens]
        assert one.logprob == pytest.approx(other.logprob, abs=1e-3)
        assert [token.data for token in one.tokens] == [token.data for token in other.tokens]
    assert asked.exact
    assert asked.usage.discarded_tokens < cut.usage.discarded_tokens
