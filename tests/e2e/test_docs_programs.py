"""Programs and commands of the docs are run, as they stand there, on the embedded model."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
#: Pages whose blocks of Python, one behind the other, are a program.
PROGRAMS = [
    "tutorial.md",
    "failures.md",
    "how-to/scorer.md",
    "how-to/selection.md",
    "how-to/observer.md",
    "how-to/dialect.md",
    "how-to/rewards.md",
    "how-to/fields.md",
]
#: The address that they name.
ADDRESS = "http://127.0.0.1:8000/v1"


def run(command: list[str | Path], base_url: str) -> str:
    done = subprocess.run(
        command,
        env=os.environ | {"OPENAI_BASE_URL": base_url},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("page", PROGRAMS)
def test_its_program_runs(page: str, base_url: str, tmp_path: Path) -> None:
    found = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)
    program = tmp_path / "program.py"
    program.write_text("\n".join(found).replace(ADDRESS, base_url), "utf-8")
    assert run([sys.executable, "-W", "error", program], base_url)


def commands() -> list[str]:
    text = (DOCS / "tutorial.md").read_text("utf-8")
    lines = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    return re.findall(r"^uv run --extra local trio-beam (.*)$", lines, re.MULTILINE)


def test_the_tutorial_has_commands() -> None:
    assert len(commands()) >= 4


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_tutorial_runs(command: str, embedded_url: str) -> None:
    assert run([sys.executable, "-m", "trio_beam", *shlex.split(command)], embedded_url).strip()
