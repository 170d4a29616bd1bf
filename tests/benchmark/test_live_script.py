"""scripts/test_live.py: it passes on the embedded model, and it does fail when something is wrong."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import attrs
import pytest

import trio_beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.engine.search import beam_search
from trio_beam.testing import FakeEndpoint

SCRIPT = Path(trio_beam.__file__).parents[1] / "scripts" / "test_live.py"


def run(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_API_KEY")}
    command = [sys.executable, str(SCRIPT), *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
        cwd=folder,
    )


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("live_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_passes_on_the_embedded_model(tmp_path: Path) -> None:
    small = ("beam_search.beam_width=2", "beam_search.tokens_per_step=4", "benchmark.max_tokens=8")
    # One thread: on a busy machine several wait for each other most of the time.
    done = run(*small, "model.local.threads=1", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "The live test passed." in done.stdout
    assert "[BeamSearch]" in done.stdout
    assert "Expansions: 2" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.provider=vllm", "model.vllm.base_url=http://127.0.0.1:9/v1"], "127.0.0.1:9"),
        (["beam_search.beam_widht=2"], "beam_width"),
        (["model.provider=xai"], "XAI_API_KEY"),
    ],
)
def test_it_fails_with_a_plain_message(words: list[str], message: str, tmp_path: Path) -> None:
    done = run(*words, folder=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert "passed" not in done.stdout


async def test_it_finds_what_is_wrong_with_a_result(script: ModuleType) -> None:
    config = BeamSearchConfig(beam_width=2, tokens_per_step=4, max_tokens=8, seed=1)
    result = await beam_search(FakeEndpoint(), "x", config)
    assert list(script.faults_of(result, config)) == []
    best = result.beams[0]
    wrong = {
        "there is no text": attrs.evolve(result, text=" "),
        "not in the order": attrs.evolve(result, beams=result.beams[::-1]),
        "by its tokens": attrs.evolve(result, beams=(attrs.evolve(best, score=best.score + 1),)),
        "for a width of 2": attrs.evolve(result, beams=(best,) * 3),
        "were paid for": attrs.evolve(result, usage=type(result.usage)()),
    }
    for words, changed in wrong.items():
        assert any(words in fault for fault in script.faults_of(changed, config)), words


def test_it_asks_the_model_whose_key_is_there(script: ModuleType) -> None:
    args = script.provider_args
    assert args([], {}) == []
    assert args([], {"XAI_API_KEY": "x", "OPENAI_API_KEY": "y"}) == ["model.provider=xai"]
    assert args(["beam_search.alpha=2"], {"OPENAI_API_KEY": "y"}) == ["model.provider=openai"]
    assert args(["model.provider=local"], {"XAI_API_KEY": "x"}) == []
    assert args([], {"XAI_API_KEY": "x", "OPENAI_BASE_URL": "http://127.0.0.1/v1"}) == []
