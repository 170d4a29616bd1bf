"""The limits of an account are learnt from headers and from refusals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock

from tests.servers.mock_server import MockServer, completion
from trio_beam import BeamSearchConfig, Endpoint, RatePaused, RetryPolicy, SearchFailed, beam_search
from trio_beam.core.events import Event
from trio_beam.core.request_events import EndpointPaused
from trio_beam.dialects.common.rate_headers import Quota, read_quotas

#: 2024-10-01T12:00:00Z
NOON = 1727784000.0
CONFIG = BeamSearchConfig(
    beam_width=4,
    n_per_beam=1,
    tokens_per_step=3,
    max_tokens=12,
    seed=1,
    early_stopping=False,
    deduplicate=False,
)

HEADERS: dict[str, tuple[Mapping[str, str], list[Quota]]] = {
    "OpenAI": (
        {
            "x-ratelimit-limit-requests": "10000",
            "x-ratelimit-limit-tokens": "200000",
            "x-ratelimit-remaining-requests": "9999",
            "x-ratelimit-remaining-tokens": "199984",
            "x-ratelimit-reset-requests": "125ms",
            "x-ratelimit-reset-tokens": "1m4.5s",
        },
        [Quota("requests", 10000, 9999, 0.125), Quota("tokens", 200000, 199984, 64.5)],
    ),
    "OpenAI, with parts of the tokens": (
        {
            "X-RateLimit-Limit-Requests": "60",
            "X-RateLimit-Remaining-Requests": "59",
            "X-RateLimit-Reset-Requests": "1s",
            "X-RateLimit-Limit-Project-Tokens": "1000",
            "X-RateLimit-Limit-Input-Images": "50000",
        },
        [Quota("requests", 60, 59, 1)],
    ),
    "Groq: requests are those of a day": (
        {
            "retry-after": "2",
            "x-ratelimit-limit-requests": "14400",
            "x-ratelimit-limit-tokens": "18000",
            "x-ratelimit-remaining-requests": "14370",
            "x-ratelimit-remaining-tokens": "17997",
            "x-ratelimit-reset-requests": "2m59.5s",
            "x-ratelimit-reset-tokens": "7.75s",
        },
        [Quota("requests", 14400, 14370, 179.5), Quota("tokens", 18000, 17997, 7.75)],
    ),
    "Anthropic": (
        {
            "anthropic-ratelimit-requests-limit": "50",
            "anthropic-ratelimit-requests-remaining": "49",
            "anthropic-ratelimit-requests-reset": "2024-10-01T12:00:02Z",
            "anthropic-ratelimit-tokens-limit": "40000",
            "anthropic-ratelimit-tokens-remaining": "39000",
            "anthropic-ratelimit-tokens-reset": "2024-10-01T12:00:30Z",
            "anthropic-ratelimit-output-tokens-limit": "8000",
            "anthropic-ratelimit-output-tokens-remaining": "7000",
        },
        [Quota("requests", 50, 49, 2), Quota("tokens", 40000, 39000, 30)],
    ),
    "Azure": (
        {
            "x-ratelimit-limit-requests": "100",
            "x-ratelimit-remaining-requests": "99",
            "x-ratelimit-limit-tokens": "100000",
            "x-ratelimit-remaining-tokens": "99984",
            "x-ratelimit-reset-tokens": "12",
            "x-ratelimit-renewalperiod-requests": "10",
        },
        [Quota("requests", 100, 99, 0), Quota("tokens", 100000, 99984, 12)],
    ),
    "Azure, where only the rest is told": (
        {"x-ratelimit-remaining-requests": "1", "x-ratelimit-remaining-tokens": "1000"},
        [],
    ),
    "Azure, without limits": (
        {
            "x-ratelimit-limit-tokens": "-1",
            "x-ratelimit-remaining-tokens": "-1",
            "x-ratelimit-reset-tokens": "0",
        },
        [],
    ),
    "Cerebras: periods by name": (
        {
            "x-ratelimit-limit-requests-day": "1000",
            "x-ratelimit-limit-tokens-minute": "60000",
            "x-ratelimit-remaining-requests-day": "999",
            "x-ratelimit-remaining-tokens-minute": "59000",
            "x-ratelimit-reset-requests-day": "33011.5",
            "x-ratelimit-reset-tokens-minute": "11.25",
        },
        [Quota("tokens", 60000, 59000, 11.25), Quota("requests", None, 999, 33011.5)],
    ),
    "Mistral": (
        {"x-ratelimit-limit-req-minute": "300", "x-ratelimit-remaining-req-minute": "299"},
        [Quota("requests", 300, 299, 0)],
    ),
    "per second, or nobody knows": (
        {"x-ratelimit-limit": "10", "x-ratelimit-remaining": "9", "x-ratelimit-reset": "1"},
        [Quota("requests", None, 9, 1)],
    ),
    "a proxy, with milliseconds since 1970": (
        {
            "x-ratelimit-limit": "20",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": "1727784012000",
        },
        [Quota("requests", None, 0, 12)],
    ),
    "the draft's fields": (
        {"ratelimit-limit": "10, 10;w=60", "ratelimit-remaining": "3", "ratelimit-reset": "9"},
        [Quota("requests", None, 3, 9)],
    ),
    "the draft's one field": (
        {"ratelimit-policy": '"default";q=100;w=60', "ratelimit": '"default";r=50;t=30'},
        [Quota("requests", None, 50, 30)],
    ),
    "nonsense": (
        {
            "x-ratelimit-limit-requests": "many",
            "x-ratelimit-remaining-requests": "²",
            "x-ratelimit-reset-requests": "tomorrow",
            "x-ratelimit-limit-tokens": "9" * 400,
            "ratelimit": "never",
            "x-ratelimited": "1",
        },
        [],
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_are_understood(name: str) -> None:
    headers, expected = HEADERS[name]
    raw = [(key.encode(), value.encode()) for key, value in headers.items()]
    found = read_quotas(raw, NOON)
    assert sorted(found) == sorted(expected)


class Account(MockServer):
    """A hosted account: so many requests in each minute of the clock, told in headers or not."""

    def __init__(self, limit: int, *, told: bool = True, others: int = 0) -> None:
        super().__init__(self._answer)
        self.limit, self.told, self.others = limit, told, others
        self.used: dict[int, int] = {}
        self.refused = 0

    async def _answer(self, number: int, body: dict[str, Any]) -> httpx.Response:
        now = trio.current_time()
        minute = int(now // 60)
        used = self.used.setdefault(minute, self.others)
        left = 60 * (minute + 1) - now
        headers = {
            "x-ratelimit-limit-requests": str(self.limit),
            "x-ratelimit-remaining-requests": str(max(0, self.limit - used - 1)),
            "x-ratelimit-reset-requests": f"{left:.3f}s",
        }
        if used >= self.limit:
            self.refused += 1
            await trio.sleep(0.1)
            more = {"retry-after-ms": str(left * 1000)}
            return httpx.Response(429, headers={**(headers if self.told else {}), **more})
        self.used[minute] += 1
        await trio.sleep(0.5)
        return httpx.Response(200, json=completion(body), headers=headers if self.told else {})


async def test_a_limit_is_learnt_from_headers(autojump_clock: MockClock) -> None:
    """After the first response, nothing is refused any more."""
    account = Account(5)
    async with account.endpoint() as endpoint:
        for _ in range(3):
            assert (await beam_search(endpoint, "p", CONFIG)).rounds == 4
        assert endpoint.statistics().requests_per_minute == 5
    assert account.refused == 0
    assert len(account.times) == 3 * 13


async def test_so_is_what_others_leave_of_it(autojump_clock: MockClock) -> None:
    """Other users of the account have taken most of each minute."""
    account = Account(10, others=7)
    async with account.endpoint() as endpoint:
        assert (await beam_search(endpoint, "p", CONFIG)).rounds == 4
    # Of a new minute, only its first response says what is left: two requests may be under way by then.
    assert account.refused <= len(account.used)


async def test_without_headers_a_refusal_pauses_all(autojump_clock: MockClock) -> None:
    account = Account(6, told=False)
    events: list[Event] = []
    async with account.endpoint(retry=RetryPolicy(attempts=9)) as endpoint:
        result = await beam_search(endpoint, "p", CONFIG, observers=[events.append])
        assert endpoint.statistics().requests_per_minute is None
    assert result.rounds == 4
    assert any(isinstance(event, EndpointPaused) for event in events)
    assert account.refused <= 2 * 4  # those under way


async def test_a_given_limit_holds_below_a_learnt_one(autojump_clock: MockClock) -> None:
    account = Account(5)
    async with account.endpoint(requests_per_minute=2) as endpoint:
        await beam_search(endpoint, "p", CONFIG)
        assert endpoint.statistics().requests_per_minute == 2
    assert account.times[2] - account.times[1] >= 60


@pytest.mark.promise(2)
async def test_waiting_for_the_rate_does_not_use_up_a_beams_time(autojump_clock: MockClock) -> None:
    server = MockServer(latency=10)
    events: list[Event] = []
    async with server.endpoint(requests_per_minute=1) as endpoint:
        config = attrs.evolve(CONFIG, max_tokens=6, beam_timeout=15)
        result = await beam_search(endpoint, "p", config, observers=[events.append])
    assert result.rounds == 2
    assert server.times == pytest.approx([0, 62, 124, 186, 248])
    paused = [event for event in events if isinstance(event, RatePaused)]
    assert paused[0] == RatePaused(seconds=52, limit="requests")


async def test_tokens_are_prompt_and_continuations(autojump_clock: MockClock) -> None:
    """4 x 3 tokens after a prompt of 12 bytes, so 30 tokens at most; the server counts it as 7."""
    server = MockServer(latency=1)
    config = attrs.evolve(CONFIG, max_tokens=3)
    async with server.endpoint(tokens_per_minute=61) as endpoint:
        for _ in range(3):
            await beam_search(endpoint, "12 letters..", config)
    # One that has cost 19 leaves room for one that may cost 42, two of these do not.
    assert server.times == pytest.approx([0, 1, 61])


async def test_a_long_text_is_not_taken_for_as_many_tokens(autojump_clock: MockClock) -> None:
    """A text may have a token for each byte, but that is no reason to refuse it."""
    server = MockServer()
    async with server.endpoint(tokens_per_minute=500) as endpoint:
        result = await beam_search(endpoint, "a long word " * 200, CONFIG)
        assert result.rounds == 4
        with pytest.raises(SearchFailed, match="tokens_per_minute is 500"):
            await beam_search(endpoint, "a long word " * 400, CONFIG)


async def test_a_search_that_can_never_fit_fails_at_once(autojump_clock: MockClock) -> None:
    server = MockServer()
    async with server.endpoint(tokens_per_minute=10) as endpoint:
        with pytest.raises(SearchFailed, match="tokens_per_minute is 10: ask for fewer"):
            await beam_search(endpoint, "p", CONFIG)
    assert server.times == []


async def test_cancellation_at_any_moment_leaves_nothing(autojump_clock: MockClock) -> None:
    server = MockServer(latency=10)
    async with server.endpoint(
        requests_per_minute=4, max_concurrent=2, hedge_after=3.0, hedge_share=1.0
    ) as endpoint:
        for moment in range(40):
            before = len(server.times)
            with trio.move_on_after(moment * 3.7):
                async with trio.open_nursery() as nursery:
                    for prompt in "abc":
                        nursery.start_soon(beam_search, endpoint, prompt, CONFIG)
            statistics = endpoint.statistics()
            assert statistics.in_flight == statistics.waiting == 0
            await trio.sleep(62)
            began = trio.current_time()
            with trio.move_on_after(1):  # the whole minute is there again
                async with trio.open_nursery() as nursery:
                    for prompt in "abcd":
                        nursery.start_soon(beam_search, endpoint, prompt, CONFIG)
            sent = [at for at in server.times[before:] if at >= began]
            assert len(sent) == 2, "as many as there are slots"
            await trio.sleep(62)


@pytest.mark.parametrize(
    "options",
    [
        {"requests_per_minute": 0},
        {"tokens_per_minute": -1},
        {"requests_per_minute": 1.5},
        {"rate_file": 3},
        {"rate_file": ""},
    ],
)
def test_limits_out_of_bounds_are_named(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        Endpoint("http://127.0.0.1:1/v1", **options)
