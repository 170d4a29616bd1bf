"""What a batch costs: estimated before it runs, limited while it runs, and in its answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from tests.batch.batches import read
from tests.batch.test_command import invoke, write_prompts
from tests.servers.mock_server import completion
from tests.servers.socket_server import threaded_server
from trio_beam.batch.folder import Answer, Expense, Folder
from trio_beam.batch.prompts import PromptRecord
from trio_beam.batch.run import Plan, Searcher
from trio_beam.testing import Reply, ScriptedModel

#: Each search has 7 tokens of prompt in each of 3 requests, and 2 x 2 x 2 + 2 x 4 generated ones.
PRICES = ["--price-input", 1, "--price-output", 10]


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with threaded_server() as served:
        yield served


def test_a_dry_run_tells_what_a_run_takes_and_writes_nothing(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    prompts, out = write_prompts(tmp_path / "prompts.jsonl", 10), tmp_path / "out"
    done = invoke(server, prompts, "--out", out, "--dry-run", 2, *PRICES)
    assert done.exit_code == 0, done.stderr
    assert not out.exists()
    asked = len(server[1])
    done = invoke(server, prompts, "--out", out, *PRICES)
    assert done.exit_code == 0, done.stderr
    assert len(server[1]) - asked == 5 * asked
    answers = read(out)
    (cost,) = {answer.cost for answer in answers}
    assert cost is not None
    assert cost == pytest.approx(
        sum(one.prompt_tokens + 10 * one.completion_tokens for one in answers[:1]) / 1e6
    )
    again = invoke(server, prompts, "--out", tmp_path / "other", "--dry-run", 2, *PRICES)
    lines = again.stdout.splitlines()
    assert lines[0].startswith("dry run: 2 of 10 prompts in ")
    assert lines[0].endswith(f", ${2 * cost:.5f}; nothing was written")
    tokens = 10 * answers[0].completion_tokens
    assert f"  generated tokens  {tokens} [{tokens}, {tokens}]" in lines
    assert f"  cost              ${10 * cost:.4f} [${10 * cost:.4f}, ${10 * cost:.4f}]" in lines
    left = invoke(server, prompts, "--out", out, "--dry-run", 2, *PRICES)
    assert left.stdout == "dry run: no prompt is left\n"


def test_without_a_price_a_dry_run_says_so(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", 3)
    done = invoke(server, prompts, "--out", tmp_path / "out", "--dry-run", 1)
    assert done.exit_code == 0, done.stderr
    assert "cost              no price is known" in done.stdout
    assert (
        "[" not in done.stdout.split("generated tokens")[1].splitlines()[0]
    )  # one has no interval


def test_a_run_stops_before_it_costs_more_and_goes_on_with_a_higher_limit(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    prompts, out = write_prompts(tmp_path / "prompts.jsonl", 10), tmp_path / "out"
    words = [prompts, "--out", out, *PRICES, "--max-searches", 2, "--max-run-cost"]
    done = invoke(server, *words, 0.001)
    assert done.exit_code == 1
    assert "the rest of the run could cost more than --max-run-cost" in done.stderr
    answers = read(out)
    assert 0 < len(answers) < 10
    assert {answer.stop_reason for answer in answers} == {"max_tokens"}
    assert sum(answer.cost or 0 for answer in answers) <= 0.001
    done = invoke(server, *words, 0.1)
    assert done.exit_code == 0, done.stderr
    assert len(read(out)) == 10
    spent = sum(answer.cost or 0 for answer in read(out))
    prompts.write_text(prompts.read_text() + '{"id": "more", "prompt": "p"}\n')
    done = invoke(server, *words, spent)
    assert done.exit_code == 1
    assert "the run has cost $" in done.stderr


def test_however_often_it_is_begun_it_costs_no_more(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    """What was cut short has no record, and was paid for."""
    prompts, out = write_prompts(tmp_path / "prompts.jsonl", 10), tmp_path / "out"
    # One after the other: of several at a time, which are cut short depends on whose response is first.
    words = [prompts, "--out", out, *PRICES, "--max-searches", 1, "--max-run-cost", 0.00102]
    ends = [invoke(server, *words) for _ in range(3)]
    assert {done.exit_code for done in ends} == {1}
    usages = [completion(body)["usage"] for body in server[1]]
    bill = sum(one["prompt_tokens"] + 10 * one["completion_tokens"] for one in usages) / 1e6
    # Five searches, and the first of three requests of the sixth.
    assert [answer.cost for answer in read(out)] == [0.000181] * 5
    assert bill == pytest.approx(5 * 0.000181 + 0.000087)


def test_a_failure_that_is_forgotten_stays_paid(tmp_path: Path) -> None:
    failure = Answer(id="a", text="", digest="d", error="no", seconds=0.0, cost=0.5)
    with Folder(tmp_path, {}, lambda _: None) as folder:
        folder.keep(failure)
    for again in (True, True, False):
        paid: list[Expense] = []
        with Folder(tmp_path, {}, lambda _: None, paid.append, retry_failed=again):
            assert paid == [Expense(id="a", cost=0.5)]


async def test_a_search_that_is_cancelled_has_a_cost(autojump_clock: MockClock) -> None:
    told: list[tuple[str, float | None]] = []
    searcher = Searcher(
        ScriptedModel([Reply("never", delay=60)]),
        Plan(strategy="greedy", values={}),
        lambda _: None,
        cut_short=lambda *cut: told.append(cut),
    )
    with trio.move_on_after(1):
        await searcher.answer(PromptRecord(id="a", prompt="p"))
    assert told == [("a", None)]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--price-input", 1], "--price-output must be given too"),
        ([*PRICES, "--prices", "openai"], "--prices must be left out"),
        (["--max-run-cost", 1], "since no price of the model is known"),
        (["--max-cost", 1], "since no price of the model is known"),
        (["--prices", "nobody"], "--prices must be 'auto', the name of a provider"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]], words: list[Any], message: str
) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    done = invoke(server, prompts, "--out", tmp_path / "out", *words)
    assert done.exit_code != 0
    assert message in done.stderr.replace("\n", " ") + done.stdout
    assert server[1] == []
