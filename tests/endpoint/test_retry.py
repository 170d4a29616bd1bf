"""Attempts: what is repeated, when, and what a waiting retry holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import httpx
import pytest
import trio
from trio.testing import MockClock

from tests.servers.mock_server import Before, MockServer, answering, raising
from trio_beam import (
    AttemptTimeout,
    BeamSearchConfig,
    BeamTimeout,
    ConnectionFailed,
    Endpoint,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    RetryPolicy,
    SearchFailed,
    ServerError,
    TrioBeamError,
    beam_search,
    beam_search_within,
)
from trio_beam.core.events import Event
from trio_beam.core.request_events import EndpointPaused, RequestRetried

pytestmark = pytest.mark.promise(4)

CONFIG = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=3, max_tokens=6, seed=1, early_stopping=False
)
POLICY = RetryPolicy(attempts=3, wait_initial=1, wait_max=60)

TRANSIENT: dict[str, Before] = {
    "429": answering(lambda: httpx.Response(429, json={"error": {"message": "slow down"}}), 1),
    "500": answering(lambda: httpx.Response(500, text="oops"), 1),
    "503": answering(lambda: httpx.Response(503, json={"error": {"message": "Loading model"}}), 1),
    "408": answering(lambda: httpx.Response(408), 1),
    "refused": raising(httpx.ConnectError("refused"), 1),
    "reset": raising(httpx.ReadError("reset"), 1),
    "cut short": raising(httpx.RemoteProtocolError("incomplete"), 1),
    "broken JSON": answering(lambda: httpx.Response(200, text='{"choices": [{"te'), 1),
}


@pytest.mark.parametrize("fault", TRANSIENT)
async def test_a_passing_fault_costs_a_retry_and_changes_nothing(
    fault: str, autojump_clock: MockClock
) -> None:
    async with MockServer().endpoint(retry=POLICY) as endpoint:
        undisturbed = await beam_search(endpoint, "p", CONFIG)
    server = MockServer(TRANSIENT[fault])
    events: list[Event] = []
    async with server.endpoint(retry=POLICY) as endpoint:
        result = await beam_search(endpoint, "p", CONFIG, observers=[events.append])
    assert result.text == undisturbed.text
    # An answer that broke off, or none after the connection, may have to be paid.
    unpriced = undisturbed.usage.unpriced + (fault in ("reset", "cut short", "broken JSON"))
    expected = attrs.evolve(undisturbed.usage, requests=4, retries=1, unpriced=unpriced)
    assert result.usage == expected
    # The same request, seed included, was sent again.
    again = [body for body in server.bodies if server.bodies.count(body) == 2]
    assert again == [server.bodies[1]] * 2
    [retried] = [event for event in events if isinstance(event, RequestRetried)]
    assert (retried.attempt, retried.attempts) == (1, 3)
    assert 0.5 <= retried.wait <= 1


PERMANENT: dict[str, tuple[Callable[[], httpx.Response], type[TrioBeamError]]] = {
    "400": (
        lambda: httpx.Response(400, json={"error": {"message": "invalid prompt"}}),
        RequestRejected,
    ),
    "401": (lambda: httpx.Response(401, json={"error": {"message": "bad key"}}), RequestRejected),
    "404": (lambda: httpx.Response(404, json={"detail": "Not Found"}), RequestRejected),
    "wrong shape": (lambda: httpx.Response(200, json={"choices": 3}), MalformedResponse),
    "a page": (lambda: httpx.Response(200, html="<html>hello</html>"), MalformedResponse),
    "redirect": (lambda: httpx.Response(307, headers={"location": "/v2"}), RequestRejected),
}


@pytest.mark.parametrize("fault", PERMANENT)
async def test_what_a_retry_cannot_mend_is_not_retried(
    fault: str, autojump_clock: MockClock
) -> None:
    answer, kind = PERMANENT[fault]
    server = MockServer(answering(answer, 0))
    async with server.endpoint(retry=POLICY) as endpoint:
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", CONFIG)
    assert type(caught.value.failures[0].error) is kind
    assert len(server.bodies) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (answering(lambda: httpx.Response(429), *range(9)), RateLimited),
        (answering(lambda: httpx.Response(502), *range(9)), ServerError),
        (raising(httpx.ConnectError("refused"), *range(9)), ConnectionFailed),
    ],
)
async def test_attempts_are_bounded_and_counted(
    fault: Before, kind: type[TrioBeamError], autojump_clock: MockClock
) -> None:
    server = MockServer(fault)
    async with server.endpoint(retry=POLICY) as endpoint:
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", CONFIG)
        assert endpoint.statistics().retries == 2
    [failure] = caught.value.failures
    assert type(failure.error) is kind
    assert failure.attempts == 3
    assert len(server.bodies) == 3
    assert "after 3 attempts" in str(caught.value)


async def test_retry_after_is_obeyed(autojump_clock: MockClock) -> None:
    limited = httpx.Response(429, headers={"retry-after": "1234"})
    server = MockServer(answering(lambda: limited, 0))
    async with server.endpoint(retry=POLICY) as endpoint:
        await beam_search(endpoint, "p", CONFIG)
    assert server.times[1] - server.times[0] == 1234


async def test_waits_grow_and_stay_within_their_bounds(autojump_clock: MockClock) -> None:
    server = MockServer(answering(lambda: httpx.Response(500), *range(8)))
    async with server.endpoint(
        retry=RetryPolicy(attempts=9, wait_initial=1, wait_max=10)
    ) as endpoint:
        await beam_search(endpoint, "p", CONFIG)
    waits = [
        later - earlier for earlier, later in zip(server.times, server.times[1:9], strict=False)
    ]
    for wait, ceiling in zip(waits, [1, 2, 4, 8, 10, 10, 10, 10], strict=True):
        assert ceiling / 2 <= wait <= ceiling


async def test_a_wait_that_would_outlast_the_beam_is_not_begun(autojump_clock: MockClock) -> None:
    limited = httpx.Response(429, headers={"retry-after": "1000"})
    server = MockServer(answering(lambda: limited, 0))
    async with server.endpoint(retry=POLICY) as endpoint:
        start = trio.current_time()
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", attrs.evolve(CONFIG, beam_timeout=100))
        assert trio.current_time() == start
    error = caught.value.failures[0].error
    assert isinstance(error, RateLimited)
    assert error.retry_after == 1000


async def test_retries_end_with_the_beam(autojump_clock: MockClock) -> None:
    """Retries are inside the beam's time, which they cannot extend."""

    async def hang(number: int, body: dict[str, Any]) -> None:
        await trio.sleep_forever()

    server = MockServer(hang)
    policy = RetryPolicy(attempts=100, wait_initial=1, wait_max=1)
    async with server.endpoint(retry=policy, attempt_timeout=30) as endpoint:
        start = trio.current_time()
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", attrs.evolve(CONFIG, beam_timeout=100))
        assert trio.current_time() - start == 100
    error = caught.value.failures[0].error
    assert isinstance(error, BeamTimeout)
    assert "attempt_timeout=30" in str(error)
    assert error.attempts == server.cancelled == 4


async def test_an_attempt_that_hangs_is_repeated(autojump_clock: MockClock) -> None:
    async def hang_once(number: int, body: dict[str, Any]) -> None:
        if number == 1:
            await trio.sleep_forever()

    server = MockServer(hang_once)
    async with server.endpoint(retry=POLICY, attempt_timeout=50) as endpoint:
        result = await beam_search(endpoint, "p", CONFIG)
        assert endpoint.statistics().cancelled == 1
    assert result.usage.cancelled == 1
    assert result.usage.retries == 1


async def test_an_attempt_that_always_hangs_is_an_error(autojump_clock: MockClock) -> None:
    async def hang(number: int, body: dict[str, Any]) -> None:
        await trio.sleep_forever()

    async with MockServer(hang).endpoint(retry=POLICY, attempt_timeout=50) as endpoint:
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", CONFIG)
    assert type(caught.value.failures[0].error) is AttemptTimeout


async def test_a_retry_holds_no_slot_while_it_waits(autojump_clock: MockClock) -> None:
    """With a single slot, the sibling of a beam that waits to retry gets it."""
    server = MockServer(answering(lambda: httpx.Response(500), 1), latency=10)
    policy = RetryPolicy(wait_initial=500, wait_max=500)
    async with server.endpoint(retry=policy, max_concurrent=1) as endpoint:
        await beam_search(endpoint, "p", CONFIG)
    # Round 1 ends at 10; one beam is refused there; the other is served from 10, not from 510.
    assert server.times[:3] == [0, 10, 10]
    assert server.times[3] >= 260


async def test_a_pause_holds_for_the_whole_endpoint(autojump_clock: MockClock) -> None:
    """What the server asks of one search, another one on the same endpoint obeys as well."""
    limited = httpx.Response(429, headers={"retry-after": "500"})
    server = MockServer(answering(lambda: limited, 0), latency=10)
    events: list[Event] = []
    async with server.endpoint(retry=POLICY) as endpoint, trio.open_nursery() as nursery:
        nursery.start_soon(beam_search_observed, endpoint, events)
        await trio.sleep(1)
        await beam_search(endpoint, "another", CONFIG)
    assert server.times[0] == 0
    assert min(server.times[1:]) == 500
    assert [event.seconds for event in events if isinstance(event, EndpointPaused)] == [500]


async def beam_search_observed(endpoint: Endpoint, events: list[Event]) -> None:
    await beam_search(endpoint, "p", CONFIG, observers=[events.append])


async def test_the_waits_of_a_request_are_bounded_together(autojump_clock: MockClock) -> None:
    limited = httpx.Response(429, headers={"retry-after": "40"})
    server = MockServer(answering(lambda: limited, *range(99)))
    policy = RetryPolicy(attempts=50, wait_initial=0, wait_max=0, wait_total=100)
    async with server.endpoint(retry=policy) as endpoint:
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", CONFIG)
    assert server.times == [0, 40, 80]
    assert caught.value.failures[0].attempts == 3


async def test_a_retry_counts_when_it_is_sent(autojump_clock: MockClock) -> None:
    server = MockServer(answering(lambda: httpx.Response(500), 1))
    async with server.endpoint(retry=attrs.evolve(POLICY, wait_initial=60)) as endpoint:
        result = await beam_search_within(1.5, endpoint, "p", CONFIG)
        assert endpoint.statistics().retries == 0
    assert result.stop_reason == "deadline"
    assert (result.usage.requests, result.usage.retries) == (len(server.times), 0)
