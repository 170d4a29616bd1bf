"""Whole searches against a server on a real socket that fails once, or always.

A fault that passes must change nothing but the count of retries; one that stays must end the search
with its own class and words; and either way nothing may be left, here or at the server.
"""

from __future__ import annotations

import attrs
import pytest
import trio

from tests.endpoint.fault_cases import (
    FAULTS,
    FULL,
    HARMLESS,
    PASSING_QUICKLY,
    PERMANENT,
    QUICK,
    TRANSIENT,
    UNEXPLAINED,
    Case,
    refusing,
)
from tests.endpoint.faulty_search import (
    CONFIG,
    DROPPING,
    NARROW,
    check_error,
    check_same,
    found,
    searching,
    spent_in_vain,
    timeouts,
    undisturbed,
)
from tests.servers.fault_server import (
    HEALTHY,
    Fault,
    Request,
    always,
    once,
)
from tests.servers.mock_server import at_rest
from trio_beam import (
    ContextOverflow,
    EndpointError,
    RateLimited,
    RequestRejected,
    SearchFailed,
    ServerError,
    beam_search,
)
from trio_beam.core.events import Event
from trio_beam.core.request_events import EndpointPaused, RequestRetried


@pytest.mark.parametrize("case", TRANSIENT.values(), ids=TRANSIENT)
async def test_what_happens_once_costs_a_retry(case: Case) -> None:
    right = await undisturbed(CONFIG)
    async with searching(case, once(case.fault)) as (endpoint, server):
        result = await beam_search(endpoint, "p", CONFIG)
        check_same(result, right, retries=1, lost=timeouts(case, 1), spent=spent_in_vain(case, 1))
        statistics = endpoint.statistics()
        assert (statistics.attempts, statistics.retries) == (right.usage.requests + 1, 1)
        assert [request.repeat for request in server.requests[:2]] == [0, 1]


@pytest.mark.parametrize("case", PASSING_QUICKLY.values(), ids=PASSING_QUICKLY)
async def test_nor_does_it_matter_on_a_kept_connection(case: Case) -> None:
    right = await undisturbed(NARROW)
    async with searching(case, once(case.fault, 1)) as (endpoint, server):
        result = await beam_search(endpoint, "p", NARROW)
        retries = 0 if case.silent else 1
        spent = spent_in_vain(case, retries)
        check_same(result, right, retries=retries, lost=timeouts(case, 1), spent=spent)
        assert [request.repeat for request in server.requests] == [0, 0, 1, 0]


@pytest.mark.parametrize("case", PERMANENT.values(), ids=PERMANENT)
async def test_what_no_retry_can_mend_loses_one_beam(case: Case) -> None:
    async with searching(case, once(case.fault, 1)) as (endpoint, server):
        result = await beam_search(endpoint, "p", DROPPING)
        assert (result.stop_reason, result.rounds) == ("max_tokens", 3)
        assert [beam.length for beam in result.beams] == [9, 9]
        [failure] = result.failures
        check_error(failure.error, case, server, attempts=1)
        assert (failure.round, failure.attempts, failure.beam.length) == (2, 1, 3)
        assert result.usage.retries == endpoint.statistics().retries == 0
        assert result.usage.requests == len(server.requests) == 5


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS)
async def test_what_always_happens_ends_the_search(case: Case) -> None:
    async with searching(case, always(case.fault), limit=0.5) as (endpoint, server):
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", CONFIG)
        attempts = 3 if case.transient else 1
        [failure] = caught.value.failures
        check_error(failure.error, case, server, attempts)
        assert (failure.round, failure.attempts, failure.beam.length) == (1, attempts, 0)
        assert str(failure.error) in str(caught.value)
        assert isinstance(caught.value.__cause__, ExceptionGroup)
        assert caught.value.__cause__.exceptions == (failure.error,)
        partial = caught.value.partial
        assert (partial.beams, partial.stop_reason, partial.rounds) == ((), "failed", 0)
        statistics = endpoint.statistics()
        sent = case.spellings * attempts
        assert len(server.requests) == statistics.attempts == partial.usage.requests == sent
        assert statistics.retries == partial.usage.retries == sent - case.spellings
        assert statistics.cancelled == partial.usage.cancelled == timeouts(case, attempts)
        assert statistics.open_connections is not None
        assert statistics.open_connections <= 1  # an idle one may be kept


@pytest.mark.parametrize("case", FULL.values(), ids=FULL)
async def test_a_refusal_of_a_longer_beam_means_that_the_context_is_full(case: Case) -> None:
    """Whatever its words: the beam ends, and the search goes on. What the words mean is learnt once."""
    right = await undisturbed(CONFIG)
    refused = ""

    def script(request: Request) -> Fault:
        nonlocal refused
        if request.number == 1:
            refused = request.body["prompt"]
        return case.fault if request.body["prompt"] == refused else HEALTHY

    async with searching(case, script) as (endpoint, server):
        for lesson in (0 if case.explained else 2, 0):
            before = len(server.requests)
            result = await beam_search(endpoint, "p", CONFIG)
            assert result.failures == ()
            [full] = [beam for beam in result.beams if beam.finish_reason == "context"]
            assert full.length == 3
            sent = right.usage.requests + lesson
            assert result.usage.requests == len(server.requests) - before == sent


@pytest.mark.parametrize("case", UNEXPLAINED.values(), ids=UNEXPLAINED)
async def test_a_refusal_that_is_not_repeated_is_not_a_full_context(case: Case) -> None:
    right = await undisturbed(CONFIG)
    async with searching(case, once(case.fault, 1)) as (endpoint, server):
        result = await beam_search(endpoint, "p", CONFIG)
        assert found(result) == found(right)
        assert result.usage.requests == len(server.requests) == right.usage.requests + 2


@pytest.mark.parametrize("case", UNEXPLAINED.values(), ids=UNEXPLAINED)
async def test_a_refusal_of_the_shorter_beam_too_is_not_a_full_context(case: Case) -> None:
    """A quota, or a model that is gone, does not depend on the length of a beam."""

    def script(request: Request) -> Fault:
        return HEALTHY if request.number == 0 else case.fault

    async with searching(case, script) as (endpoint, _):
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", NARROW)
        [failure] = caught.value.failures
        assert isinstance(failure.error, RequestRejected)
        assert not isinstance(failure.error, ContextOverflow)
        assert case.words in str(failure.error)


@pytest.mark.parametrize("case", QUICK.values(), ids=QUICK)
async def test_what_was_found_before_is_in_the_partial_result(case: Case) -> None:
    """From the second round on everything fails; then the server is well again."""
    well = False

    def script(request: Request) -> Fault:
        return HEALTHY if well or request.number == 0 else case.fault

    async with searching(case, script) as (endpoint, _):
        if case.full and case.explained:
            result = await beam_search(endpoint, "p", NARROW)
            assert [beam.finish_reason for beam in result.beams] == ["context"]
            return
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", NARROW)
        partial = caught.value.partial
        assert [beam.length for beam in partial.beams] == [3]
        assert partial.rounds == 1
        at_rest(endpoint)
        well = True
        assert found(await beam_search(endpoint, "p", NARROW)) == found(await undisturbed(NARROW))


@pytest.mark.parametrize("fault", HARMLESS.values(), ids=HARMLESS)
async def test_what_a_search_does_not_notice(fault: Fault) -> None:
    config = attrs.evolve(CONFIG, beam_width=6, max_tokens=18)
    right = await undisturbed(config)
    case = Case(fault, EndpointError, "")
    async with searching(case, always(fault)) as (endpoint, _):
        for _ in range(2):
            check_same(await beam_search(endpoint, "p", config), right, retries=0)


async def test_a_beam_that_no_longer_fits_is_no_failure() -> None:
    fault = refusing(413, "maximum context length is 8")
    case = Case(fault, ContextOverflow, "maximum context length is 8", transient=False)
    async with searching(case, once(fault, 1)) as (endpoint, _):
        result = await beam_search(endpoint, "p", CONFIG)
        assert result.failures == ()
        assert ("context", 3) in [(beam.finish_reason, beam.length) for beam in result.beams]
    async with searching(case, always(fault)) as (endpoint, server):
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", CONFIG)
        check_error(caught.value.failures[0].error, case, server, attempts=1)


# -- pauses that a server asks for


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, ServerError)])
async def test_retry_after_holds(status: int, kind: type[EndpointError]) -> None:
    fault = refusing(status, headers="retry-after: 0.02\r\n")
    events: list[Event] = []
    async with searching(Case(fault, kind, ""), once(fault)) as (endpoint, _):
        await beam_search(endpoint, "p", CONFIG, observers=[events.append])
    [paused] = [event for event in events if isinstance(event, EndpointPaused)]
    [retried] = [event for event in events if isinstance(event, RequestRetried)]
    assert paused.seconds == 0.02
    assert retried.wait >= 0.02
    assert isinstance(paused.error, (RateLimited, ServerError))
    assert paused.error.retry_after == 0.02


@pytest.mark.parametrize("seconds", ["31536000", "9" * 400], ids=["a year", "for ever"])
async def test_a_pause_beyond_all_measure_is_not_waited_for(seconds: str) -> None:
    """``wait_total`` bounds the waits of a request; its beam is lost, and the others go on."""
    fault = refusing(429, headers=f"retry-after: {seconds}\r\n")
    case = Case(fault, RateLimited, "HTTP 429", transient=False)
    async with searching(case, once(fault, 1)) as (endpoint, server):
        with trio.fail_after(20):
            result = await beam_search(endpoint, "p", DROPPING)
        [failure] = result.failures
        check_error(failure.error, case, server, attempts=1)
