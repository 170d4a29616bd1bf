"""A public coroutine function checkpoints: it gives others a turn, and can be cancelled."""

from __future__ import annotations

import pytest
import trio
from trio.testing import assert_checkpoints

from trio_beam import BeamSearchConfig, Endpoint, beam_search, beam_search_within
from trio_beam.testing import FakeEndpoint

CONFIG = BeamSearchConfig(max_tokens=1)


async def test_searches_checkpoint() -> None:
    with assert_checkpoints():
        await beam_search(FakeEndpoint(), "p", CONFIG)
    with assert_checkpoints():
        await beam_search_within(0, FakeEndpoint(), "p", CONFIG)


async def test_an_endpoint_checkpoints() -> None:
    endpoint = Endpoint("http://127.0.0.1/v1")
    with assert_checkpoints():
        await endpoint.__aenter__()
    with assert_checkpoints():
        await endpoint.__aexit__(None, None, None)


async def test_a_cancelled_search_sends_nothing() -> None:
    model = FakeEndpoint()
    with trio.CancelScope() as scope:
        scope.cancel()
        await beam_search(model, "p", CONFIG)
        pytest.fail("it went on")
    assert model.requests == []
