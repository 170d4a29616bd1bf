"""What is no longer wanted stops on a real llama.cpp server: settled votes, and texts given up."""

from __future__ import annotations

import httpx
import trio

from tests.e2e.bare import bare_client, remaining
from trio_beam import Confidence, Endpoint, search
from trio_beam.core.block import LOW_CONFIDENCE
from trio_beam.strategies import self_consistency

#: Far more than a server needs to notice that nobody waits, and far fewer than are left of a text just begun.
FEW = 40


async def tokens_until_idle(client: httpx.AsyncClient) -> int:
    """Wait until nothing runs; return how many tokens were generated of one request meanwhile, at most."""
    first = last = await remaining(client)
    while left := await remaining(client):
        last = last | left
        await trio.sleep(0.05)
    return max((first[slot] - last[slot] for slot in first), default=0)


async def test_a_settled_vote_leaves_nothing_running(own_base_url: str) -> None:
    # Texts of one length: the next ones begin when the first are done, just before these settle it.
    config = self_consistency(
        12,
        lambda _: "the same",
        settle=0.9,
        max_tokens=120,
        seed=3,
        extra_body={"ignore_eos": True},
    )
    with trio.fail_after(120):
        async with (
            bare_client(own_base_url, timeout=60) as client,
            Endpoint(own_base_url) as endpoint,
        ):
            result = await search(endpoint, "Count: 1, 2, 3,", config)
            assert await tokens_until_idle(client) < FEW
            assert endpoint.statistics().in_flight == 0
    assert result.stop_reason == "settled"
    assert result.votes == (("the same", 1.0),)
    assert len(result.beams) < 5
    # Not all ran to their end: some were never begun, or were cancelled.
    assert result.usage.requests - result.usage.cancelled < 12


async def test_a_text_is_given_up_while_it_streams(own_base_url: str) -> None:
    confidence = Confidence(warm_up=2, keep=0.1, window=6, top=5)
    config = self_consistency(
        7, "[0-9]+", by="confidence", confidence=confidence, max_tokens=80, seed=3
    )
    with trio.fail_after(120):
        async with (
            bare_client(own_base_url, timeout=60) as client,
            Endpoint(own_base_url) as endpoint,
        ):
            result = await search(endpoint, "Once upon a time there were 7 dwarfs and", config)
            assert await tokens_until_idle(client) < FEW
            assert endpoint.statistics().in_flight == 0
    given_up = [beam for beam in result.beams if beam.finish_reason == LOW_CONFIDENCE]
    assert given_up
    for beam in given_up:
        assert beam.length < 80
        limit = confidence.below(max(one.confidence or 0 for one in result.beams))
        assert limit.end(beam.tokens[-6:]) == 6  # in the last window, and in no earlier one
        assert not beam.confident
        assert beam.exact
    assert result.usage.cancelled == len(given_up)
    assert result.exact
