"""The progress of a run, in virtual time."""

from __future__ import annotations

import io

import msgspec
import pytest
import trio
import trio.testing
from rich.console import Console

from tests.benchmark.test_store import record_of
from trio_beam.benchmark.config import load_settings
from trio_beam.benchmark.progress import ProgressStats, format_duration, progress, verdict
from trio_beam.benchmark.records import Record
from trio_beam.benchmark.strategies import LabelledStrategy, enabled_strategies


def greedy() -> LabelledStrategy:
    return enabled_strategies(load_settings([]))[0]


def record(**changes: object) -> Record:
    return msgspec.structs.replace(record_of(), completion_tokens=50, seconds=2.0, **changes)


async def test_pace_counts_and_extrapolates(autojump_clock: trio.testing.MockClock) -> None:
    stats = ProgressStats(greedy(), 10, [record(passed=True), record(passed=False, error="lost")])
    assert (stats.done, stats.passed, stats.failed) == (2, 1, 1)
    assert "left" not in str(stats)
    await trio.sleep(10)
    stats.count(record(passed=True))
    await trio.sleep(10)
    stats.count(record(passed=False))
    # Two problems in 20 s, six are left.
    assert str(stats) == "2 passed, 1 failed, 100 tokens, 5 tokens/s, 1 min left"
    for _ in range(6):
        stats.count(record(passed=True))
    assert "left" not in str(stats)


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
        observer.finished(record(passed=True))
        observer.finished(record(passed=False, error="[bold]lost"))
        observer.say("[BeamSearch] a line")
    lines = file.getvalue().splitlines()
    assert lines[0] == "Greedy: 3 problems, 1 of them already there"
    assert lines[1].startswith("Greedy: 2/3 p/1 passed (2.0 s); 2 passed, 50 tokens")
    assert lines[2].startswith("Greedy: 3/3 p/1 failed: [bold]lost (2.0 s)")
    assert lines[3] == "[BeamSearch] a line"


async def test_a_terminal_gets_a_bar_for_each_strategy() -> None:
    file = io.StringIO()
    console = Console(file=file, width=150, force_terminal=True, color_system=None)
    with progress(console) as observer:
        observer.begin(greedy(), 2, [])
        observer.finished(record(passed=True))
        observer.finished(record(passed=False, error="lost"))
    shown = file.getvalue()
    assert "Greedy" in shown
    assert "2/2" in shown
    assert "1 passed, 1 failed, 100 tokens" in shown
    assert "p/1: lost" in shown
