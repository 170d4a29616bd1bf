"""A batch that is killed at random moments, again and again, has each answer of an undisturbed one once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.batch.batches import prompts, read, run
from tests.batch.killed import PROMPTS
from trio_beam.batch.folder import Answer
from trio_beam.testing import FakeEndpoint

KILLS = 20
ROOT = Path(__file__).parents[2]


def timeless(folder: Path) -> list[Answer]:
    return sorted(
        (msgspec.structs.replace(one, seconds=0.0) for one in read(folder)), key=lambda one: one.id
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills as POSIX does")
async def test_killed_twenty_times(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    done = subprocess.run(  # noqa: ASYNC221  # nothing else goes on here
        [sys.executable, "-m", "tests.batch.killed", str(folder), str(KILLS), "3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lives = [line.split() for line in done.stdout.splitlines()]
    assert [how for how, *_ in lives] == ["killed"] * KILLS + ["ended"]
    assert lives[-1][1] == "0"
    counts = [int(count) for *_, count in lives]
    assert counts == sorted(counts), "an answer was lost"
    assert counts[-2] < PROMPTS, "it was not killed before its end"
    await run(tmp_path / "undisturbed", prompts(PROMPTS), FakeEndpoint())
    expected = timeless(tmp_path / "undisturbed")
    assert len(expected) == PROMPTS
    assert timeless(folder) == expected  # each id once, and no torn line
