"""Runs on a model without a server, in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs
import msgspec
import pytest
import trio
import trio.testing

from tests.benchmark.words import Notes, Words, plan_of
from trio_beam.benchmark.common.problem import BenchmarkError, Grade, Problem
from trio_beam.benchmark.records import Record
from trio_beam.benchmark.run import Run
from trio_beam.benchmark.store import Store, read_records
from trio_beam.core.language_model import SampleRequest
from trio_beam.errors import (
    AttemptTimeout,
    BeamTimeout,
    ConnectionFailed,
    EndpointError,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    ServerError,
)
from trio_beam.records.run_stopped import RunStopped
from trio_beam.testing import FakeEndpoint

BOTH = ("beam_search.enabled=true", "beam_search.tokens_per_step=8")


async def run(
    folder: Path, *words: str, model: FakeEndpoint | None = None, benchmark: Words | None = None
) -> tuple[list[Record], Notes]:
    """Run to the end; all records by strategy and problem, and what the observer saw."""
    plan, notes = plan_of(folder, *words), Notes()
    with Store(folder) as store:
        work = Run(plan, benchmark or Words(), store, notes)
        await work.load()
        await work.grade()
        await work.answer(model or FakeEndpoint())
        return [one for strategy in plan.strategies for one in work.records(strategy)], notes


def timeless(records: list[Record]) -> list[Record]:
    return [msgspec.structs.replace(record, seconds=0.0) for record in records]


def failing(
    error: Callable[[], EndpointError], *problems: int
) -> Callable[[SampleRequest], Awaitable[None]]:
    """Before a request is answered: the requests with these numbers fail."""
    seen = iter(range(10**6))

    async def before(request: SampleRequest) -> None:
        await trio.lowlevel.checkpoint()
        if next(seen) in problems:
            raise error()

    return before


async def test_every_strategy_has_a_record_of_every_problem(tmp_path: Path) -> None:
    records, notes = await run(tmp_path, *BOTH)
    seen = [(record.strategy, record.problem) for record in records]
    kinds = ("greedy", "beam_search")
    assert seen == [(kind, f"words/{k}") for kind in kinds for k in range(10)]
    assert notes.begun == [("greedy", 10, 0), ("beam_search", 10, 0)]
    assert sorted(notes.records, key=repr) == sorted(records, key=repr)
    for record in records:
        assert record.passed is (record.text.count(" cat") >= record.meta["k"] % 3)
        assert record.answer == (str(record.text.count(" cat")) if record.text else None)
        assert bool(record.detail) is not record.passed
        assert record.completion_tokens > 0
        assert record.error == ""
    assert {record.passed for record in records} == {True, False}


async def test_what_a_record_of_a_search_says(tmp_path: Path) -> None:
    records, _ = await run(tmp_path, *BOTH, "greedy.enabled=false", "benchmark.num_problems=3")
    for record in records:
        assert 1 <= record.rounds <= 3
        assert len(record.round_scores) == record.rounds
        assert record.search_score is not None
        assert record.requests >= record.rounds
        assert record.stop_reason in ("finished", "max_tokens")
        assert record.exact
        assert record.seed is not None
    assert len({record.seed for record in records}) == 3


async def test_problems_go_side_by_side(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    model = FakeEndpoint(latency=60.0)
    start = trio.current_time()
    records, _ = await run(
        tmp_path, "benchmark.num_problems=12", "benchmark.max_concurrent_problems=4", model=model
    )
    assert trio.current_time() - start == pytest.approx(180)
    assert [record.seconds for record in records] == pytest.approx([60.0] * 12)


async def test_the_same_command_has_the_same_records_however_it_is_scheduled(
    tmp_path: Path,
) -> None:
    words = (*BOTH, "temperature_sampling.enabled=true", "self_consistency.enabled=true")
    one, _ = await run(tmp_path / "1", *words, "benchmark.max_concurrent_problems=1")
    other, _ = await run(tmp_path / "2", *words, "benchmark.max_concurrent_problems=7")
    assert timeless(one) == timeless(other)


async def test_what_is_there_is_not_done_again(tmp_path: Path) -> None:
    first, _ = await run(tmp_path, "benchmark.num_problems=4")
    model = FakeEndpoint()
    second, notes = await run(tmp_path, *BOTH, "benchmark.num_problems=6", model=model)
    assert notes.begun == [("greedy", 6, 4), ("beam_search", 6, 0)]
    assert second[:4] == first
    greedy = [record.problem for record in notes.records if record.strategy == "greedy"]
    assert sorted(greedy) == ["words/4", "words/5"]


@pytest.mark.parametrize(
    "word",
    ["benchmark.seed=43", "prompt.suffix=!", "benchmark.max_tokens=23", "model.local.context=512"],
)
async def test_another_configuration_is_done_anew(tmp_path: Path, word: str) -> None:
    await run(tmp_path, "benchmark.num_problems=2")
    _, notes = await run(tmp_path, "benchmark.num_problems=2", word)
    assert notes.begun == [("greedy", 2, 0)]
    assert len(notes.records) == 2


async def test_a_problem_that_asks_something_else_is_done_anew(tmp_path: Path) -> None:
    class Changed(Words):
        def load(self, count: int | None, seed: int) -> list[Problem]:
            first, *rest = super().load(count, seed)
            return [Problem(id=first.id, prompt="What else?", reference=first.reference), *rest]

    await run(tmp_path)
    _, notes = await run(tmp_path, benchmark=Changed())
    assert [record.problem for record in notes.records] == ["words/0"]


async def test_a_failure_is_a_record_and_counts_as_not_passed(tmp_path: Path) -> None:
    def lost() -> EndpointError:
        return MalformedResponse("the line is dead")

    model = FakeEndpoint(before=failing(lost, 1))
    words = ("benchmark.num_problems=3", "benchmark.max_concurrent_problems=1")
    records, _ = await run(tmp_path, *words, model=model)
    assert [record.passed is False and bool(record.error) for record in records] == [
        False,
        True,
        False,
    ]
    assert "the line is dead" in records[1].error
    assert (records[1].stop_reason, records[1].text, records[1].score) == ("failed", "", 0.0)

    again, notes = await run(tmp_path, *words)
    assert again == records
    assert notes.records == []
    mended, notes = await run(tmp_path, *words, "output.retry_failed=true")
    assert [record.problem for record in notes.records] == ["words/1"]
    assert not any(record.error for record in mended)
    assert [mended[0], mended[2]] == [records[0], records[2]]


async def test_many_failures_in_a_row_end_the_run(tmp_path: Path) -> None:
    def lost() -> EndpointError:
        return MalformedResponse("the line is dead")

    model = FakeEndpoint(before=failing(lost, *range(100)))
    words = ("benchmark.stop_after_failures=3", "benchmark.max_concurrent_problems=1")
    with pytest.RaisesGroup(pytest.RaisesExc(RunStopped, match="3 problems in a row")):
        await run(tmp_path, *words, model=model)
    assert len(model.requests) == 3
    with Store(tmp_path) as store:
        assert len(store) == 3


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_a_refusal_that_all_would_meet_ends_the_run_without_a_record(
    tmp_path: Path, status: int
) -> None:
    def refused() -> EndpointError:
        return RequestRejected("no such key", status=status)

    model = FakeEndpoint(before=failing(refused, 0))
    with pytest.RaisesGroup(pytest.RaisesExc(RunStopped, match="no such key")):
        await run(tmp_path, "benchmark.max_concurrent_problems=1", model=model)
    with Store(tmp_path) as store:
        assert len(store) == 0


async def test_answers_that_were_not_graded_are_graded_later_without_a_request(
    tmp_path: Path,
) -> None:
    ungraded, _ = await run(tmp_path, *BOTH, benchmark=Words(can_grade=False))
    assert {record.passed for record in ungraded} == {None}
    model, benchmark = FakeEndpoint(), Words()
    graded, notes = await run(tmp_path, *BOTH, model=model, benchmark=benchmark)
    assert model.requests == []
    assert notes.records == []
    assert len(benchmark.graded) == 20
    direct, _ = await run(tmp_path / "direct", *BOTH)
    assert timeless(graded) == timeless(direct)


async def test_a_grader_that_breaks_has_not_passed_the_text(tmp_path: Path) -> None:
    class Broken(Words):
        async def grade(self, problem: Problem, completion: str) -> Grade:
            if problem.id == "words/1":
                raise RecursionError("too deep")
            return await super().grade(problem, completion)

    records, _ = await run(tmp_path, "benchmark.num_problems=3", benchmark=Broken())
    assert records[1].passed is False
    assert records[1].error == "the grading broke: RecursionError: too deep"
    assert records[1].text
    assert not records[0].error

    model, benchmark = FakeEndpoint(), Words()
    words = ("benchmark.num_problems=3", "output.retry_failed=true")
    mended, _ = await run(tmp_path, *words, model=model, benchmark=benchmark)
    assert (model.requests, benchmark.graded) == ([], ["words/1"])
    assert not mended[1].error
    assert mended[1].passed is not None


async def test_an_answer_is_on_disk_before_it_is_graded(tmp_path: Path) -> None:
    class Looks(Words):
        async def grade(self, problem: Problem, completion: str) -> Grade:
            found = {one.problem: one for one in read_records(tmp_path)}
            assert found[problem.id].text == completion
            assert found[problem.id].passed is None
            return await super().grade(problem, completion)

    records, _ = await run(tmp_path, benchmark=Looks())
    assert None not in {record.passed for record in records}


async def test_answers_whose_grading_was_cut_off_are_graded_by_the_next_run(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    class Slow(Words):
        async def grade(self, problem: Problem, completion: str) -> Grade:
            await trio.sleep(1000)
            return await super().grade(problem, completion)

    words = ("benchmark.num_problems=5",)
    with Store(tmp_path) as store:
        work = Run(plan_of(tmp_path, *words), Slow(), store, Notes())
        await work.load()
        with trio.move_on_after(500):
            await work.answer(FakeEndpoint())
    assert [record.passed for record in read_records(tmp_path)] == [None] * 5
    model = FakeEndpoint()
    records, notes = await run(tmp_path, *words, model=model)
    assert model.requests == []
    assert None not in {record.passed for record in records}
    assert notes.lines == ["5 answers are there without a grade: they are graded first"]


async def test_grading_that_cannot_be_done_ends_the_run_and_keeps_the_answer(
    tmp_path: Path,
) -> None:
    class Missing(Words):
        async def grade(self, problem: Problem, completion: str) -> Grade:
            raise BenchmarkError("install it")

    with pytest.RaisesGroup(pytest.RaisesExc(BenchmarkError, match="install it")):
        await run(
            tmp_path,
            "benchmark.num_problems=2",
            "benchmark.max_concurrent_problems=1",
            benchmark=Missing(),
        )
    (record,) = read_records(tmp_path)
    assert record.text
    assert record.passed is None


async def test_a_run_that_is_cancelled_keeps_what_was_finished(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    model = FakeEndpoint(latency=10.0)
    words = ("benchmark.num_problems=8", "benchmark.max_concurrent_problems=2")
    with Store(tmp_path) as store:
        work = Run(plan_of(tmp_path, *words), Words(), store, Notes())
        await work.load()  # in a thread, which the format_duration does not wait for
        with trio.move_on_after(25) as scope:
            await work.answer(model)
    assert scope.cancelled_caught
    assert model.in_flight == 0
    with Store(tmp_path) as store:
        assert {record.problem for record in store} == {f"words/{k}" for k in range(4)}
    records, notes = await run(tmp_path, *words)
    assert len(records) == 8
    assert len(notes.records) == 4


async def test_debug_lines_of_a_search_come_together_and_word_for_word(tmp_path: Path) -> None:
    _, notes = await run(tmp_path, *BOTH, "beam_search.debug=true", "benchmark.num_problems=4")
    assert sorted(lines[0] for lines in notes.debugged) == [f"words/{k}:" for k in range(4)]
    for lines in notes.debugged:
        assert lines[1] == "[BeamSearch] TRUE beam search (ASYNC): beam_width=2, n_per_beam=2"
        assert lines[2] == "[BeamSearch] Generating 3 blocks of 8 tokens"
        assert all(line.startswith("[BeamSearch] ") for line in lines[1:])


async def test_a_problem_that_is_no_text_is_named_and_left_out(tmp_path: Path) -> None:
    class Odd(Words):
        def load(self, count: int | None, seed: int) -> list[Problem]:
            first, second, *rest = super().load(count, seed)
            odd = attrs.evolve(first, prompt="a\ud83d")
            answer = attrs.evolve(second, reference={"answer": "\udce9"})
            return [odd, answer, *rest]

    records, notes = await run(tmp_path, benchmark=Odd(4))
    assert [record.problem for record in records] == ["words/2", "words/3"]
    assert [line.partition(" is left out")[0] for line in notes.lines] == [
        "problem words/0",
        "problem words/1",
    ]
    assert notes.begun == [("greedy", 2, 0)]

    class AllOdd(Words):
        def load(self, count: int | None, seed: int) -> list[Problem]:
            return [attrs.evolve(one, prompt="\ud83d") for one in super().load(count, seed)]

    with pytest.raises(BenchmarkError, match="no problem is left"):
        await run(tmp_path, benchmark=AllOdd())


async def test_a_server_that_is_off_ends_the_run_without_a_record(tmp_path: Path) -> None:
    def off() -> EndpointError:
        return ConnectionFailed("nobody listens", never_sent=True)

    model = FakeEndpoint(before=failing(off, *range(100)))
    with pytest.RaisesGroup(pytest.RaisesExc(RunStopped, match="no problem would fare better")):
        await run(tmp_path, "benchmark.max_concurrent_problems=1", model=model)
    with Store(tmp_path) as store:
        assert len(store) == 0


async def test_a_server_that_goes_off_ends_the_run_and_keeps_what_it_had_answered(
    tmp_path: Path,
) -> None:
    def off() -> EndpointError:
        return ConnectionFailed("nobody listens", never_sent=True)

    model = FakeEndpoint(before=failing(off, *range(1, 100)))
    words = ("benchmark.max_concurrent_problems=1", "benchmark.num_problems=3")
    with pytest.RaisesGroup(pytest.RaisesExc(RunStopped, match="the same command goes on")):
        await run(tmp_path, *words, model=model)
    with Store(tmp_path) as store:
        assert [record.error for record in store] == [""]
    records, notes = await run(tmp_path, *words)
    assert len(notes.records) == 2
    assert not any(record.error for record in records)


@pytest.mark.parametrize(
    ("error", "recorded"),
    [
        (ConnectionFailed("cut short"), False),
        (AttemptTimeout("no answer"), False),
        (RateLimited("slow down"), False),
        (ServerError("overloaded", status=503), False),
        (MalformedResponse("half a body", transient=True), False),
        (BeamTimeout("the strategy's own limit"), True),
        (RequestRejected("too long", status=400), True),
        (MalformedResponse("no choices"), True),
    ],
    ids=repr,
)
async def test_only_a_failure_that_was_answered_is_a_record(
    tmp_path: Path, error: EndpointError, recorded: bool
) -> None:
    model = FakeEndpoint(before=failing(lambda: error, 1))
    words = ("benchmark.num_problems=3", "benchmark.max_concurrent_problems=1")
    records, notes = await run(tmp_path, *words, model=model)
    assert [bool(record.error) for record in records] == (
        [False, True, False] if recorded else [False, False]
    )
    named = [line for line in notes.lines if line.startswith("problem words/1 has no answer: ")]
    assert len(named) == (not recorded)


async def test_what_was_done_elsewhere_is_adopted(tmp_path: Path) -> None:
    first, _ = await run(tmp_path / "a", "benchmark.num_problems=3")
    plan, notes = plan_of(tmp_path / "b", *BOTH, "benchmark.num_problems=3"), Notes()
    with Store(tmp_path / "b") as store:
        work = Run(plan, Words(), store, notes)
        await work.load()
        work.import_records(first)
        assert work.unanswered() == 3
        await work.answer(FakeEndpoint())
        assert work.unanswered() == 0
        assert work.records(plan.strategies[0]) == first
    assert notes.begun == [("greedy", 3, 3), ("beam_search", 3, 0)]


async def test_self_consistency_takes_the_answer_of_the_most(tmp_path: Path) -> None:
    words = ("self_consistency.enabled=true", "self_consistency.n=9", "greedy.enabled=false")
    records, _ = await run(tmp_path, *words)
    for record in records:
        assert record.answer == record.votes[0][0]
        shares = [share for _, share in record.votes]
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) == pytest.approx(1)
    assert any(len(record.votes) > 1 for record in records)
