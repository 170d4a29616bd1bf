"""scripts/test_syntax.py: it passes, calls nothing, and does fail when something is wrong."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import trio_beam

SCRIPT = Path(trio_beam.__file__).parents[1] / "scripts" / "test_syntax.py"


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("syntax_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_passes_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("ok ") == 6
    assert "The interface is as documented." in done.stdout
    assert done.stderr == ""


def test_it_opens_no_connection(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("subprocess.Popen", refuse)
    assert script.run() == 0


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("BeamSearchSampling.generate", None, "BeamSearchSampling.generate is not there"),
        ("beam_search", len, "trio_beam.beam_search is not asynchronous"),
        ("BeamSearchConfig", dict, "a bad beam_width is taken"),
        ("benchmark.registry.HumanEval.grade", print, "humaneval: grade is not asynchronous"),
        ("benchmark.registry.HumanEval", None, "'NoneType' object is not callable"),
        ("benchmark.config.parse_args", list, "AttributeError"),
    ],
)
def test_it_fails_when_something_is_wrong(
    name: str,
    value: object,
    words: str,
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(f"trio_beam.{name}", value)
    assert script.run() == 1
    out, err = capsys.readouterr()
    assert "FAILED" in out
    assert words in err


def test_a_changed_default_is_a_fault(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(script.STRATEGY, "alpha", 3.0)
    assert script.run() == 1
    assert "the default of alpha is 4.0, not 3.0" in capsys.readouterr().err


def test_a_missing_package_is_named(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    def check() -> Iterator[str]:
        """It needs a package."""
        yield "a fault before"
        raise ModuleNotFoundError(name="dotenv")

    assert script.run([check]) == 1
    err = capsys.readouterr().err
    assert "a fault before" in err
    assert "dotenv is missing" in err
