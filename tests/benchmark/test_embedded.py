"""The command as people give it, on the embedded model: two small problems, then the same again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from trio_beam.benchmark.store import read_records

SCRIPT = Path(__file__).parents[2] / "scripts" / "run_benchmark.py"
PROBLEMS = [
    {"id": "sky", "prompt": "What colour is the sky?", "answer": "blue", "grading": "exact"},
    {"id": "sum", "prompt": "What is 2 + 3?", "answer": "5"},
]


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    file = tmp_path / "problems.jsonl"
    file.write_text("".join(json.dumps(problem) + "\n" for problem in PROBLEMS))
    return [
        f"benchmark.name=jsonl:{file}",
        "benchmark.max_tokens=8",
        "beam_search.enabled=true",
        "beam_search.tokens_per_step=4",
        f"output.results_dir={tmp_path / 'results'}",
        "model.local.context=512",
        "model.local.threads=1",
    ]


async def command(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if "API_KEY" not in name}
    with trio.fail_after(300):
        return await trio.run_process(
            [sys.executable, str(SCRIPT), *words],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=folder,
            env=environment,
        )


async def test_the_command_runs_without_a_key_and_without_a_server(
    tmp_path: Path, words: list[str]
) -> None:
    done = await command(tmp_path, *words)
    assert done.returncode == 0, done.stderr.decode()
    shown = done.stdout.decode()
    assert "BENCHMARK RESULTS" in shown
    assert "Greedy" in shown
    assert "BeamSearch(α=4.0,width=2,n=2,tps=4)" in shown
    (folder,) = (tmp_path / "results").iterdir()
    records = read_records(folder)
    assert {(one.strategy, one.problem) for one in records} == {
        (strategy, problem) for strategy in ("greedy", "beam_search") for problem in ("sky", "sum")
    }
    for record in records:
        assert not record.error
        assert record.exact
        assert record.passed is not None
        assert record.completion_tokens > 0
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for name in ("pass_rate_against_tokens", "time_against_width", "score_against_rounds"):
        assert {f"plots/{name}.svg", f"plots/{name}.png"} <= names
    assert {"config.yaml", "results.json", "results.csv", "report.md"} <= names

    again = await command(tmp_path, *words)
    assert again.returncode == 0, again.stderr.decode()
    assert again.stdout == done.stdout
    assert read_records(folder) == records
