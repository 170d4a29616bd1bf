"""Each program of examples/ runs as it is started by hand, and prints what it is there to show."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.servers.hosted_reasoner import HostedReasoner

EXAMPLES = Path(__file__).parents[2] / "examples"

#: The programs, each with a pattern that all of its output matches.
OUTPUT = {
    "first_search": r"(?s).*\w.*\n( *-\d+\.\d\d  \d+ tokens, \w+\n){1,4}\d+ rounds, \d+ tokens generated\n",
    "two_searches": r"(best of 8|beam search): .*Paris.*\nrequests still in flight: 0\n",
    "vote": r"( *\d+%  \d+\n)+",
    "reasoning_model": (
        r"( *\d+%  \d+\n)*checked: .* \(score [01], log-probability None\)\n"
        r"0 characters of thinking, None tokens of it in all\n"
    ),
    "custom_scorer": r"(?s)mean_logprob\n  \S+ very very.*\nfresh\n  \S+ long and cold, .* very long\n.*",
    "custom_selection": (
        r"top_k\n(  \S+  sat .*\n){4}FirstWords\(\)\n  \S+  sat .*\n"
        r"  \S+  a .*\n  \S+  ran .*\n  \S+  cat .*\n"
    ),
    "live_text": r"(round \d of 5, \d+ tokens: (['\"]).*\2\n){1,5}done: (max_tokens|finished)\n",
    "anytime": (
        r"5 minutes: deadline after 5, 0 rounds, ''\n25 minutes: deadline after 25, 2 rounds, '.+'\n"
        r"120 minutes: max_tokens after 60, 6 rounds, '.+'\n"
    ),
    "failures": (
        r"drop_beam\n  max_tokens, 4 rounds: '.*'\n  a beam failed in round 3: .*\n"
        r"cancel_siblings\n  failed: .*\n  failed, 2 rounds: '.+'\n  a beam failed in round 3: .*\n"
    ),
    "many_prompts": (
        r"(?s)(?=.*whale)(?=.*camel)(?=.*monkey)(?=.*penguin)"
        r'(?-s:(\{"prompt": ".* lives in the", "text": ".+"\}\n){4})'
    ),
    "own_benchmark": r"(?s).*Greedy.*BeamSearch.*",
}
#: Those in which the model has to know something, or when to end.
KNOWING = ("two_searches", "vote", "reasoning_model")


def run(name: str, base_url: str, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / f"{name}.py", *arguments],
        env=os.environ | {"OPENAI_BASE_URL": base_url},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_program_is_here() -> None:
    programs = {path.stem for path in EXAMPLES.glob("*.py")}
    assert programs == OUTPUT.keys() | {"fastapi_app"}
    table = (EXAMPLES / "README.md").read_text("utf-8")
    page = (EXAMPLES.parent / "docs" / "how-to" / "examples.rst").read_text("utf-8")
    assert set(re.findall(r"\(([a-z_]+)\.py\)", table)) == programs
    assert set(re.findall(r"examples/([a-z_]+)\.py", page)) == programs


@pytest.mark.parametrize("name", OUTPUT)
def test_it_prints_what_it_shows(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    base_url = request.getfixturevalue("embedded_url" if name in KNOWING else "base_url")
    few = ["benchmark.num_problems=3", "output.plots=false"] if name == "own_benchmark" else []
    output = run(name, base_url, tmp_path, *few)
    assert re.fullmatch(OUTPUT[name], output), output


def test_a_hosted_reasoning_model_without_log_probabilities(tmp_path: Path) -> None:
    hosted = HostedReasoner()
    with hosted.serve() as base_url:
        output = run("reasoning_model", base_url, tmp_path)
    assert re.fullmatch(
        r"( *\d+%  \d+\n){1,3}checked: '17 \* 23 = 391' \(score 1, log-probability None\)\n"
        r"599 characters of thinking, 1600 tokens of it in all\n",
        output,
    ), output
    assert output.splitlines()[0].endswith("  391")
    assert not any("logprobs" in body for body in hosted.bodies)


def test_the_how_to_shows_the_program() -> None:
    page = (EXAMPLES.parent / "docs" / "how-to" / "reasoning.md").read_text("utf-8")
    program = (EXAMPLES / "reasoning_model.py").read_text("utf-8")
    assert f"```python\n{program}```" in page


def app() -> Any:
    spec = importlib.util.spec_from_file_location("fastapi_app", EXAMPLES / "fastapi_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


def test_the_web_service(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the test client about httpx
        from fastapi.testclient import TestClient  # noqa: PLC0415

        monkeypatch.setenv("OPENAI_BASE_URL", base_url)
        with TestClient(app()) as client:
            good = client.get("/continue", params={"prompt": "Once upon a time"})
            assert good.status_code == 200
            assert good.json()["text"]
            assert client.get("/continue").status_code == 422
            late = client.get("/continue", params={"prompt": "Once", "seconds": 0.001})
            assert late.status_code == 504
            assert client.app.state.endpoint.statistics().in_flight == 0  # type: ignore[attr-defined]
