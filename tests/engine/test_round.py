"""A round: a failing, hanging or cancelled beam, and what is left of it (nothing)."""

from __future__ import annotations

import attrs
import pytest
import trio
from trio.testing import MockClock

from trio_beam import (
    BeamSearchConfig,
    BeamTimeout,
    RequestRejected,
    SampleRequest,
    Search,
    SearchFailed,
    ServerError,
    TrioBeamError,
    beam_search,
    beam_search_within,
)
from trio_beam.testing import FakeEndpoint

CONFIG = BeamSearchConfig(
    beam_width=3, n_per_beam=2, tokens_per_step=2, max_tokens=8, seed=5, early_stopping=False
)


def in_round_two(model: list[FakeEndpoint], which: int) -> bool:
    """Whether the request being made is the one of the given beam in round 2."""
    return len(model[0].requests) == 2 + which


def failing(which: int, error: Exception) -> FakeEndpoint:
    """A model whose beam number `which` of round 2 fails after the others are under way."""
    holder: list[FakeEndpoint] = []

    async def before(request: SampleRequest) -> None:
        if in_round_two(holder, which):
            await trio.sleep(0.5)
            raise error

    holder.append(FakeEndpoint(latency=1.0, before=before))
    return holder[0]


@pytest.mark.promise(1)
async def test_a_failing_beam_cancels_its_siblings_at_once(autojump_clock: MockClock) -> None:
    model = failing(1, ServerError("it broke", status=500, attempts=3))
    start = trio.current_time()
    with pytest.raises(SearchFailed) as caught:
        await beam_search(model, "p", CONFIG)
    assert trio.current_time() - start == 1.5  # one round of 1 s, and 0.5 s of the next
    assert model.in_flight == 0
    assert model.cancelled == 2
    [failure] = caught.value.failures
    assert failure.round == 2
    assert failure.attempts == 3
    assert isinstance(failure.error, ServerError)
    assert failure.beam.length == 2
    assert "it broke" in str(caught.value)
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert caught.value.__cause__.exceptions == (failure.error,)


@pytest.mark.promise(1)
async def test_what_was_paid_for_is_in_the_partial_result(autojump_clock: MockClock) -> None:
    with pytest.raises(SearchFailed) as caught:
        await beam_search(failing(1, ServerError("it broke", status=500)), "p", CONFIG)
    partial = caught.value.partial
    assert partial.stop_reason == "failed"
    assert partial.rounds == 1
    assert len(partial.beams) == 3
    assert partial.text == partial.beams[0].text != ""
    assert partial.usage.completion_tokens > 0


async def test_siblings_that_were_done_before_the_failure_count(autojump_clock: MockClock) -> None:
    holder: list[FakeEndpoint] = []

    async def before(request: SampleRequest) -> None:
        if in_round_two(holder, 2):
            await trio.sleep(3)
            raise ServerError("too late", status=500)

    holder.append(FakeEndpoint(latency=1.0, before=before))
    with pytest.raises(SearchFailed) as caught:
        await beam_search(holder[0], "p", CONFIG)
    assert max(beam.length for beam in caught.value.partial.beams) == 4


@pytest.mark.promise(1)
async def test_drop_beam_goes_on_with_the_others(autojump_clock: MockClock) -> None:
    model = failing(1, ServerError("it broke", status=500))
    config = attrs.evolve(CONFIG, on_beam_failure="drop_beam", min_beams=2)
    result = await beam_search(model, "p", config)
    assert result.rounds == 4
    assert [failure.round for failure in result.failures] == [2]
    assert model.cancelled == 0


@pytest.mark.promise(1)
async def test_drop_beam_fails_when_too_few_survive(autojump_clock: MockClock) -> None:
    model = failing(1, ServerError("it broke", status=500))
    config = attrs.evolve(CONFIG, on_beam_failure="drop_beam", min_beams=3)
    with pytest.raises(SearchFailed) as caught:
        await beam_search(model, "p", config)
    assert caught.value.partial.rounds == 1
    assert caught.value.partial.beams


@pytest.mark.promise(2)
async def test_a_hanging_beam_ends_at_its_timeout(autojump_clock: MockClock) -> None:
    holder: list[FakeEndpoint] = []

    async def before(request: SampleRequest) -> None:
        if in_round_two(holder, 0):
            await trio.sleep_forever()

    holder.append(FakeEndpoint(latency=1.0, before=before))
    start = trio.current_time()
    with pytest.raises(SearchFailed) as caught:
        await beam_search(holder[0], "p", attrs.evolve(CONFIG, beam_timeout=20))
    assert trio.current_time() - start == 21
    [failure] = caught.value.failures
    assert isinstance(failure.error, BeamTimeout)
    assert "beam_timeout=20" in str(failure.error)
    # Its siblings had come back long before; nothing of theirs is lost.
    assert max(beam.length for beam in caught.value.partial.beams) == 4


@pytest.mark.promise(2)
async def test_a_hanging_beam_is_dropped_if_so_wished(autojump_clock: MockClock) -> None:
    holder: list[FakeEndpoint] = []

    async def before(request: SampleRequest) -> None:
        if in_round_two(holder, 0):
            await trio.sleep_forever()

    holder.append(FakeEndpoint(latency=1.0, before=before))
    config = attrs.evolve(CONFIG, beam_timeout=20, on_beam_failure="drop_beam")
    result = await beam_search(holder[0], "p", config)
    assert [type(failure.error) for failure in result.failures] == [BeamTimeout]
    assert holder[0].in_flight == 0


async def test_part_of_a_beam_may_fail_when_beams_may_be_dropped(autojump_clock: MockClock) -> None:
    """Round 1 expands a single beam: where n is ignored, by many requests, and one may fail."""
    holder: list[FakeEndpoint] = []

    async def before(request: SampleRequest) -> None:
        if len(holder[0].requests) == 3:
            raise ServerError("this one only", status=500)

    holder.append(FakeEndpoint(latency=1.0, max_per_request=1, before=before))
    config = attrs.evolve(CONFIG, on_beam_failure="drop_beam")
    result = await beam_search(holder[0], "p", config)
    assert len(result.failures) == 1
    assert result.rounds == 4


@pytest.mark.promise(3)
async def test_outer_cancellation_passes_through_at_once(autojump_clock: MockClock) -> None:
    model = FakeEndpoint(latency=10)
    start = trio.current_time()
    with trio.move_on_after(15) as scope:
        await beam_search(model, "p", CONFIG)
    assert scope.cancelled_caught
    assert trio.current_time() - start == 15
    assert model.in_flight == 0
    assert model.cancelled == 3


async def test_within_returns_the_best_so_far(autojump_clock: MockClock) -> None:
    model = FakeEndpoint(latency=10)
    start = trio.current_time()
    result = await beam_search_within(25, model, "p", CONFIG)
    assert trio.current_time() - start == 25
    assert result.stop_reason == "deadline"
    assert result.rounds == 2
    assert result.beams[0].length == 4
    assert model.in_flight == 0


async def test_within_counts_what_came_back_of_an_unfinished_round(
    autojump_clock: MockClock,
) -> None:
    holder: list[FakeEndpoint] = []

    async def before(request: SampleRequest) -> None:
        if in_round_two(holder, 0):
            await trio.sleep_forever()

    holder.append(FakeEndpoint(latency=10, before=before))
    result = await beam_search_within(25, holder[0], "p", CONFIG)
    assert result.rounds == 1
    assert {beam.length for beam in result.beams} >= {4}
    # More than the six blocks of round 1.
    assert result.usage.completion_tokens > 6 * 2


async def test_within_has_no_beams_if_nothing_came_back(autojump_clock: MockClock) -> None:
    result = await beam_search_within(5, FakeEndpoint(latency=10), "p", CONFIG)
    assert result.beams == ()
    assert result.text == ""
    assert result.usage.requests == 1


async def test_within_does_not_take_a_cancellation_from_outside_for_its_deadline(
    autojump_clock: MockClock,
) -> None:
    with trio.move_on_after(5) as scope:
        await beam_search_within(60, FakeEndpoint(latency=10), "p", CONFIG)
    assert scope.cancelled_caught


async def test_within_is_a_plain_search_if_there_is_time(autojump_clock: MockClock) -> None:
    one = await beam_search_within(1e6, FakeEndpoint(latency=10), "p", CONFIG)
    other = await beam_search(FakeEndpoint(), "p", CONFIG)
    assert one.text == other.text
    assert one.stop_reason == other.stop_reason == "max_tokens"


async def test_a_fault_of_ours_leaves_as_a_group(autojump_clock: MockClock) -> None:
    model = failing(1, ZeroDivisionError("a bug"))
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        await beam_search(model, "p", CONFIG)
    assert model.in_flight == 0


async def test_beams_of_a_round_run_at_the_same_time(autojump_clock: MockClock) -> None:
    start = trio.current_time()
    result = await beam_search(FakeEndpoint(latency=100), "p", CONFIG)
    assert trio.current_time() - start == 100 * result.rounds


async def test_a_search_object_runs_once() -> None:
    search = Search(FakeEndpoint(), "p", CONFIG)
    assert (await search.run()).text == search.best_so_far("interrupted").text
    with pytest.raises(TrioBeamError, match="once"):
        await search.run()


async def test_a_failure_in_the_first_round_has_an_empty_partial() -> None:
    async def before(request: SampleRequest) -> None:
        raise RequestRejected("no", status=400)

    with pytest.raises(SearchFailed) as caught:
        await beam_search(FakeEndpoint(before=before), "p", CONFIG)
    assert caught.value.partial.beams == ()
    assert caught.value.partial.text == ""
