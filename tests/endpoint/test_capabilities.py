"""What `Endpoint.capabilities` makes of servers that differ."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from trio.testing import MockClock

from tests.servers.quirky_server import QuirkyServer
from trio_beam import (
    BeamSearchConfig,
    Capabilities,
    ConfigError,
    ConnectionFailed,
    Endpoint,
    RetryPolicy,
    SearchFailed,
    beam_search,
)

MESSAGES = [{"role": "user", "content": "Count."}]
CONFIG = BeamSearchConfig(tokens_per_step=2, max_tokens=6, seed=1)


async def find(server: QuirkyServer, **options: Any) -> Capabilities:
    async with server.endpoint(**options) as endpoint:
        return await endpoint.capabilities()


async def test_a_server_that_does_everything(autojump_clock: MockClock) -> None:
    server = QuirkyServer()
    found = await find(server)
    assert (found.dialect, found.model, found.logprobs) == ("openai", "m", "legacy")
    assert found.n
    assert found.max_n is None
    assert found.choices_differ
    assert found.seed_repeats
    assert found.seed_plus_index
    assert found.max_logprobs == 4
    assert found.raw_logprobs
    assert found.end_of_text_counted
    assert found.continues_chat
    assert found.streams
    assert found.stops_when_closed is None
    assert (found.token_ids_in, found.token_ids_out) == (False, False)
    (reason,) = found.inexact
    assert "by their text" in reason


async def test_it_is_asked_once_and_with_few_requests(autojump_clock: MockClock) -> None:
    server = QuirkyServer()
    async with server.endpoint() as endpoint:
        found = await endpoint.capabilities()
        asked = len(server.paths)
        assert await endpoint.capabilities() is found
    assert asked == len(server.paths) <= 37
    tokens = sum(body["max_tokens"] * body.get("n", 1) for body in server.bodies)
    assert tokens <= 400


QUIRKS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "n ignored": ({"most_n": 1}, {"max_n": 1, "n": False, "choices_differ": None}, ""),
    "n capped": ({"most_n": 5}, {"max_n": 5, "n": True}, ""),
    "one sample for all": ({"same_choices": True}, {"choices_differ": False}, "all the same"),
    "seed ignored": (
        {"ignores_seed": True},
        {"seed_repeats": False, "seed_plus_index": None},
        "cannot be repeated",
    ),
    "other seeds": ({"seed_per_choice": False}, {"seed_plus_index": False}, ""),
    "scaled": ({"scaled": True}, {"raw_logprobs": False}, "proposal_temperature=1"),
    "logprobs capped": ({"most_logprobs": 3}, {"max_logprobs": 3}, ""),
    "silent end": ({"end_counted": False}, {"end_of_text_counted": False}, "ends a text"),
    "new turn": ({"continues": False}, {"continues_chat": False}, "a chat cannot be searched"),
    "no streams": ({"streams": False}, {"streams": False}, ""),
}


@pytest.mark.parametrize("quirk", QUIRKS)
async def test_a_quirk_is_found_and_told(quirk: str, autojump_clock: MockClock) -> None:
    options, expected, reason = QUIRKS[quirk]
    usual = await find(QuirkyServer(), dialect="openai", model="m")
    found = await find(QuirkyServer(**options), dialect="openai", model="m")
    names = [*expected, "n"]
    assert {name: getattr(found, name) for name in expected} == expected
    assert any(getattr(found, name) != getattr(usual, name) for name in names)
    told = [words for words in found.inexact if words not in usual.inexact]
    assert bool(told) == bool(reason)
    assert all(reason in words for words in told)


async def test_numbers_that_depend_on_the_batch_are_found_and_told(
    autojump_clock: MockClock,
) -> None:
    usual = await find(QuirkyServer())
    assert usual.batch_noise == 0
    assert usual.seed_repeats_beside_others
    assert usual.caveats == ()
    a_little = await find(QuirkyServer(batch_noise=0.01))
    assert a_little.batch_noise == pytest.approx(0.01)
    assert a_little.seed_repeats_beside_others
    (precision,) = a_little.caveats
    assert "up to 0.01 nats" in precision
    much = await find(QuirkyServer(batch_noise=0.6))
    assert much.seed_repeats
    assert not much.seed_repeats_beside_others
    assert any("only while the server has nothing else to do" in words for words in much.caveats)
    assert much.inexact == usual.inexact  # each number is what it was sampled with


async def test_one_that_never_repeats_says_so_once(autojump_clock: MockClock) -> None:
    found = await find(QuirkyServer(ignores_seed=True))
    assert found.seed_repeats_beside_others is False
    assert found.caveats == ()


async def test_a_chat_that_would_open_a_new_turn_is_refused_at_its_second_block(
    autojump_clock: MockClock,
) -> None:
    server = QuirkyServer(continues=False)
    async with server.endpoint() as endpoint:
        for _ in range(2):
            with pytest.raises(SearchFailed, match=r"opens a new turn.*tokens_per_step") as caught:
                await beam_search(endpoint, MESSAGES, CONFIG)
            assert caught.value.partial.beams  # of the first block
        one_block = attrs.evolve(CONFIG, tokens_per_step=CONFIG.max_tokens)
        assert (await beam_search(endpoint, MESSAGES, one_block)).beams
        assert (await beam_search(endpoint, "a string", CONFIG)).beams
    # One token each, and the lesson is paid once.
    probes = [body for body in server.bodies if body["max_tokens"] == 1 and "seed" not in body]
    assert len(probes) == 4  # without an answer begun, and with one in each of the ways


async def test_a_chat_in_one_block_asks_nothing_about_continuing(
    autojump_clock: MockClock,
) -> None:
    server = QuirkyServer(continues=False)
    async with server.endpoint() as endpoint:
        config = attrs.evolve(CONFIG, tokens_per_step=CONFIG.max_tokens, beam_width=1)
        result = await beam_search(endpoint, MESSAGES, config)
    assert result.beams
    assert len(server.bodies) == 1


async def test_a_chat_that_is_continued_is_searched(autojump_clock: MockClock) -> None:
    server = QuirkyServer()
    async with server.endpoint() as endpoint:
        assert (await beam_search(endpoint, MESSAGES, CONFIG)).beams


async def test_a_named_dialect_asks_nothing_more(autojump_clock: MockClock) -> None:
    server = QuirkyServer(continues=False)
    async with server.endpoint(dialect="openai", model="m") as endpoint:
        result = await beam_search(endpoint, MESSAGES, CONFIG)
    assert result.usage.requests == len(server.paths)
    assert server.bodies[0]["max_tokens"] == 2


async def test_a_stream_where_the_dialect_reads_none_is_refused(autojump_clock: MockClock) -> None:
    async with QuirkyServer(owned_by="library").endpoint(stream=True) as endpoint:
        with pytest.raises(ConfigError, match="stream must be False with the dialect 'ollama'"):
            await beam_search(endpoint, "p", CONFIG)


async def test_no_server_is_an_error() -> None:
    async with Endpoint("http://127.0.0.1:9/v1", retry=RetryPolicy(attempts=1)) as endpoint:
        with pytest.raises(ConnectionFailed):
            await endpoint.capabilities()
