"""Responses from the cache: the same results, nothing sent, and never an answer to another question."""

from __future__ import annotations

import json
import logging
import tempfile
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.servers.mock_server import MockServer, answering, completion
from trio_beam import (
    BeamSearchConfig,
    CacheUnusable,
    ConfigError,
    Endpoint,
    LogprobsUnavailable,
    McmcConfig,
    ResponseCache,
    RetryPolicy,
    SearchFailed,
    SearchResult,
    Strategy,
    search,
)
from trio_beam.core.export import result_to_dict
from trio_beam.strategies import best_of_n, greedy, power_sampling, sample, self_consistency

SHORT: dict[str, Any] = {"max_tokens": 4, "tokens_per_step": 2}
CONFIG = BeamSearchConfig(**SHORT, seed=1)


async def searched(
    folder: Path | None,
    strategy: Strategy = CONFIG,
    server: MockServer | None = None,
    **options: Any,
) -> tuple[SearchResult, int]:
    """A search, and how many requests it sent."""
    server = server or MockServer(latency=0)
    before = len(server.paths)
    async with server.endpoint(cache=folder, **options) as endpoint:
        result = await search(endpoint, "Once", strategy)
    return result, len(server.paths) - before


def plain(result: SearchResult) -> dict[str, Any]:
    """All of a result but where its responses came from."""
    values = result_to_dict(result)
    usage = values.pop("usage")
    del usage["unpriced"]  # requests, as `asked`
    values["asked"] = usage.pop("requests") + usage.pop("cached_responses")
    return {**values, **usage}


STRATEGIES: list[Strategy] = [
    CONFIG,
    BeamSearchConfig(**SHORT, seed=1, stop=(" beta",), max_requests=3),
    BeamSearchConfig(**SHORT, seed=1, max_completion_tokens=20),
    BeamSearchConfig(**SHORT, seed=1, max_total_tokens=150, selection="resample"),
    best_of_n(3, max_tokens=4, seed=1),
    self_consistency(4, max_tokens=4, seed=1, settle="certain"),
    power_sampling(2, **SHORT, seed=1),
    sample(0.7, max_tokens=4, seed=1),
    greedy(max_tokens=4),
    McmcConfig(**SHORT, steps=2, seed=1),
]


@given(
    strategy=st.sampled_from(STRATEGIES),
    n_cap=st.sampled_from([None, 1, 3]),
    stream=st.booleans(),
    seed=st.integers(0, 3),
)
@settings(max_examples=25, deadline=None)
def test_a_result_is_the_same_with_a_cache_and_without(
    strategy: Strategy, n_cap: int | None, stream: bool, seed: int
) -> None:
    strategy = strategy if strategy.seed is None else attrs.evolve(strategy, seed=seed)

    async def run() -> None:
        def server() -> MockServer:
            return MockServer(latency=0, n_cap=n_cap)

        with tempfile.TemporaryDirectory() as name:
            without, _ = await searched(None, strategy, server(), stream=stream)
            first, sent = await searched(Path(name), strategy, server(), stream=stream)
            again, asked = await searched(Path(name), strategy, server(), stream=stream)
        assert plain(first) == plain(without) == plain(again)
        assert sent == first.usage.requests > 0
        assert first.usage.cached_responses == 0
        assert asked == again.usage.requests == 0
        assert again.usage.cached_responses == sent

    trio.run(run)


async def test_an_endpoint_counts_its_hits(tmp_path: Path) -> None:
    _, sent = await searched(tmp_path)
    async with MockServer(latency=0).endpoint(cache=tmp_path) as endpoint:
        await search(endpoint, "Once", CONFIG)
        statistics = endpoint.statistics()
    assert (statistics.cached, statistics.attempts) == (sent, 0)


async def test_it_may_be_opened_again(tmp_path: Path) -> None:
    server = MockServer(latency=0)
    async with httpx.AsyncClient(transport=httpx.MockTransport(server.handle)) as client:
        endpoint = Endpoint(
            "http://mock/v1", model="mock", dialect="openai", http_client=client, cache=tmp_path
        )
        for _ in range(2):
            async with endpoint:
                await search(endpoint, "Once", greedy(max_tokens=4))
    assert len(server.paths) == 1


OTHER: dict[str, dict[str, Any]] = {
    "model": {"model": "other"},
    "seed": {"strategy": attrs.evolve(CONFIG, seed=2)},
    "temperature": {"strategy": attrs.evolve(CONFIG, proposal_temperature=0.5)},
    "field": {"extra_body": {"reasoning_effort": "low"}},
    "header": {"headers": {"X-Provider": "b"}},
    "stream": {"stream": True},
    "name of the server": {"server": "another"},
}


@pytest.mark.parametrize("what", OTHER)
async def test_what_determines_a_response_is_in_its_key(what: str, tmp_path: Path) -> None:
    plain: dict[str, Any] = {"headers": {"X-Provider": "a"}}
    await searched(tmp_path, **plain)
    changed = dict(plain | OTHER[what])
    cache = ResponseCache(tmp_path, server=changed.pop("server", None))
    _, sent = await searched(cache, **changed)  # type: ignore[arg-type]  # it takes either
    assert sent > 0


async def test_a_key_or_a_token_is_not_part_of_it(tmp_path: Path) -> None:
    await searched(tmp_path, api_key="one", headers={"X-Api-Key": "one"})
    _, sent = await searched(tmp_path, api_key="two", headers={"X-Api-Key": "two"})
    assert sent == 0


async def test_servers_of_one_name_share_their_responses(tmp_path: Path) -> None:
    cache, server = ResponseCache(tmp_path, server="ours"), MockServer(latency=0)
    for address in ("http://one/v1", "http://two/v1"):
        async with (
            httpx.AsyncClient(transport=httpx.MockTransport(server.handle)) as client,
            Endpoint(
                address, model="m", dialect="openai", http_client=client, cache=cache
            ) as endpoint,
        ):
            await search(endpoint, "Once", greedy(max_tokens=4))
    assert len(server.paths) == 1


async def test_chance_is_never_answered_from_the_cache(tmp_path: Path) -> None:
    strategy = best_of_n(3, max_tokens=4)
    for _ in range(2):
        result, sent = await searched(tmp_path, strategy)
        assert sent == 1
        assert result.usage.cached_responses == 0


async def test_samples_stay_apart_on_a_server_that_refuses_seeds(tmp_path: Path) -> None:
    """Their seeds are not sent, but told apart all the same."""
    drawn: list[str] = []

    def server() -> MockServer:
        async def before(number: int, body: dict[str, Any]) -> httpx.Response | None:
            await trio.lowlevel.checkpoint()
            if "seed" in body:
                return httpx.Response(400, json={"error": {"message": "Unknown field: seed"}})
            drawn.append("")
            return httpx.Response(200, json=completion({**body, "seed": len(drawn) * 1000}))

        return MockServer(before, latency=0, n_cap=1)

    strategy = best_of_n(4, max_tokens=6, seed=1)
    first, _ = await searched(tmp_path, strategy, server(), max_n=1)
    assert len({beam.text for beam in first.beams}) == 4
    count = len(drawn)
    again, _ = await searched(tmp_path, strategy, server(), max_n=1)
    assert [beam.text for beam in again.beams] == [beam.text for beam in first.beams]
    assert len(drawn) == count


REFUSED = [
    httpx.Response(429, json={"error": {"message": "slow down"}}),
    httpx.Response(500, json={"error": {"message": "oops"}}),
    httpx.Response(200, text='{"choices": [{"te'),
    httpx.Response(200, json={"error": {"message": "overloaded", "code": 503}}),
    httpx.Response(200, json={"choices": [{"index": 0, "text": "", "finish_reason": "error"}]}),
]


@pytest.mark.parametrize("response", REFUSED)
async def test_errors_are_not_kept(response: httpx.Response, tmp_path: Path) -> None:
    strategy = greedy(max_tokens=4)

    def again() -> httpx.Response:
        return httpx.Response(response.status_code, content=response.content)

    flaky = MockServer(answering(again, 0), latency=0)
    retry = RetryPolicy(wait_initial=0.001)
    first, sent = await searched(tmp_path, strategy, flaky, retry=retry)
    assert sent == 2
    second, sent = await searched(tmp_path, strategy)
    assert sent == 0
    assert second.text == first.text


@pytest.mark.parametrize("lacking", ["logprobs", "length"])
async def test_what_a_search_cannot_use_is_not_kept(lacking: str, tmp_path: Path) -> None:
    async def before(number: int, body: dict[str, Any]) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        if lacking == "length":
            return httpx.Response(200, json=completion({**body, "max_tokens": 9}))
        answer = completion(body)
        for choice in answer["choices"]:
            choice["logprobs"] = None
        return httpx.Response(200, json=answer)

    with pytest.raises(SearchFailed) as failed:
        await searched(tmp_path, CONFIG, MockServer(before, latency=0))
    if lacking == "logprobs":
        assert isinstance(failed.value.failures[0].error, LogprobsUnavailable)
    result, sent = await searched(tmp_path)
    assert sent == result.usage.requests > 0
    assert result.usage.cached_responses == 0


async def test_a_stream_is_kept_whole_and_read_again(tmp_path: Path) -> None:
    async def before(number: int, body: dict[str, Any]) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        assert body["stream"]
        event = json.dumps(completion(body))
        end = "" if number else "data: [DONE]\n\n"
        return httpx.Response(200, text=f"data: {event}\n\n{end}")

    one = greedy(max_tokens=4)
    first, sent = await searched(tmp_path, one, MockServer(before, latency=0), stream=True)
    second, again = await searched(tmp_path, one, MockServer(latency=0), stream=True)
    assert (sent, again) == (1, 0)
    assert plain(second) == plain(first)


async def test_a_failing_cache_fails_no_search(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected, sent = await searched(None)
    await searched(tmp_path)
    file = tmp_path / "responses.sqlite"
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + bytes(len(whole) - 4096))
    with caplog.at_level(logging.WARNING):
        result, asked = await searched(tmp_path)
    assert (plain(result), asked) == (plain(expected), sent)
    (said,) = [one.getMessage() for one in caplog.records if one.name == "trio_beam.cache"]
    assert str(file) in said


async def test_a_folder_that_cannot_be_used_is_named_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        CacheUnusable, match=r"file.*cannot be used as a cache.*Name another folder"
    ):
        await searched(tmp_path / "file")
    (tmp_path / "responses.sqlite").write_text("something else entirely, and long enough" * 99)
    with pytest.raises(CacheUnusable, match="cannot be used as a cache: file is not a database"):
        await searched(tmp_path)


@pytest.mark.parametrize("cache", [3, "", object()])
def test_what_is_no_folder(cache: Any) -> None:
    with pytest.raises(ConfigError, match="cache must be a folder"):
        Endpoint("http://127.0.0.1", cache=cache)
