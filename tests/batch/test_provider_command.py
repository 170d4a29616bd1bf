"""``trio-beam batch --engine openai-batch`` over a real socket: its lines, its refusals, and kills."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import trio_beam
from tests.batch.batches import read
from tests.servers.provider import Answer, Provider
from trio_beam.batch.command import batch

ENGINE = ["--engine", "openai-batch", "--strategy", "best_of_n", "--n", "2", "--max-tokens", "4"]


def write_prompts(path: Path, count: int = 4) -> Path:
    rows = [
        {"id": number, "messages": [{"role": "user", "content": "hi"}]} for number in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def invoke(*words: object) -> Result:
    return CliRunner().invoke(batch, list(map(str, words)), env={"OPENAI_API_KEY": ""})


def test_a_run_says_how_far_its_batch_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_beam.batch.provider_engine._FIRST_WAIT", 0.01)
    prompts, provider = write_prompts(tmp_path / "prompts.jsonl"), Provider()
    with provider.listening() as url:
        args = [prompts, "--out", tmp_path / "out", "--base-url", url, "--seed", 1, *ENGINE]
        done = invoke(*args)
        again = invoke(*args)
    assert (done.exit_code, again.exit_code) == (0, 0), done.stderr + again.stderr
    lines = done.stderr.splitlines()
    assert lines[0] == "batch batch-1 has begun"
    assert "batch batch-1: in_progress, 0 of 4 answered" in lines
    assert "4 answers in" in lines[-1]
    assert "4 prompts done already, 0 left" in again.stderr
    assert len(provider.batches) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "results.jsonl",
        "run.json",
    ]
    bodies = [request["body"] for request in provider.requests()]
    assert {body["model"] for body in bodies} == {"m"}
    assert len({body["seed"] for body in bodies}) == 4


def test_the_documented_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_beam.batch.provider_engine._FIRST_WAIT", 0.01)
    page = Path(trio_beam.__file__).parent.parent / "docs/batch.md"
    (line,) = [
        one
        for one in page.read_text("utf-8").splitlines()
        if "trio-beam batch" in one and "openai-batch" in one and one.startswith("trio-beam")
    ]
    prompts, out, provider = write_prompts(tmp_path / "prompts.jsonl"), tmp_path / "out", Provider()
    with provider.listening() as url:
        places = {"prompts.jsonl": prompts, "answers": out, "https://api.openai.com/v1": url}
        done = invoke(*[places.get(word, word) for word in line.split()[2:]])
    assert done.exit_code == 0, done.stderr
    assert len(read(out)) == 4
    assert {request["body"]["n"] for request in provider.requests()} == {8}


REFUSED: list[tuple[list[str], str]] = [
    (["--strategy", "beam_search"], "a single round: this one continues its texts"),
    (["--strategy", "power_sampling"], "a single round: this one continues its texts"),
    (
        ["--strategy", "mcmc", "--steps", "0", "--tokens-per-step", "9", "--max-tokens", "9"],
        "one text after",
    ),
    ([*ENGINE[2:], "--scorer", "judge"], "its scorer asks a model about the texts"),
    (["--strategy", "self_consistency", "--settle", "certain"], "settle waits for some samples"),
    ([*ENGINE[2:], "--cache", "x"], "--cache has no use"),
    ([*ENGINE[2:], "--address", "here:1"], "--address"),
    ([*ENGINE[2:], "--tpm", "99"], "have no use with --engine openai-batch"),
    ([*ENGINE[2:], "--dialect", "vllm"], "goes with --dialect openai, not vllm"),
    ([*ENGINE[2:], "--local"], "needs a provider: name its --base-url"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED)
def test_what_batches_cannot_do_is_refused_before_anything_is_made(
    words: list[str], said: str, tmp_path: Path
) -> None:
    prompts, out = write_prompts(tmp_path / "prompts.jsonl"), tmp_path / "out"
    server = [] if "--local" in words else ["--base-url", "http://127.0.0.1:9/v1"]
    done = invoke(prompts, "--out", out, *server, "--engine", "openai-batch", *words)
    assert done.exit_code == 2, done.stderr
    assert said in done.stderr
    assert not out.exists()


def test_what_stops_a_run_is_one_line(tmp_path: Path) -> None:
    prompts, provider, out = write_prompts(tmp_path / "prompts.jsonl"), Provider(), tmp_path / "out"
    handle = provider.handle
    with provider.listening() as url:
        args = [prompts, "--out", out, "--base-url", url, *ENGINE]

        def without_files(method: str, url: str, *rest: Any) -> Answer:
            return (404, {}) if "files" in url else handle(method, url, *rest)

        provider.handle = without_files  # type: ignore[method-assign, assignment]
        done = invoke(*args)
        provider.handle = handle  # type: ignore[method-assign]
        assert done.exit_code == 1
        said = done.stderr.strip().splitlines()
        assert "this server takes no batches" in said[-1]
        whole = (out / "openai-batch.sqlite").read_bytes()
        (out / "openai-batch.sqlite").write_bytes(b"something else" * 999)
        done = invoke(*args)
        assert done.exit_code == 1
        assert "openai-batch.sqlite cannot be used: file is not a database" in done.stderr
        (out / "openai-batch.sqlite").write_bytes(whole)
        assert not provider.batches


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_killed_at_any_moment_it_goes_on_and_sends_nothing_twice(tmp_path: Path) -> None:
    """The provider kills it: before and after it has done what it was asked for."""
    prompts, pid = write_prompts(tmp_path / "prompts.jsonl", 20), tmp_path / "pid"
    provider = Provider()
    handle, moments = (
        provider.handle,
        [
            *["POST /v1/files", "POST /v1/batches", "GET /v1/batches/batch-1"],
            "GET /v1/files/file-2/content",
        ],
    )
    left = [(moment, after) for moment in moments for after in (False, True)]

    def killing(method: str, url: str, *rest: Any) -> Answer:
        if not left or left[0][0] != f"{method} {url}":
            return handle(method, url, *rest)
        _, after = left.pop(0)
        answer = handle(method, url, *rest) if after else (503, {})
        os.kill(int(pid.read_text()), signal.SIGKILL)
        return answer

    provider.handle = killing  # type: ignore[method-assign, assignment]
    with provider.listening() as url:
        args = [prompts, "--out", tmp_path / "out", "--base-url", url, "--seed", "1", *ENGINE]
        command = [sys.executable, "-m", "tests.batch.killed_provider", str(pid), *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    ends = [line for line in done.stdout.splitlines() if line.startswith(("killed", "ended"))]
    assert ends == ["killed -9"] * 8 + ["ended 0"], done.stderr
    assert len(provider.uploaded) == len(provider.batches) == 1
    assert sorted(one.id for one in read(tmp_path / "out")) == sorted(map(str, range(20)))
