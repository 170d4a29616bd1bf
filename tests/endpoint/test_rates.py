"""Requests and tokens per minute: never above the rate, no slower than needed, fair, shared by processes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from trio_beam import (
    BudgetExhausted,
    ConfigError,
    ConnectionFailed,
    RatePaused,
    RequestTooLarge,
    RetryPolicy,
    ServerError,
)
from trio_beam.core.language_model import RequestContext
from trio_beam.core.usage import Budget
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.dialects.common.exchange import WireRequest
from trio_beam.endpoint.dispatch import Dispatcher
from trio_beam.endpoint.limiter import FairLimiter
from trio_beam.endpoint.rate_file import RateFile
from trio_beam.endpoint.rate_limiter import RateLimiter
from trio_beam.endpoint.rates import MINUTE, TRAVEL
from trio_beam.errors import EndpointError


@attrs.frozen
class Ask:
    """A request, and what becomes of it.

    Attributes:
        at: when it comes.
        process: that sends it.
        search: whose it is.
        tokens: that it may cost.
        share: of them that it does cost.
        travel: seconds until it is at the server.
        seconds: from there to its response; or to a refusal, with `refused`.
        patience: seconds until it is cancelled.
    """

    at: float = 0.0
    process: int = 0
    search: int = 0
    tokens: int = 10
    share: float = 1.0
    travel: float = 0.0
    seconds: float = 0.0
    refused: bool = False
    patience: float = math.inf


_ASKS = st.lists(
    st.builds(
        Ask,
        at=st.sampled_from([0.0, 0.0, 0.5, 30.0, 59.0, 100.0]),
        process=st.integers(0, 2),
        search=st.integers(0, 2),
        tokens=st.integers(2, 30),
        share=st.floats(0, 1),
        travel=st.sampled_from([0.0, 0.1, TRAVEL]),
        seconds=st.sampled_from([0.0, 1.0, 20.0, 90.0]),
        refused=st.booleans(),
        patience=st.sampled_from([math.inf, math.inf, 0.0, 0.05, 10.0, 70.0]),
    ),
    max_size=20,
)


@attrs.frozen
class Arrival:
    """A request at the server, with what it has cost there."""

    at: float
    ask: Ask
    cost: int


class Server:
    """What the dispatchers of all processes send to."""

    def __init__(self) -> None:
        self.arrivals: list[Arrival] = []

    async def attempt(self, request: WireRequest[Any], hear: object) -> Ask:
        ask: Ask = request.decode(b"")
        await trio.sleep(ask.travel)
        cost = 0 if ask.refused else int(ask.share * ask.tokens)
        self.arrivals.append(Arrival(trio.current_time(), ask, cost))
        await trio.sleep(ask.seconds)
        if ask.refused:
            raise ServerError("no", status=501)
        return ask


def dispatcher(server: Server, rates: RateLimiter, slots: int = 100) -> Dispatcher:
    http: Any = server
    return Dispatcher(
        http=http,
        limiter=FairLimiter(slots),
        rates=rates,
        retry=RetryPolicy(attempts=1),
        hedge_after=1.0,
        hedge_share=0.5,
    )


def play(
    asks: list[Ask], processes: list[Callable[[], RateLimiter]], slots: int = 100
) -> tuple[list[Arrival], Counter[str]]:
    """What arrives at the server, and how many requests ended in which way."""
    server, ends = Server(), Counter[str]()

    async def one(ask: Ask, sender: Dispatcher, meters: list[UsageMeter]) -> None:
        await trio.sleep(ask.at)
        context = RequestContext(meter=meters[ask.search], emit=lambda _: None)
        request = WireRequest(path="", decode=lambda _: ask, body=b"{}", max_tokens=ask.tokens - 1)
        reservation = context.meter.reservation(prompt_tokens=1)
        with trio.move_on_after(ask.patience) as scope:
            try:
                await sender.send(request, context, reservation)
            except EndpointError:
                ends["refused"] += 1
            else:
                cost = int(ask.share * ask.tokens)
                reservation.settle(cost - min(cost, 1), min(cost, 1))
                ends["done"] += 1
        ends["cancelled"] += scope.cancelled_caught

    async def everybody() -> None:
        senders = [dispatcher(server, make(), slots) for make in processes]
        meters = [[UsageMeter() for _ in range(3)] for _ in senders]
        for sender in senders:
            sender.restart()
        async with trio.open_nursery() as nursery:
            for ask in asks:
                which = ask.process % len(senders)
                nursery.start_soon(one, ask, senders[which], meters[which])
        for sender in senders:
            assert sender.limiter.in_flight == sender.limiter.waiting == 0
            assert sender.rates.waiting == 0
            assert not sender.rates.window._flying
        await trio.sleep(MINUTE + TRAVEL)
        for sender in senders:
            assert sender.rates.window.wait(1, trio.current_time()) is None
            assert not sender.rates.window.sent(), "nothing counts for ever"

    trio.run(everybody, clock=MockClock(autojump_threshold=0))
    return server.arrivals, ends


def check(arrivals: list[Arrival], requests: float, tokens: float) -> None:
    """No minute is above the rate."""
    for first in arrivals:
        within = [one for one in arrivals if first.at <= one.at < first.at + MINUTE]
        assert len(within) <= requests
        assert sum(one.cost for one in within) <= tokens


@settings(max_examples=150, deadline=None)
@given(_ASKS, st.integers(1, 8), st.integers(30, 120), st.integers(1, 5))
def test_no_minute_is_above_the_rate(
    asks: list[Ask], requests: int, tokens: int, slots: int
) -> None:
    arrivals, ends = play(asks, [lambda: RateLimiter(requests, tokens)], slots)
    check(arrivals, requests, tokens)
    assert ends.total() == len(asks)
    patient = [ask for ask in asks if ask.patience == math.inf]
    assert ends["done"] + ends["refused"] >= len(patient), "every one that waits is served"


@settings(max_examples=25, deadline=None)
@given(_ASKS, st.integers(1, 8), st.integers(30, 120), st.integers(2, 3))
def test_nor_is_it_with_several_processes(
    tmp_path_factory: pytest.TempPathFactory,
    asks: list[Ask],
    requests: int,
    tokens: int,
    processes: int,
) -> None:
    path = tmp_path_factory.mktemp("rates") / "file"
    arrivals, ends = play(asks, [sharing(path, requests, tokens)] * processes)
    check(arrivals, requests, tokens)
    assert ends.total() == len(asks)
    patient = [ask for ask in asks if ask.patience == math.inf]
    assert ends["done"] + ends["refused"] >= len(patient)


def test_what_others_have_sent_counts_for_its_whole_minute(tmp_path: Path) -> None:
    asks = [Ask(at=0.9, process=0), Ask(at=1.0, process=1)]
    arrivals, _ = play(asks, [sharing(tmp_path / "rates", 1, None)] * 2)
    assert 60.9 <= arrivals[1].at < 62


def sharing(path: Path, requests: int | None, tokens: int | None) -> Callable[[], RateLimiter]:
    """Make limiters that share a file; all of one machine have one clock."""
    return lambda: RateLimiter(requests, tokens, RateFile(path, clock=trio.current_time))


def times_of(asks: list[Ask], requests: int | None, tokens: int | None) -> list[float]:
    arrivals, _ = play(asks, [lambda: RateLimiter(requests, tokens)])
    return [one.at - arrivals[0].at for one in arrivals]


def test_it_is_no_slower_than_needed() -> None:
    asks = [Ask()] * 25
    expected = pytest.approx([0.0] * 10 + [60.0] * 10 + [120.0] * 5)
    assert times_of(asks, 10, None) == expected
    assert times_of(asks, None, 100) == expected


def test_a_long_response_costs_no_more_than_the_time_of_travel() -> None:
    assert times_of([Ask(seconds=50)] * 3, 1, None) == pytest.approx([0, 62, 124])


def test_what_was_reserved_and_not_spent_is_given_back_at_once() -> None:
    # Of 100 tokens two have room with 40 each, until six have spent 24.
    times = times_of([Ask(tokens=40, share=0.1, seconds=0.75)] * 8, None, 100)
    assert times == pytest.approx([0, 0, 0.75, 0.75, 1.5, 1.5, 2.25, 3])


def test_what_was_refused_costs_no_tokens() -> None:
    assert times_of([Ask(tokens=100, refused=True)] * 3, None, 100) == pytest.approx([0, 0, 0])


async def test_what_was_never_sent_is_given_back(autojump_clock: MockClock) -> None:
    class Away(Server):
        async def attempt(self, request: WireRequest[Any], hear: object) -> Ask:
            await trio.lowlevel.checkpoint()
            if trio.current_time() < 1:
                raise ConnectionFailed("nobody there", never_sent=True)
            return await super().attempt(request, hear)

    sender = dispatcher(Away(), RateLimiter(1, 100))
    for budget in (Budget(), Budget(), Budget(completion_tokens=10)):
        context = RequestContext(meter=UsageMeter(budget), emit=lambda _: None)
        request = WireRequest(path="", decode=lambda _: Ask(), body=b"{}", max_tokens=90)
        with pytest.raises((ConnectionFailed, BudgetExhausted)):
            await sender.send(request, context, context.meter.reservation())
    assert await _take(sender.rates, 100) == 0


def test_searches_take_turns() -> None:
    asks = [Ask(search=0)] * 20 + [Ask(at=0.1, search=1)] * 2
    arrivals, _ = play(asks, [lambda: RateLimiter(4, None)])
    served = Counter(one.ask.search for one in arrivals if one.at < arrivals[0].at + 121)
    assert served[1] == 2  # in the order of arrival the last would come after 300 seconds


@pytest.mark.parametrize("processes", [1, 2])
def test_small_requests_do_not_starve_a_large_one(tmp_path: Path, processes: int) -> None:
    """One that needs a whole minute, while a small one comes every second, also from another process."""
    small = [Ask(at=float(second), process=0, tokens=10) for second in range(80)]
    large = Ask(at=0.5, process=1, tokens=100, search=1)
    arrivals, _ = play([*small, large], [sharing(tmp_path / "rates", None, 100)] * processes)
    start = arrivals[0].at
    [came] = [one.at - start for one in arrivals if one.ask == large]
    assert came < 65


async def _take(limiter: RateLimiter, tokens: int) -> float:
    """Have a request admitted; return when."""
    context = RequestContext(meter=UsageMeter(), emit=lambda _: None)
    async with limiter.turn(context):
        await limiter.wait_for_room(tokens, context)
        assert limiter.try_admit(tokens, first=True)
    return trio.current_time()


async def test_a_killed_process_blocks_nobody(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One has sent, another waits at the head of the queue; neither says anything any more."""
    make = sharing(tmp_path / "rates", 2, 100)
    killed, waiting, living = make(), make(), make()
    assert await _take(killed, 60) == 0
    monkeypatch.setattr(waiting, "_share", lambda: None)  # it has no time to say that it ends
    with trio.move_on_after(1.5):
        await _take(waiting, 100)
    with trio.fail_after(70):
        assert await _take(living, 40) < 8  # the one that waits has not been heard of for a while
        assert await _take(living, 40) == pytest.approx(63, abs=1.1)


async def test_a_cancelled_wait_leaves_nothing_in_the_file(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    make = sharing(tmp_path / "rates", None, 100)
    one, other = make(), make()
    await _take(one, 50)
    with trio.move_on_after(5):
        await _take(one, 100)
    assert await _take(other, 50) == 5


async def test_a_pause_holds_for_all_processes(autojump_clock: MockClock, tmp_path: Path) -> None:
    make = sharing(tmp_path / "rates", None, None)
    one, other = make(), make()
    one.pause(30.0)
    assert other.is_limited()
    assert await _take(other, 1) == 30


async def test_a_file_that_was_torn_or_removed_is_made_anew(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "rates"
    make = sharing(path, 1, None)
    one = make()
    await _take(one, 1)
    path.write_bytes(path.read_bytes()[:-20])
    assert await _take(make(), 1) == pytest.approx(62, abs=1)  # it is not known what was sent
    path.unlink()
    assert await _take(one, 1) == pytest.approx(63, abs=1)
    assert await _take(make(), 1) > 120  # the first process has said again what it has sent


async def test_times_of_before_a_restart_of_the_machine_mean_nothing(
    autojump_clock: MockClock, tmp_path: Path
) -> None:
    path = tmp_path / "rates"
    late = RateLimiter(1, None, RateFile(path, clock=lambda: 1e6 + trio.current_time()))
    await _take(late, 1)
    assert await _take(sharing(path, 1, None)(), 1) == 0


@pytest.mark.parametrize("kind", ["another file", "a folder", "a path that does not exist"])
async def test_a_file_that_cannot_be_used_is_named(
    autojump_clock: MockClock, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "prompts.jsonl"
    if kind == "another file":
        path.write_text('{"prompt": "precious"}\n')
    elif kind == "a folder":
        path.mkdir()
    else:
        path = tmp_path / "missing" / "rates"
    limiter = RateLimiter(1, None, RateFile(path))
    with pytest.raises(ConfigError, match="rate_file must be a file that"):
        limiter.open()
    if kind == "another file":
        assert path.read_text() == '{"prompt": "precious"}\n'


async def test_a_request_that_never_fits_is_refused_at_once(autojump_clock: MockClock) -> None:
    server = Server()
    sender = dispatcher(server, RateLimiter(None, 100))
    context = RequestContext(meter=UsageMeter(), emit=lambda _: None)
    request = WireRequest(path="", decode=lambda _: Ask(), body=b"{}", max_tokens=90)
    with pytest.raises(
        RequestTooLarge, match=r"may cost 101 tokens .*tokens_per_minute is 100.*--tpm"
    ):
        await sender.send(request, context, context.meter.reservation(prompt_tokens=11))
    assert not server.arrivals
    await sender.send(request, context, context.meter.reservation(prompt_tokens=10))
    assert len(server.arrivals) == 1


async def test_each_search_is_told_once_that_it_waits(autojump_clock: MockClock) -> None:
    events: list[tuple[int, object]] = []
    limiter = RateLimiter(1, None)

    def note(search: int, event: object) -> None:
        events.append((search, event))

    async def one(context: RequestContext) -> None:
        async with limiter.turn(context):
            await limiter.wait_for_room(1, context)
            await trio.sleep(100)

    await _take(limiter, 1)
    with trio.move_on_after(50):
        async with trio.open_nursery() as nursery:
            for search in range(3):
                meter = UsageMeter()
                for _ in range(4):
                    context = RequestContext(meter=meter, emit=partial(note, search))
                    nursery.start_soon(one, context)
                await trio.sleep(10)
    assert events == [
        (0, RatePaused(seconds=62, limit="requests")),
        (1, RatePaused(seconds=52, limit="requests")),
        (2, RatePaused(seconds=42, limit="requests")),
    ]


def test_what_was_sent_counts_under_another_run() -> None:
    limiter = RateLimiter(1, None)

    async def once() -> float:
        limiter.open()
        start = trio.current_time()
        try:
            return await _take(limiter, 1) - start
        finally:
            limiter.close()

    waits = [trio.run(once, clock=MockClock(autojump_threshold=0)) for _ in range(2)]
    assert waits == [0, pytest.approx(62, abs=1)]
