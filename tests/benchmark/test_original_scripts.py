"""The original's commands, as they are written, from ``scripts/``: they run, with the output it documents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.chat_server import ChatServer, chat_server

SCRIPTS = Path(__file__).parents[2] / "scripts"
EXPECTED_SYNTAX = """\
✅ All async methods defined correctly!
✅ Method signatures validated!

📊 Async methods:
  - _sample_continuation_multiple_async (async)
  - _expand_beams_parallel (async)
  - _generate_async (async)
  - generate (sync wrapper using asyncio.run)

✅ Async implementation syntax is CORRECT!
🚀 Ready for testing with real API calls
"""


def run(script: str, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script from its folder, as its users do."""
    ours = {"XAI_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"}
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        [sys.executable, script, *args],
        cwd=SCRIPTS,
        env={**inherited, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )


def at(server: ChatServer, folder: Path) -> list[str]:
    """Keys that bring a command to a server and its files to a folder."""
    return [
        f"model.xai.base_url={server.url}",
        "model.dialect=openai",
        f"output.results_dir={folder / 'results'}",
        f"output.predictions_dir={folder / 'predictions'}",
        "output.plots=false",
    ]


def test_the_syntax_test_says_what_it_says() -> None:
    done = run("test_async_syntax.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(EXPECTED_SYNTAX)


def test_a_command_of_its_documentation_prints_16_blocks_of_192(tmp_path: Path) -> None:
    command = ["beam_search.enabled=true", "beam_search.debug=true", "benchmark.num_problems=2"]
    with chat_server("```python\ndef f():\n    return 1\n```") as server:
        done = run("run_benchmark.py", *command, *at(server, tmp_path), XAI_API_KEY="xai-key")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines.count("[BeamSearch] Generating 16 blocks of 192 tokens") == 2
    assert "HUMANEVAL BENCHMARK RESULTS" in lines
    assert any(
        line.startswith("| humaneval ") and "| BeamSearch(α=4.0,width=2,n=2,tps=192) |" in line
        for line in lines
    )
    assert {body["max_tokens"] for body in server.bodies} == {192, 3072}
    assert {headers["authorization"] for headers in server.headers} == {"Bearer xai-key"}
    names = {path.name for path in (tmp_path / "predictions").iterdir()}
    assert names == {
        "humaneval_grok_3_mini_Greedy.jsonl",
        "humaneval_grok_3_mini_BeamSearch_α4.0_width2_n2_tps192.jsonl",
    }
    for path in (tmp_path / "predictions").iterdir():
        samples = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        assert [sample["task_id"] for sample in samples] == ["HumanEval/0", "HumanEval/1"]


def test_the_search_test_prints_its_lines() -> None:
    with chat_server("def factorial(n): return 1") as server:
        done = run(
            "test_async_beam_search.py",
            f"model.xai.base_url={server.url}",
            "model.dialect=openai",
            XAI_API_KEY="xai-key",
        )
    assert done.returncode == 0, done.stderr
    for line in (
        "Testing Async Beam Search",
        "Generating with async beam search...",
        "[BeamSearch] TRUE beam search (ASYNC): beam_width=2, n_per_beam=2",
        "RESULTS",
        "def factorial(n): return 1",
        "⚡ Expansions: 1",
        "✅ Test PASSED: Generated code contains expected patterns",
    ):
        assert line in done.stdout.splitlines()
    assert {body["model"] for body in server.bodies} == {"grok-2-1212"}
    assert "xai-key" not in done.stdout + done.stderr


@pytest.mark.parametrize("script", ["run_benchmark.py", "test_async_beam_search.py"])
def test_an_address_in_the_environment_counts(script: str, tmp_path: Path) -> None:
    with chat_server("def factorial(n): return 1") as server:
        more = at(server, tmp_path)[2:] if script == "run_benchmark.py" else []
        done = run(
            script,
            "model.dialect=openai",
            "benchmark.num_problems=1",
            *more,
            OPENAI_BASE_URL=server.url,
            OPENAI_API_KEY="sk-key",
            XAI_API_KEY="xai-key",
        )
    assert done.returncode == 0, done.stderr
    assert server.bodies
    assert {headers["authorization"] for headers in server.headers} == {"Bearer sk-key"}
    assert "OPENAI_BASE_URL is set, so its server answers" in done.stdout + done.stderr


def test_headers_and_fields_reach_the_server(tmp_path: Path) -> None:
    with chat_server("no code") as server:
        done = run(
            "run_benchmark.py",
            "benchmark.num_problems=1",
            *("--header", "X-Trace: 7"),
            *("--extra-body", '{"reasoning_effort": "low"}'),
            "+model.extra_body.user.name=me",
            *at(server, tmp_path),
            XAI_API_KEY="xai-key",
        )
    assert done.returncode == 0, done.stderr
    assert server.headers[0]["x-trace"] == "7"
    assert server.bodies[0]["reasoning_effort"] == "low"
    assert server.bodies[0]["user"] == {"name": "me"}
    (config,) = (tmp_path / "results").rglob("config.yaml")
    assert "X-Trace" not in config.read_text("utf-8")
