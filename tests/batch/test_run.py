"""A run over many prompts: each id once, the same whatever the order, and what stops it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio
from rich.console import Console
from trio.testing import MockClock

from tests.batch.batches import VALUES, Notes, failures, opened, prompts, read, run
from tests.servers.mock_server import MockServer
from trio_beam import BeamSearchConfig, ConnectionFailed, RequestRejected, ServerError, search
from trio_beam.batch.folder import WORK, Answer, Folder, RunChanged
from trio_beam.batch.progress import BatchProgress
from trio_beam.batch.prompts import BadPrompts, PromptRecord
from trio_beam.batch.run import Plan
from trio_beam.batch.work import WorkList
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.seeds import base_seed
from trio_beam.records import RecordsInUse, RecordsUnusable
from trio_beam.records.run_stopped import RunStopped
from trio_beam.testing import FakeEndpoint, ScriptedModel


def timeless(answers: list[Answer]) -> dict[str, Answer]:
    found = {one.id: msgspec.structs.replace(one, seconds=0.0) for one in answers}
    assert len(found) == len(answers), "an id is there twice"
    return found


def leftovers(folder: Path) -> list[Path]:
    return list(folder.glob(f"*/{WORK}*"))


async def test_each_prompt_has_the_answer_of_a_search_with_its_own_seed(tmp_path: Path) -> None:
    records = prompts(5)
    notes = await run(tmp_path, records, FakeEndpoint())
    answers = timeless(read(tmp_path))
    assert set(answers) == {record.id for record in records}
    for record in records:
        seed = base_seed(5, f" id {record.id}")
        config = BeamSearchConfig(**{**VALUES, "seed": seed})
        expected = await search(FakeEndpoint(), record.prompt, config)
        found = answers[record.id]
        assert (found.text, found.score, found.seed) == (expected.text, expected.score, seed)
        assert found.completion_tokens == expected.usage.completion_tokens
    assert len({one.seed for one in answers.values()}) == 5
    assert notes.tokens == sum(one.completion_tokens for one in answers.values())


async def test_order_concurrency_and_restarts_change_nothing(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    records = prompts(40)
    await run(tmp_path / "one", records, FakeEndpoint(latency=1), max_searches=1)
    await run(tmp_path / "many", records, FakeEndpoint(latency=1), max_searches=40)
    await run(tmp_path / "shuffled", records, FakeEndpoint(latency=1), shuffle_seed=3)
    for limit in (1, 7, 0, 32):
        await run(tmp_path / "pieces", records, FakeEndpoint(), limit=limit)
    expected = timeless(read(tmp_path / "one"))
    for name in ("many", "shuffled", "pieces"):
        assert timeless(read(tmp_path / name)) == expected
    shuffled = [one.id for one in read(tmp_path / "shuffled")]
    assert shuffled != [record.id for record in records]
    assert not leftovers(tmp_path)


async def test_what_was_done_is_not_done_again(tmp_path: Path) -> None:
    await run(tmp_path, prompts(4), FakeEndpoint())
    model = FakeEndpoint()
    notes = await run(tmp_path, prompts(6), model)
    assert [one.id for one in notes.answers] == ["p4", "p5"]


async def test_a_cancelled_run_keeps_what_is_done(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    with trio.move_on_after(4.5) as scope:
        await run(tmp_path, prompts(8), FakeEndpoint(latency=1), max_searches=2)
    assert scope.cancelled_caught
    done = timeless(read(tmp_path))
    assert 2 <= len(done) < 8
    await run(tmp_path, prompts(8), FakeEndpoint())
    answers = timeless(read(tmp_path))
    assert len(answers) == 8
    assert {name: answers[name] for name in done} == done


async def _odd_fail(request: SampleRequest) -> None:
    await trio.lowlevel.checkpoint()
    if request.seed is not None and request.seed % 2 and not request.beam.length:
        raise ServerError("lost", status=500)


async def test_failures_are_apart_and_tried_again_on_request(tmp_path: Path) -> None:
    records = prompts(20)
    await run(tmp_path, records, FakeEndpoint(before=_odd_fail))
    failed = timeless(failures(tmp_path))
    assert 0 < len(failed) < 20
    assert not failed.keys() & timeless(read(tmp_path)).keys()
    assert all("lost" in one.error for one in failed.values())
    again = await run(tmp_path, records, FakeEndpoint())
    assert again.answers == []
    again = await run(tmp_path, records, FakeEndpoint(), retry_failed=True)
    assert {one.id for one in again.answers} == failed.keys()
    assert failures(tmp_path) == []
    assert len(timeless(read(tmp_path))) == 20


async def test_too_many_failures_stop_it(tmp_path: Path) -> None:
    model = ScriptedModel([ServerError("lost", status=500)])
    with pytest.RaisesGroup(
        pytest.RaisesExc(RunStopped, match="4 prompts failed"), flatten_subgroups=True
    ):
        await run(tmp_path, prompts(9), model, max_failures=3, max_searches=1)
    assert len(failures(tmp_path)) == 4


@pytest.mark.parametrize(
    "error",
    [
        RequestRejected("bad key", status=401),
        ConnectionFailed("no server", never_sent=True),
    ],
)
async def test_what_every_prompt_would_meet_stops_it_at_once(
    error: Exception, tmp_path: Path
) -> None:
    with pytest.RaisesGroup(RunStopped, flatten_subgroups=True):
        await run(tmp_path, prompts(9), ScriptedModel([error]), max_searches=1)
    assert failures(tmp_path) == read(tmp_path) == []


async def test_it_says_that_the_rate_is_kept(tmp_path: Path, autojump_clock: MockClock) -> None:
    server = MockServer(latency=2)
    async with server.endpoint(requests_per_minute=3) as endpoint:
        notes = await run(tmp_path, prompts(4), endpoint, values={**VALUES, "max_tokens": 3})
        console = Console(record=True, width=200)
        shown = BatchProgress(console, 1)
        for seconds in (*notes.pauses, 1.0, 43.0):
            shown.paused(seconds)
    assert len(read(tmp_path)) == 4
    assert notes.pauses == [62]
    assert console.export_text() == "paused for the rate: 1 min\n"


async def test_a_prompt_may_have_parameters_of_its_own(tmp_path: Path) -> None:
    records = [
        PromptRecord(id="usual", prompt="p"),
        PromptRecord(id="short", prompt="p", search={"max_tokens": 1}),
        PromptRecord(id="other", prompt="p", search={"strategy": "greedy", "max_tokens": 2}),
        PromptRecord(id="wrong", prompt="p", search={"beam_widht": 1}),
        PromptRecord(id="unknown", prompt="p", search={"strategy": "magic"}),
    ]
    await run(tmp_path, records, FakeEndpoint(), all_beams=True)
    answers = timeless(read(tmp_path))
    assert answers.keys() == {"usual", "short", "other"}
    assert answers["short"].completion_tokens == 4
    assert [len(answers[name].beams) for name in ("usual", "other")] == [2, 1]
    wrong = timeless(failures(tmp_path))
    assert "beam_widht" in wrong["wrong"].error
    assert "magic" in wrong["unknown"].error


@pytest.mark.parametrize(
    "name", ["best_of_n", "greedy", "power_sampling", "self_consistency", "mcmc"]
)
def test_another_strategy_keeps_the_seed_and_the_limits_of_the_run(name: str) -> None:
    limits = {"max_tokens": 6, "max_cost": 0.5, "max_requests": 9, "stop": ["\n"]}
    plan = Plan(strategy="beam_search", values={**limits, **VALUES, "beam_width": 3})
    record = PromptRecord(id="a", prompt="p", search={"strategy": name})
    made = plan.strategy_for(record)
    assert made.seed == plan.strategy_for(PromptRecord(id="a", prompt="p")).seed
    assert (made.max_tokens, made.max_cost, made.max_requests) == (6, 0.5, 9)
    assert made.stop == ("\n",)
    own = PromptRecord(id="a", prompt="p", search={"strategy": name, "max_cost": None, "seed": 7})
    made = plan.strategy_for(own)
    assert (made.max_cost, made.seed) == (None, base_seed(7, " id a"))


async def test_a_model_that_was_still_thinking_has_no_answer(tmp_path: Path) -> None:
    await run(tmp_path, prompts(1), ScriptedModel(["<think> and so on"]))
    (failure,) = failures(tmp_path)
    assert "thinking" in failure.error
    assert failure.reasoning == "and so on"


async def test_changes_are_named(tmp_path: Path) -> None:
    await run(tmp_path, prompts(3), FakeEndpoint())
    changed = [PromptRecord(id="p0", prompt="another"), *prompts(2)[1:]]
    with opened(tmp_path, changed) as (todo, _, unfit):
        assert sorted(unfit) == ["p0 changed", "p2 gone"]
        assert todo.left() == 0
    with pytest.raises(BadPrompts, match="records 1 and 3 have the same id, 'p0'"):
        await run(tmp_path, [*prompts(2), *prompts(1)], FakeEndpoint())


def test_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    one = {"strategy": {"name": "a", "n": 4}, "model": "m"}
    other = {"strategy": {"name": "a", "n": 5, "seed": 1}, "model": "m"}

    def note(_: Answer) -> None:
        raise AssertionError

    with Folder(tmp_path, one, note), pytest.raises(RecordsInUse), Folder(tmp_path, one, note):
        pass
    with pytest.raises(RunChanged) as caught, Folder(tmp_path, other, note):
        pass
    assert "strategy.n was 4 and is 5" in str(caught.value)
    assert "strategy.seed was not given and is 1" in str(caught.value)
    assert "model" not in str(caught.value).replace("another", "")
    with Folder(tmp_path, other, note, allow_changes=True):
        pass
    with Folder(tmp_path, other, note):
        pass


def test_a_second_run_leaves_what_the_first_has(tmp_path: Path) -> None:
    shards = (tmp_path / WORK).with_suffix(".shards")
    with opened(tmp_path, prompts(3)) as (todo, _, _):
        shards.write_bytes(b"of the first")
        with pytest.raises(RecordsInUse, match="another run is using"), WorkList(tmp_path / WORK):
            pass
        assert shards.exists()
        assert todo.left() == 3
    assert not leftovers(tmp_path.parent)
    assert list(tmp_path.iterdir()) == [tmp_path / "run.json"]


async def test_an_answer_that_cannot_be_kept_stops_it(tmp_path: Path) -> None:
    def remove(_: Answer) -> None:
        (tmp_path / "results.jsonl").unlink()

    notes = Notes(then=remove)
    unusable = pytest.RaisesExc(RecordsUnusable, match="was replaced or removed")
    with pytest.RaisesGroup(unusable, flatten_subgroups=True):
        await run(tmp_path, prompts(4), FakeEndpoint(), notes=notes, max_searches=1)
