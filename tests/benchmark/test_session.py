"""A command's work on a model without a server: what it prints, writes, takes up again and sweeps."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio
from rich.console import Console

from tests.benchmark.words import Words, opener
from trio_beam.benchmark.common.problem import Benchmark, BenchmarkError, Problem
from trio_beam.benchmark.config import load_settings, parse_args
from trio_beam.benchmark.overrides import combinations
from trio_beam.benchmark.plan import Plan, make_plan
from trio_beam.benchmark.session import PlannedRun, Session
from trio_beam.benchmark.store import FolderInUse, Store, read_records
from trio_beam.core.language_model import SampleRequest
from trio_beam.errors import ConfigError, ConnectionFailed, EndpointError, MalformedResponse
from trio_beam.observers import Trace
from trio_beam.records.run_stopped import RunStopped
from trio_beam.testing import FakeEndpoint
from trio_beam.traces import read_trace, replay

SHORT = ["benchmark.name=words", "benchmark.max_tokens=24", "benchmark.num_problems=6"]
BEAM = ["beam_search.enabled=true", "beam_search.tokens_per_step=8"]
NO_PLOTS = "output.plots=false"


class Command:
    """A session with what it prints."""

    def __init__(
        self,
        folder: Path,
        *words: str,
        model: FakeEndpoint | None = None,
        benchmark: Words | None = None,
    ) -> None:
        self.model = model or FakeEndpoint()
        self.benchmark = benchmark or Words()
        folders = [f"output.results_dir={folder}", f"output.predictions_dir={folder}/predictions"]
        overrides = parse_args([*SHORT, *folders, *words])
        chosen = combinations(overrides)
        swept = {word.partition("=")[0] for word in words if "," in word}
        self.plans: list[Plan] = [make_plan(load_settings(one), {}) for one in chosen]
        self.out, self.err = io.StringIO(), io.StringIO()
        self.session = Session(
            planned=[
                PlannedRun(plan=plan, swept=[one for one in words_of if one.key in swept])
                for plan, words_of in zip(self.plans, chosen, strict=True)
            ],
            out=Console(file=self.out, width=160),
            err=Console(file=self.err, width=160),
            open_model=opener(self.model),  # type: ignore[arg-type]
            open_problems=self._open,
        )

    def _open(self, plan: Plan) -> Benchmark:
        del plan
        return self.benchmark

    async def run(self, code: int = 0) -> Command:
        async with trio.open_nursery() as nursery:
            assert await self.session(nursery) == code
        return self

    @property
    def folder(self) -> Path:
        return self.plans[0].folder

    def results(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "results.json").read_text("utf-8"))
        return found


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def sweep_in(folder: Path) -> Path:
    (found,) = folder.glob("sweep-*")
    return found


def labels_of_sweep(folder: Path) -> list[str]:
    results = json.loads((sweep_in(folder) / "results.json").read_text("utf-8"))
    return sorted(row["label"] for row in results["strategies"])


async def test_it_prints_the_table_the_differences_and_the_summary(tmp_path: Path) -> None:
    done = await Command(tmp_path, *BEAM, NO_PLOTS).run()
    printed = done.out.getvalue()
    for words in (
        "WORDS BENCHMARK RESULTS",
        "Strategy",
        "Pass Rate (%)",
        "Avg Time (s)",
        "Total Tokens",
        "Avg Tokens/Problem",
        "Problems",
        "Greedy",
        "BeamSearch(α=4.0,width=2,n=2,tps=8)",
        "SmolLM2-135M-Instruct",
        "DIFFERENCES ON THE SAME PROBLEMS",
        "SUMMARY",
    ):
        assert words in printed
    passed = {
        strategy: sum(r.strategy == strategy and r.passed is True for r in records(done.folder))
        for strategy in ("greedy", "beam_search")
    }
    for count in passed.values():
        assert f"{100 * count / 6:.1f}% [" in printed
    assert str(done.folder) in done.err.getvalue().replace("\n", "")
    assert done.benchmark.closed == 1


def records(folder: Path) -> Sequence[Any]:
    return read_records(folder)


async def test_it_writes_what_it_prints(tmp_path: Path) -> None:
    done = await Command(tmp_path, *BEAM).run()
    assert files_in(done.folder) == {
        "config.yaml",
        "records.jsonl",
        "report.html",
        "report.md",
        "results.csv",
        "results.json",
        *(
            f"plots/{name}.{kind}"
            for name in ("pass_rate_against_tokens", "time_against_width", "score_against_rounds")
            for kind in ("png", "svg")
        ),
    }
    results = done.results()
    written = records(done.folder)
    for row in results["strategies"]:
        own = [one for one in written if one.strategy == row["strategy"]]
        assert row["problems"] == row["wanted"] == len(own) == 6
        assert row["passed"] == sum(one.passed for one in own)
        assert row["pass_rate"] == pytest.approx(row["passed"] / 6)
        assert row["pass_rate_low"] <= row["pass_rate"] <= row["pass_rate_high"]
        assert row["generated_tokens"] == sum(one.completion_tokens for one in own)
        assert row["total_tokens"] == row["generated_tokens"] + sum(o.prompt_tokens for o in own)
        assert row["seconds_per_problem"] == pytest.approx(sum(o.seconds for o in own) / 6)
    (pair,) = results["comparisons"]
    greedy, beam = (
        {one.problem for one in written if one.strategy == kind and one.passed}
        for kind in ("greedy", "beam_search")
    )
    assert pair["only_first"] == len(greedy - beam)
    assert pair["only_second"] == len(beam - greedy)
    assert 0 <= pair["p"] <= pair["adjusted_p"] <= 1
    rows = list(csv.DictReader((done.folder / "results.csv").read_text("utf-8").splitlines()))
    assert [row["label"] for row in rows] == [row["label"] for row in results["strategies"]]
    assert [float(row["pass_rate"]) for row in rows] == sorted(
        (float(row["pass_rate"]) for row in rows), reverse=True
    )
    report = (done.folder / "report.md").read_text("utf-8")
    for name in files_in(done.folder / "plots"):
        assert (f"plots/{name}" in report) == name.endswith(".svg")
    page = (done.folder / "report.html").read_text("utf-8")
    for one in written:
        assert one.text in page
    assert page.count("The story of cat ") == 6


async def test_its_configuration_is_kept_and_can_be_run_again(tmp_path: Path) -> None:
    done = await Command(tmp_path, *BEAM, NO_PLOTS).run()
    again = make_plan(load_settings([], done.folder / "config.yaml"), {})
    assert again.folder == done.folder


async def test_answers_are_written_under_the_originals_name(tmp_path: Path) -> None:
    await Command(tmp_path, *BEAM, NO_PLOTS).run()
    names = {path.name for path in (tmp_path / "predictions").iterdir()}
    model = "SmolLM2_135M_Instruct"
    assert names == {
        f"words_{model}_Greedy.jsonl",
        f"words_{model}_BeamSearch_α4.0_width2_n2_tps8.jsonl",
    }
    path = tmp_path / "predictions" / f"words_{model}_Greedy.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert len(lines) == 6
    assert lines[4] == {
        "question": "The story of cat 4:",
        "predicted_answer": lines[4]["predicted_answer"],
        "ground_truth": 1,
        "k": 4,
    }
    other = tmp_path / "other"
    await Command(other, NO_PLOTS, "output.predictions_dir=null").run()
    assert not (other / "predictions").exists()


async def test_a_file_that_cannot_be_written_is_said_in_plain_words(tmp_path: Path) -> None:
    (tmp_path / "predictions").write_text("not a folder")
    with pytest.RaisesGroup(
        pytest.RaisesExc(BenchmarkError, match="cannot write"), flatten_subgroups=True
    ):
        await Command(tmp_path, NO_PLOTS).run()
    command = Command(tmp_path, NO_PLOTS, "benchmark.seed=1")
    (command.folder / "results.json").mkdir(parents=True)
    with pytest.RaisesGroup(
        pytest.RaisesExc(BenchmarkError, match=r"cannot write .*results\.json"),
        flatten_subgroups=True,
    ):
        await command.run()
    assert len(records(command.folder)) == 6
    assert not [name for name in files_in(tmp_path) if name.endswith(".part")]


async def test_debug_lines_are_on_standard_output(tmp_path: Path) -> None:
    done = await Command(tmp_path, *BEAM, NO_PLOTS, "beam_search.debug=true").run()
    lines = done.out.getvalue().splitlines()
    assert lines.count("[BeamSearch] Generating 3 blocks of 8 tokens") == 6
    assert "[BeamSearch]" not in done.err.getvalue()


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        ([NO_PLOTS], {"plots"}),
        (
            ["output.save_results=false"],
            {"plots", "results.json", "results.csv", "report.md", "report.html"},
        ),
    ],
)
async def test_what_is_not_wanted_is_not_written(
    tmp_path: Path, words: list[str], left_out: set[str]
) -> None:
    done = await Command(tmp_path, *words).run()
    assert not {path.name for path in done.folder.iterdir()} & left_out
    assert len(records(done.folder)) == 6


async def test_the_same_command_finds_its_run_and_asks_nothing(tmp_path: Path) -> None:
    first = await Command(tmp_path, *BEAM, NO_PLOTS).run()
    second = await Command(tmp_path, *BEAM, NO_PLOTS).run()
    assert second.folder == first.folder
    assert second.model.requests == []
    assert second.out.getvalue() == first.out.getvalue()


async def test_more_problems_go_on_in_the_same_folder(tmp_path: Path) -> None:
    first = await Command(tmp_path, NO_PLOTS).run()
    more = await Command(tmp_path, NO_PLOTS, "benchmark.num_problems=9").run()
    assert more.folder == first.folder
    assert len(more.model.requests) == 3
    fewer = await Command(tmp_path, NO_PLOTS, "benchmark.num_problems=2").run()
    assert fewer.results()["strategies"][0]["problems"] == 2


@pytest.mark.parametrize(
    "word",
    ["benchmark.seed=1", "beam_search.alpha=2", "prompt.suffix=!", "model.local.context=999"],
)
async def test_what_answers_depend_on_has_a_folder_of_its_own(tmp_path: Path, word: str) -> None:
    plain, other = Command(tmp_path, *BEAM), Command(tmp_path, *BEAM, word)
    assert plain.folder != other.folder


@pytest.mark.parametrize(
    "word",
    [
        "beam_search.debug=true",
        "benchmark.max_concurrent_problems=2",
        "benchmark.allow_code_execution=true",
        "model.max_concurrent=3",
        "model.local.slots=2",
        "mcmc.steps=3",
        "output.retry_failed=true",
    ],
)
async def test_what_changes_no_answer_changes_no_folder(tmp_path: Path, word: str) -> None:
    assert Command(tmp_path, *BEAM).folder == Command(tmp_path, *BEAM, word).folder


async def test_a_second_run_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    command = Command(tmp_path)
    with Store(command.folder), pytest.RaisesGroup(FolderInUse):
        await command.run()
    assert command.model.requests == []
    assert command.benchmark.closed == 1


async def test_a_torn_answer_is_said_and_done_again_a_torn_grade_costs_nothing(
    tmp_path: Path,
) -> None:
    first = await Command(tmp_path, NO_PLOTS).run()
    path = first.folder / "records.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    assert len(lines) == 12  # each answer, and then its grade
    for kept, asked in ((12, 0), (11, 1)):
        path.write_bytes(b"".join(lines[:kept])[:-10])
        again = await Command(tmp_path, NO_PLOTS).run()
        assert "1 line of records.jsonl is not whole" in again.err.getvalue()
        assert len(again.model.requests) == asked
        assert len(records(again.folder)) == 6


async def test_a_records_file_that_is_removed_meanwhile_is_there_at_the_end(
    tmp_path: Path,
) -> None:
    numbers = itertools.count(1)

    async def remove(request: SampleRequest) -> None:
        await trio.lowlevel.checkpoint()
        if next(numbers) == 4:
            os.unlink(command.folder / "records.jsonl")  # noqa: PTH108  # for an async test

    words = ["benchmark.max_concurrent_problems=1", NO_PLOTS]
    command = Command(tmp_path, *words, model=FakeEndpoint(before=remove))
    await command.run()
    assert len(records(command.folder)) == 6
    assert "that it lacked are written to it again" in command.err.getvalue()


async def test_nothing_is_left_of_a_start_that_failed(tmp_path: Path) -> None:
    class Missing(Words):
        def load(self, count: int | None, seed: int) -> Sequence[Problem]:
            raise BenchmarkError("install it")

    folder = tmp_path / "a" / "b"
    with pytest.RaisesGroup(BenchmarkError):
        await Command(folder, benchmark=Missing()).run()
    with pytest.RaisesGroup(RunStopped, flatten_subgroups=True):
        await Command(folder, "benchmark.max_concurrent_problems=1", model=off()).run()
    assert os.listdir(tmp_path) == []  # noqa: PTH208  # for an async test


async def test_answers_that_are_not_graded_are_not_called_wrong(tmp_path: Path) -> None:
    done = await Command(tmp_path, *BEAM, benchmark=Words(can_grade=False)).run()
    assert "not graded" in done.out.getvalue()
    assert "benchmark.allow_code_execution=true" in done.err.getvalue().splitlines()[-1]
    assert "0.0%" not in done.out.getvalue()
    assert {row["pass_rate"] for row in done.results()["strategies"]} == {None}
    assert done.results()["comparisons"] == []
    assert not (done.folder / "plots" / "pass_rate_against_tokens.png").exists()
    later = await Command(tmp_path, *BEAM, NO_PLOTS).run()
    assert later.model.requests == []
    assert None not in {row["pass_rate"] for row in later.results()["strategies"]}


async def test_what_cannot_be_graded_here_is_told_before_anything_is_paid_for(
    tmp_path: Path,
) -> None:
    benchmark = Words()
    benchmark.cannot_grade = "there is no sandbox"
    command = Command(tmp_path, *BEAM, benchmark=benchmark)
    with pytest.RaisesGroup(pytest.RaisesExc(BenchmarkError, match="there is no sandbox")):
        await command.run()
    assert command.model.requests == []
    assert files_in(tmp_path) == set()
    assert benchmark.closed == 1


async def test_so_is_what_only_a_later_run_of_a_sweep_cannot_grade(tmp_path: Path) -> None:
    command = Command(tmp_path, "benchmark.seed=1,2")
    second = Words()
    second.cannot_grade = "there is no sandbox"
    command.session.open_problems = lambda plan: (
        command.benchmark if plan.settings.benchmark.seed == 1 else second
    )
    with pytest.RaisesGroup(BenchmarkError):
        await command.run()
    assert command.model.requests == []
    assert files_in(tmp_path) == set()


def off() -> FakeEndpoint:
    """A server that is off."""

    async def before(request: SampleRequest) -> None:
        await trio.lowlevel.checkpoint()
        raise ConnectionFailed("nobody listens", never_sent=True)

    return FakeEndpoint(before=before)


def losing(*numbers: int, error: type[EndpointError] = MalformedResponse) -> FakeEndpoint:
    """The requests with these numbers come to nothing."""
    seen = iter(range(10**6))

    async def before(request: SampleRequest) -> None:
        await trio.lowlevel.checkpoint()
        if next(seen) in numbers:
            raise error("the line is dead")

    return FakeEndpoint(before=before)


async def test_failures_are_counted_and_listed(tmp_path: Path) -> None:
    done = await Command(tmp_path, NO_PLOTS, model=losing(1, 3)).run()
    (row,) = done.results()["strategies"]
    assert (row["problems"], row["failures"]) == (6, 2)
    assert row["pass_rate"] == row["passed"] / 6
    assert [one["error"].count("the line is dead") for one in done.results()["failures"]] == [1, 1]
    assert "Failures (counted as not passed)" in done.out.getvalue()
    assert done.out.getvalue().count("the line is dead") == 2


async def test_failures_of_an_earlier_run_are_named(tmp_path: Path) -> None:
    await Command(tmp_path, NO_PLOTS, model=losing(1, 3)).run()
    again = await Command(tmp_path, NO_PLOTS).run()
    assert again.model.requests == []
    named = "2 failures of an earlier run are kept as not passed: output.retry_failed=true"
    assert named in again.err.getvalue()
    mended = await Command(tmp_path, NO_PLOTS, "output.retry_failed=true").run()
    assert "earlier run" not in mended.err.getvalue()


async def test_answers_that_are_missing_are_named_and_exit_code_1(tmp_path: Path) -> None:
    some = await Command(tmp_path, NO_PLOTS, model=losing(1, 3, error=ConnectionFailed)).run(1)
    assert "2 answers are missing: the same command asks for them again" in some.err.getvalue()
    assert some.err.getvalue().count("has no answer: the line is dead") == 2
    mended = await Command(tmp_path, NO_PLOTS).run()
    assert len(mended.model.requests) == 2
    assert "answers are missing" not in mended.err.getvalue()


async def test_a_strategy_that_only_failed_has_measured_nothing(tmp_path: Path) -> None:
    done = await Command(tmp_path, NO_PLOTS, model=losing(*range(6))).run(1)
    assert "no problem was answered, so nothing was measured" in done.err.getvalue()
    assert "the line is dead" in done.err.getvalue()


async def test_a_run_that_had_to_stop_keeps_what_it_has(tmp_path: Path) -> None:
    words = ["benchmark.stop_after_failures=2", "benchmark.max_concurrent_problems=1", NO_PLOTS]
    command = Command(tmp_path, *words, model=losing(2, 3))
    with pytest.RaisesGroup(
        pytest.RaisesExc(RunStopped, match="2 problems in a row"), flatten_subgroups=True
    ):
        await command.run()
    assert len(records(command.folder)) == 4
    assert "4 of 6" in command.out.getvalue()
    assert command.out.getvalue().count("the line is dead") == 2
    assert command.benchmark.closed == 1
    mended = await Command(tmp_path, *words, "output.retry_failed=true").run()
    assert len(mended.model.requests) == 4
    assert mended.results()["failures"] == []


async def test_after_ctrl_c_there_is_a_table_of_what_there_is(tmp_path: Path) -> None:
    scope, numbers = trio.CancelScope(), itertools.count(1)

    async def third(request: SampleRequest) -> None:
        if next(numbers) == 3:
            scope.cancel(reason="as Ctrl-C does")
        await trio.lowlevel.checkpoint()

    words = ["benchmark.max_concurrent_problems=1"]
    command = Command(tmp_path, *words, model=FakeEndpoint(before=third))
    with scope:
        await command.run()
    command.session.interrupted()
    assert "2 of 6" in command.out.getvalue()
    assert "the same command goes on from here" in command.err.getvalue()
    assert len(records(command.folder)) == 2
    assert command.model.in_flight == 0


async def test_after_ctrl_c_before_anything_there_is_no_table(tmp_path: Path) -> None:
    command = Command(tmp_path)
    with trio.CancelScope() as scope, suppress(trio.Cancelled):
        scope.cancel()
        await command.run()
    command.session.interrupted()
    assert command.out.getvalue() == ""
    assert "interrupted" in command.err.getvalue()


async def test_a_sweep_has_a_folder_for_each_and_a_table_for_all(tmp_path: Path) -> None:
    words = [*BEAM, NO_PLOTS, "beam_search.beam_width=2,3,4"]
    done = await Command(tmp_path, *words).run()
    assert len({plan.folder for plan in done.plans}) == 3
    for plan in done.plans:
        assert {"records.jsonl", "results.json", "report.md"} <= files_in(plan.folder)
        assert len(records(plan.folder)) == 12
    # What was not swept is the same in all of them, was done once, and is shown once.
    labels = [f"BeamSearch(α=4.0,width={width},n=2,tps=8)" for width in (2, 3, 4)]
    assert labels_of_sweep(tmp_path) == [*labels, "Greedy"]
    assert sum(r.max_tokens == 24 for r in done.model.requests) == 6
    assert done.out.getvalue().count("BENCHMARK RESULTS") == 1
    again = await Command(tmp_path, *words).run()
    assert again.model.requests == []
    assert again.out.getvalue() == done.out.getvalue()
    assert sweep_in(tmp_path).is_dir()


async def test_a_sweep_has_plots_for_all(tmp_path: Path) -> None:
    await Command(tmp_path, *BEAM, "beam_search.beam_width=2,3", "benchmark.num_problems=1").run()
    assert f"{sweep_in(tmp_path).name}/plots/time_against_width.svg" in files_in(tmp_path)


async def test_a_sweep_of_what_no_label_shows_names_it(tmp_path: Path) -> None:
    await Command(tmp_path, *BEAM, NO_PLOTS, "beam_search.length_penalty=0.6,1.0").run()
    label = "BeamSearch(α=4.0,width=2,n=2,tps=8)"
    assert labels_of_sweep(tmp_path) == [
        *(f"{label} beam_search.length_penalty={value}" for value in ("0.6", "1.0")),
        "Greedy",
    ]


async def test_problems_are_opened_before_anything_is_asked(tmp_path: Path) -> None:
    command = Command(tmp_path, "benchmark.seed=1,2")
    opened: list[int | None] = []

    def refuse_the_second(plan: Plan) -> Benchmark:
        opened.append(plan.settings.benchmark.seed)
        if len(opened) == 2:
            raise ConfigError("benchmark.name", "one that there is", "wrods")
        return command.benchmark

    command.session.open_problems = refuse_the_second
    with pytest.RaisesGroup(ConfigError):
        await command.run()
    assert command.model.requests == []
    assert files_in(tmp_path) == set()


async def test_every_search_is_traced_with_its_problem(tmp_path: Path) -> None:
    command = Command(tmp_path, *BEAM, NO_PLOTS)
    command.session.trace = Trace(tmp_path / "run.jsonl")
    await command.run()
    labels = [found.began.label for found in read_trace(tmp_path / "run.jsonl").searches]
    assert [label.startswith("BeamSearch(") for label in labels].count(True) == 6
    assert {label.rpartition(": ")[2] for label in labels} == {
        f"words/{number}" for number in range(6)
    }
    replay(tmp_path / "run.jsonl", search=3)
