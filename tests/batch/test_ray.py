"""The same answers from a cluster that loses a machine and a server in the middle, and no process is left."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from tests.batch.batches import prompts, read
from tests.batch.ray_cluster import ENVIRONMENT
from tests.servers.socket_server import threaded_server
from trio_beam.batch.folder import Answer, Folder
from trio_beam.batch.job import Job
from trio_beam.batch.progress import BatchProgress
from trio_beam.batch.prompts import PromptRecord
from trio_beam.batch.ray_engine import _Keeper
from trio_beam.batch.ray_worker import OUTCOME, SHARD, ShardSearch, WorkerTask
from trio_beam.batch.run import Plan
from trio_beam.batch.shards import Shard, ShardOutcome, read_shards, shard_size, write_shards
from trio_beam.errors import TrioBeamError
from trio_beam.records import from_line, to_line
from trio_beam.records.run_stopped import RunStopped

ROOT = Path(__file__).parents[2]
PROMPTS = 40
#: Of the process of a run and all that it starts.
MARK = f"TRIO_BEAM_TESTED_BY={os.getpid()}"
SEARCH = [
    *["--max-tokens", "6", "--tokens-per-step", "3", "--seed", "1", "--max-searches", "8"],
    *["--price-input", "1", "--price-output", "2"],
]


@contextmanager
def program(*words: object) -> Iterator[subprocess.Popen[str]]:
    """A program of the tests, which ends with its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", *map(str, words)],
        cwd=ROOT,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    print(file=process.stdin, flush=True)


class Runs:
    """Batches over the same prompts."""

    def __init__(self, folder: Path) -> None:
        self.prompts = folder / "prompts.jsonl"
        rows = [{"id": f"p{number}", "prompt": f"p {number}"} for number in range(PROMPTS)]
        self.prompts.write_bytes(b"\n".join(map(msgspec.json.encode, rows)))

    def begin(self, out: Path, *words: object, urls: list[str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "trio_beam", "batch", str(self.prompts), "--out", str(out)]
        servers = [word for url in urls for word in ("--base-url", url)]
        kept = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
        return subprocess.Popen(
            [*command, *servers, "--model", "m", "--dialect", "openai", *SEARCH, *map(str, words)],
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=kept | ENVIRONMENT | dict([MARK.split("=")]),
        )

    def end(self, process: subprocess.Popen[str], code: int = 0) -> str:
        _, stderr = process.communicate(timeout=240)
        assert process.returncode == code, stderr
        assert "Traceback" not in stderr, stderr
        return stderr


def answers(out: Path) -> dict[str, Answer]:
    """By id, without what a repeated request changes."""

    def plain(one: Answer) -> Answer:
        # A request that was lost on its way may have been charged for.
        cost = round((one.cost or 0) - one.uncertain_cost, 9)
        changes = {"seconds": 0.0, "requests": 0, "cost": cost, "uncertain_cost": 0.0}
        return msgspec.structs.replace(one, **changes)

    found = {one.id: plain(one) for one in read(out)}
    assert len(found) == len(read(out)), "an id is there twice"
    return found


def left_behind() -> list[str]:
    """The processes that a run has left."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if MARK.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue  # it has ended, or is another's
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def expected(runs: Runs) -> dict[str, Answer]:
    """What one process wrote."""
    with threaded_server() as (url, _):
        out = runs.prompts.parent / "one"
        runs.end(runs.begin(out, urls=[url]))
    found = answers(out)
    assert len(found) == PROMPTS
    for one in found.values():
        assert one.cost == pytest.approx((one.prompt_tokens + 2 * one.completion_tokens) / 1e6)
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_a_lost_machine_and_a_lost_server_change_nothing(
    tmp_path: Path, runs: Runs, expected: dict[str, Answer]
) -> None:
    out = tmp_path / "out"
    with ExitStack() as stack:
        cluster = stack.enter_context(program("tests.batch.ray_cluster"))
        one, other = (stack.enter_context(program("tests.batch.replica", 12)) for _ in range(2))
        urls = [line_of(one), line_of(other)]
        with threaded_server() as (url, _):  # begun by one process
            runs.end(runs.begin(out, "--limit", 5, urls=[url]))
        address = line_of(cluster)
        run = runs.begin(out, "--engine", "ray", "--address", address, urls=urls)
        assert line_of(one) == line_of(other) == "held"
        one.kill()
        tell(cluster)
        assert line_of(cluster) == "killed"
        tell(other)
        stderr = runs.end(run)
        assert "5 prompts done already, 35 left" in stderr
        assert re.search(r"40 answers in .*, \$0\.00\d+", stderr), stderr
    assert answers(out) == expected
    assert not left_behind()


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_ctrl_c_leaves_no_process_and_one_process_goes_on(
    tmp_path: Path, runs: Runs, expected: dict[str, Answer]
) -> None:
    out = tmp_path / "out"
    # Of 120 requests. At most 32 wait, and the 16 searches at a time have at most two responses each before
    # their last, so some have ended by then; 30 at most, of 40.
    with program("tests.batch.replica", 90) as replica:
        url = line_of(replica)
        run = runs.begin(out, "--engine", "ray", "--workers", 2, urls=[url])
        assert line_of(replica) == "held"
        deadline = time.monotonic() + 120
        while not (out / "results.jsonl").stat().st_size:
            assert time.monotonic() < deadline
        run.send_signal(signal.SIGINT)
        assert "the same command goes on" in runs.end(run, code=130)
        assert not left_behind()
        tell(replica)
        done = answers(out)
        assert 0 < len(done) < PROMPTS
        runs.end(runs.begin(out, urls=[url]))
    found = answers(out)
    assert found == expected
    assert {name: found[name] for name in done} == done


def test_shards_have_all_prompts_in_order(tmp_path: Path) -> None:
    records = [*prompts(300), PromptRecord(id="own", prompt=[], search={"max_tokens": 1})]
    path = tmp_path / "shards"
    groups = list(write_shards(path, records, 4))
    assert len(groups) > 1
    assert sum(group.prompts for group in groups) == 301
    # As Ray reads them: each by its place, in any order.
    encoded = [read_shards(path, group.start, group.length) for group in reversed(groups)]
    shards = [msgspec.msgpack.decode(one, type=Shard) for group in encoded for one in group]
    shards.sort(key=lambda shard: shard.first)
    assert [shard.first for shard in shards] == list(range(0, 301, 4))
    assert [one for shard in shards for one in shard.prompts()] == records


def test_a_slow_prompt_holds_up_few_others() -> None:
    assert [shard_size(searches) for searches in (1, 16, 64, 10_000)] == [1, 2, 8, 64]


def worker(url: str, **values: Any) -> ShardSearch:
    plan = Plan(strategy="greedy", values={"max_tokens": 2, **values}, max_searches=3)
    server = {"base_url": url, "model": "m", "dialect": "openai"}
    return ShardSearch(WorkerTask(servers=[server, server], plan=plan))


def outcome_of(searcher: ShardSearch, *records: PromptRecord) -> ShardOutcome:
    shard = Shard(7, [(one.id, one.prompt, one.search) for one in records])
    row = searcher({SHARD: msgspec.msgpack.encode(shard)})
    return msgspec.msgpack.decode(row[OUTCOME], type=ShardOutcome)


def test_a_worker_answers_in_the_order_of_the_shard() -> None:
    wrong = PromptRecord(id="wrong", prompt="p", search={"beam_widht": 1})
    with threaded_server() as (url, _):
        outcome = outcome_of(worker(url), *prompts(5), wrong)
    found = [from_line(line, Answer) for line in outcome.lines if line is not None]
    assert [one.id for one in found if one] == [f"p{number}" for number in range(5)] + ["wrong"]
    assert [bool(one.error) for one in found if one] == [False] * 5 + [True]
    assert (outcome.first, outcome.stopped) == (7, "")


def test_a_worker_says_why_the_run_stops() -> None:
    with threaded_server() as (url, _):
        pass  # it has gone
    outcome = outcome_of(worker(url), *prompts(5))
    assert outcome.lines == [None] * 5
    assert "no prompt would fare better" in outcome.stopped


def test_a_worker_of_another_version_is_refused() -> None:
    task = WorkerTask(servers=[], plan=Plan(strategy="greedy", values={}), version="0.0.1")
    with pytest.raises(TrioBeamError, match=r"started by 0\.0\.1: install the same"):
        ShardSearch(task)


async def test_outcomes_are_kept_once_and_none_is_missing(tmp_path: Path) -> None:
    lines = [to_line(Answer(id=f"p{number}", text="t", digest="d")) for number in range(4)]
    twice = [ShardOutcome(0, [*lines[:2]]), ShardOutcome(2, [lines[2], None])] * 2
    with Folder(tmp_path, {}, print) as folder:
        plan = Plan(strategy="greedy", values={})
        shown = BatchProgress(None, 4)
        job = Job(servers=[], pending=iter(()), plan=plan, folder=folder, progress=shown, given={})
        keeper = _Keeper(job, 4)
        with pytest.raises(RunStopped, match="1 prompts came back without an outcome"):
            await trio.to_thread.run_sync(keeper.keep_all, twice)
        assert [one.id for one in read(tmp_path)] == ["p0", "p1", "p2"]
        stopping = ShardOutcome(2, [None, lines[3]], stopped="the key is wrong")
        with pytest.raises(RunStopped, match="the key is wrong"):
            await trio.to_thread.run_sync(keeper.keep_all, [stopping])
    assert [one.id for one in read(tmp_path)] == ["p0", "p1", "p2", "p3"]
