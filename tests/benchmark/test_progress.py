"""The progress of a run, in virtual time."""

from __future__ import annotations

import io

import msgspec
import pytest
import trio
import trio.testing
from rich.console import Console

from tests.benchmark.test_store import record_of
from trio_beam.benchmark.config import load_settings, parse_args
from trio_beam.benchmark.progress import ProgressStats, progress, verdict
from trio_beam.benchmark.records import Record
from trio_beam.benchmark.strategies import LabelledStrategy, enabled_strategies
from trio_beam.command.output import format_duration


def greedy() -> LabelledStrategy:
    return enabled_strategies(load_settings([]))[0]


def record(**changes: object) -> Record:
    return msgspec.structs.replace(record_of(), completion_tokens=50, seconds=2.0, **changes)


async def test_pace_counts_and_extrapolates(autojump_clock: trio.testing.MockClock) -> None:
    stats = ProgressStats(greedy(), 10, [record(passed=True), record(passed=False, error="lost")])
    assert (stats.pace.done, stats.passed, stats.failed) == (2, 1, 1)
    assert "left" not in str(stats)
    await trio.sleep(10)
    stats.pace.tokens += 100  # of searches that are under way
    assert str(stats) == "1 passed, 1 failed, 100 tokens, 10 tokens/s"
    stats.count(record(passed=True))
    await trio.sleep(10)
    stats.count(record(passed=False))
    # Two problems in 20 s, six are left.
    assert str(stats) == "2 passed, 1 failed, 100 tokens, 5 tokens/s, 1 min left"
    for _ in range(6):
        stats.count(record(passed=True))
    assert str(stats) == "8 passed, 1 failed, 100 tokens, 5 tokens/s"
    await trio.sleep(1000)  # others are at work
    assert str(stats) == "8 passed, 1 failed, 100 tokens, 5 tokens/s"


async def test_answers_that_are_not_graded_are_not_called_failed() -> None:
    stats = ProgressStats(greedy(), 2, [])
    stats.count(record(passed=None))
    assert str(stats).startswith("not graded")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3000, "50 min"),
        (3600, "1 h 00 min"),
        (7500, "2 h 05 min"),
    ],
)
def test_seconds_as_people_read_them(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"passed": True}, "passed"),
        ({"passed": False}, "did not pass"),
        ({"passed": None}, "answered"),
        ({"passed": False, "error": "lost"}, "failed: lost"),
    ],
)
def test_what_came_of_a_problem(changes: dict[str, object], words: str) -> None:
    assert verdict(record(**changes)) == words


async def test_a_file_gets_a_line_for_each_problem() -> None:
    file = io.StringIO()
    with progress(Console(file=file, width=40)) as observer:
        observer.begin(greedy(), 3, [record(passed=True)])
        observer.generated(50)
        observer.finished(record(passed=True))
        observer.finished(record(passed=False, error="[bold]lost"))
        observer.say("[BeamSearch] a line")
    lines = file.getvalue().splitlines()
    assert lines[0] == "Greedy: 3 problems, 1 of them already there"
    assert lines[1].startswith("Greedy: 2/3 p/1 passed (2.0 s); 2 passed, 50 tokens")
    assert lines[2].startswith("Greedy: 3/3 p/1 failed: [bold]lost (2.0 s)")
    assert lines[3] == "[BeamSearch] a line"


async def test_a_terminal_gets_a_bar_for_each_strategy_within_80_columns() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=True, color_system=None)
    wide = load_settings(parse_args(["beam_search.enabled=true", "beam_search.beam_width=128"]))
    with progress(console) as observer:
        assert "getting ready" in drawn(console, observer)
        for strategy in enabled_strategies(wide):
            observer.begin(strategy, 2, [])
            observer.generated(12)
            shown = drawn(console, observer)
            assert "getting ready" not in shown
            assert "0/2" in shown
            assert "0:00:0" in shown
            assert "0 passed, 12 tokens, " in shown
            assert "tokens/s" in shown
            observer.finished(record(passed=True))
            observer.finished(record(passed=False, error="lost"))
        shown = drawn(console, observer)
        assert "1 passed, 1 failed, 12 tokens" in shown
        assert max(map(len, shown.splitlines())) <= 80
    assert "p/1: lost" in file.getvalue()


def drawn(console: Console, observer: object) -> str:
    """What the display shows at this moment."""
    file = io.StringIO()
    Console(file=file, width=console.width).print(observer._bars.get_renderable())  # type: ignore[attr-defined]
    return file.getvalue()
