"""One endpoint through any sequence of events, held against a naive model of what must be true.

Trio runs in a thread of its own, and its clock stands still but while `advance` lets it run. So each
rule of the state machine acts on what is really under way, and a failure shrinks rule by rule, which it
would not as one programme drawn in advance. (Guest mode needs such a thread too, and a loop besides.)
"""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.endpoint.stateful_model import ATTEMPT_TIMEOUTS, Kind, Model, Run
from tests.endpoint.stateful_server import FAULTS, PAUSE, SLOWER, Mode
from tests.endpoint.stateful_world import World
from trio_beam import BeamSearchConfig, RetryPolicy
from trio_beam.core.request_events import LimitChanged, RequestHedged

pytestmark = pytest.mark.promise(3)

#: Where an endpoint that finds its own limit begins.
_AUTO = 8
_WAIT_MAX = 4


@st.composite
def parameters(draw: st.DrawFn) -> dict[str, Any]:
    """What differs from the defaults, so that an example is short to read."""
    width, n = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    drawn = {
        "tokens_per_step": draw(st.integers(1, 3)),
        "max_tokens": draw(st.sampled_from([1, 6, 5, 6, 4])),
        "deduplicate": draw(st.sampled_from([True, False])),
        "early_stopping": draw(st.sampled_from([True, "bound", False])),
        "beam_timeout": draw(st.sampled_from([None, None, 40, 12, 3])),
        "on_beam_failure": draw(st.sampled_from(["cancel_siblings", "drop_beam"])),
        "min_beams": draw(st.integers(1, width)),
        "max_completion_tokens": draw(st.none() | st.integers(width * n, 30)),
        "max_requests": draw(st.none() | st.none() | st.integers(1, 12)),
    }
    default = BeamSearchConfig()
    changed = {name: value for name, value in drawn.items() if value != getattr(default, name)}
    return {"seed": 1, "beam_width": width, "n_per_beam": n} | changed


_POLICIES = st.builds(
    RetryPolicy,
    attempts=st.integers(1, 4),
    wait_initial=st.sampled_from([0, 1]),
    wait_max=st.just(_WAIT_MAX),
    wait_total=st.sampled_from([60, 8, 3]),
)
_OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "max_concurrent": st.sampled_from([1, 20, 5, 3, 2, "auto"]),
    "max_n": st.sampled_from([None, 1, 2]),
    "attempt_timeout": st.sampled_from(ATTEMPT_TIMEOUTS),
    "hedge_after": st.sampled_from([None, SLOWER, SLOWER, 2, "p95"]),
    "hedge_share": st.sampled_from([1, 0.5, 0.2, 0]),
    "retry": _POLICIES,
}
#: More often than the others, so that searches get somewhere and hedges have something to do.
_NO_FAULT = [""] * 20
_LATE = ["slow", "slow", "slow", "slow", "late", "late"]
_MODES = st.builds(
    Mode,
    latency=st.sampled_from([1, 2, 5]),
    faults=st.lists(
        st.sampled_from([*_NO_FAULT, *_LATE, *FAULTS]),
        min_size=1,
        max_size=6,
    ).map(tuple),
)


class EndpointMachine(RuleBasedStateMachine):
    """Starts and cancels searches, changes the server, lets time pass."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.running: list[Run] = []
        self.done: list[Run] = []
        self.searches = 0

    @initialize(options=st.fixed_dictionaries(_OPTIONS), mode=_MODES, values=parameters())
    def open(self, options: dict[str, Any], mode: Mode, values: dict[str, Any]) -> None:
        self.options = options
        self.world = World(options)
        hedging = options["hedge_after"] is not None
        self.model = Model(self.world.server.log, options["retry"], hedging)
        self.change_server(mode)
        self.search(values, None)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            if sys.exc_info()[0] is None:
                self.let_all_end()
                self.check_all()
        finally:
            self.world.close()

    # -- rules

    @rule(mode=_MODES)
    def change_server(self, mode: Mode) -> None:
        self.world.server.change(mode)

    @rule(values=parameters(), within=st.sampled_from([None, None, 9, 2, 30, 0]))
    def search(self, values: dict[str, Any], within: float | None) -> None:
        run = self._new(values, 1)
        run.within = within
        run.search = self.world.make_search(run)
        self.world.start(run)
        if self.world.statistics.waiting and not self.model.entries(run.searches[0]):
            run.first_wait = len(self.model.log)

    @rule(
        values=parameters(),
        count=st.integers(0, 4),
        max_searches=st.integers(1, 3),
        take=st.sampled_from([None, None, 0, 1, 2]),
    )
    def search_many(
        self, values: dict[str, Any], count: int, max_searches: int, take: int | None
    ) -> None:
        run = self._new(values, count)
        run.max_searches, run.take = max_searches, take
        self.world.start(run)

    @precondition(lambda self: self.running)
    @rule(pick=st.integers(0, 9))
    def cancel(self, pick: int) -> None:
        run = self.running[pick % len(self.running)]
        self.world.cancel(run.scope)
        assert run.scope.cancelled_caught
        assert run.ended == self.world.now

    @rule(seconds=st.sampled_from([1, 2, 0.5, 5, 10, 60]))
    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)

    @precondition(lambda self: self.running)
    @rule()
    def let_all_end(self) -> None:
        """Whatever the server does: every attempt and every wait has its end."""
        attempt = self.options["attempt_timeout"] + _WAIT_MAX + PAUSE
        requests = sum(
            len(run.searches) * run.config.rounds * run.config.samples_per_round
            for run in self.running
        )
        self.world.advance(2 * requests * self.options["retry"].attempts * attempt)
        assert all(run.ended is not None for run in self.running)

    def _new(self, values: dict[str, Any], count: int) -> Run:
        numbers = range(self.searches, self.searches + count)
        self.searches += count
        config = BeamSearchConfig(**values)
        run = Run(searches=numbers, config=config, began=self.world.now)
        self.running.append(run)
        return run

    def _events(self, kind: type[Kind]) -> list[Kind]:
        return [event for run in [*self.running, *self.done] for event in run.of(kind)]

    # -- what must be true after every rule

    @invariant()
    def check_all(self) -> None:
        self.check_limit()
        self.check_statistics()
        self.check_attempts()
        self.model.check_pauses()
        for run in self.running:
            self.model.check_run(run)
        self.done += [run for run in self.running if run.ended is not None]
        self.running = [run for run in self.running if run.ended is None]
        if not self.running:
            self.check_rest()

    def check_limit(self) -> None:
        """Never more in flight than slots, and no slot is free that somebody waits for."""
        statistics, server = self.world.statistics, self.world.server
        limit = self.options["max_concurrent"]
        if limit == "auto":
            # One more for a round of answers: most if it has never been halved.
            answers = sum(entry.fate in ("good", "broken") for entry in server.log)
            limit = _AUTO + answers // _AUTO
            assert 1 <= statistics.limit <= limit
            changes = self._events(LimitChanged)
            assert statistics.limit == _AUTO + sum(event.limit - event.before for event in changes)
        else:
            assert statistics.limit == limit
        assert server.most_in_flight <= limit
        assert max((entry.in_flight for entry in server.log), default=0) <= limit
        assert statistics.waiting == 0 or statistics.in_flight >= statistics.limit
        spare = statistics.in_flight - server.in_flight
        assert 0 <= spare <= statistics.hedges

    def check_statistics(self) -> None:
        statistics, log = self.world.statistics, self.model.log
        assert statistics.attempts == len(log)
        assert statistics.cancelled == sum(entry.fate == "cancelled" for entry in log)
        requests = {(entry.search, entry.identity) for entry in log}
        assert statistics.retries == len(log) - len(requests) - statistics.hedges
        assert statistics.hedges == len(self._events(RequestHedged))
        if statistics.hedges:
            assert self.options["hedge_after"] is not None
            assert statistics.hedges - 1 < self.options["hedge_share"] * (len(log) - 1)

    def check_attempts(self) -> None:
        """None takes longer than it may, but for rounding."""
        for entry in self.model.log:
            assert entry.took(self.world.now) <= self.options["attempt_timeout"] + 1e-6

    def check_rest(self) -> None:
        """Nothing runs: nothing is held and nobody waits."""
        statistics = self.world.statistics
        assert (statistics.in_flight, statistics.waiting) == (0, 0)
        assert self.world.server.in_flight == 0
        assert self.world.count_tasks() == 0


def test_an_endpoint_does_what_a_naive_model_says() -> None:
    run_state_machine_as_test(
        EndpointMachine,
        settings=settings(max_examples=150, stateful_step_count=30, derandomize=True),
    )
