"""docs/problems.md says what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import trio_beam
from trio_beam.benchmark.registry import NAMES, open_benchmark
from trio_beam.benchmark.sandbox import Limits
from trio_beam.benchmark.sets import choice, maths

DOCUMENT = Path(trio_beam.__file__).parents[1] / "docs" / "problems.md"


@pytest.fixture(scope="module")
def text() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


def test_the_table_has_every_name(text: str) -> None:
    assert re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE) == list(NAMES)


def test_the_repositories_are_those_of_the_loaders(text: str) -> None:
    for source in (maths._GSM8K, maths._MATH500, choice._MMLU, choice._GPQA):
        assert f"`{source.repository}`" in text


def test_the_example_is_a_file_that_loads(text: str, tmp_path: Path) -> None:
    found = re.search(r"```json\n(.*?)```", text, re.DOTALL)
    assert found is not None
    path = tmp_path / "own.jsonl"
    path.write_text(found[1], encoding="utf-8")
    problems = open_benchmark(f"jsonl:{path}").load(None, 0)
    ways = [problem.reference["grading"] for problem in problems]
    assert ways == ["number", "math", "choice", "exact"]


def test_the_limits_are_those_of_the_sandbox(text: str) -> None:
    limits = Limits()
    assert f"{limits.seconds:g} s (verifiers 20 s)" in text
    assert f"{limits.memory >> 30} GiB" in text
    assert f"{limits.file_size >> 20} MiB of" in text
    assert "one process" in text
