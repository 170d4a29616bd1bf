"""Chains on a real model."""

from __future__ import annotations

from functools import partial

import attrs
import pytest
import trio

from tests.e2e.scoring import score
from trio_beam import Endpoint, McmcConfig, mcmc, serve_local
from trio_beam.core.events import ChainStepped, Event

CONFIG = McmcConfig(tokens_per_step=4, max_tokens=8, steps=3, chains=2, seed=11)
PROMPT = "Once upon a time"


async def test_chains_on_a_real_model() -> None:
    """A seed replays, and a text's log-probability is that of its tokens, as when scored again."""
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            # One thread: two wait for each other by spinning, which takes minutes on a busy machine.
            serve = partial(serve_local, slots=2, context=256, threads=1)
            await check(await nursery.start(serve))
            nursery.cancel_scope.cancel(reason="the test is over")


async def check(base_url: str) -> None:
    events: list[Event] = []
    async with Endpoint(base_url) as endpoint:
        result = await mcmc(endpoint, PROMPT, CONFIG, observers=[events.append])
        again = await mcmc(endpoint, PROMPT, CONFIG)
        other = await mcmc(endpoint, PROMPT, attrs.evolve(CONFIG, seed=12))
        assert endpoint.statistics().in_flight == 0
    assert [beam.text for beam in result.beams] == [beam.text for beam in again.beams]
    assert result.text != other.text
    assert result.exact
    for beam in result.beams:
        assert beam.length == 8 or beam.finished
        assert beam.logprob == pytest.approx(sum(token.logprob for token in beam.tokens))
        assert beam.text == b"".join(token.data for token in beam.tokens).decode()
    tokens = result.beams[0].tokens[:4]
    scored = await score(base_url, PROMPT, [token.id for token in tokens if token.id is not None])
    assert [token.logprob for token in tokens] == pytest.approx(scored, abs=1e-3)
    steps = [event for event in events if isinstance(event, ChainStepped)]
    assert len(steps) == 2 * 2 * 3
    assert any(event.accepted for event in steps)
    assert not all(event.accepted for event in steps)
