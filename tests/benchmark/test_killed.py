"""A run that is killed at random moments, again and again, ends with the records of an undisturbed one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.benchmark.killed_run import PROBLEMS, run
from trio_beam.benchmark.records import Record
from trio_beam.benchmark.store import read_records
from trio_beam.records import from_line

KILLS = 20
ROOT = Path(__file__).parents[2]


def records_of(folder: Path) -> dict[object, Record]:
    """By their keys, without their times."""
    records = read_records(folder)
    return {record.key: msgspec.structs.replace(record, seconds=0.0) for record in records}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills as POSIX does")
async def test_killed_twenty_times(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    done = subprocess.run(  # noqa: ASYNC221  # nothing else goes on here
        [sys.executable, "-m", "tests.benchmark.killed_run", str(folder), str(KILLS), "11"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *killed, ended = [line.split() for line in done.stdout.splitlines()]
    assert len(killed) == KILLS
    counts = [int(count) for _, _, count in [*killed, ended]]
    assert counts == sorted(counts), "a record was lost"
    assert counts[-2] < 3 * PROBLEMS, "it was not killed before its end"
    assert any(torn == "1" for _, torn, _ in killed), "no kill came in the middle of a record"

    await run(tmp_path / "undisturbed")
    expected = records_of(tmp_path / "undisturbed")
    assert len(expected) == 3 * PROBLEMS
    assert records_of(folder) == expected
    assert any(record.error for record in expected.values())
    # Nothing was answered or graded twice, and nothing torn is left.
    lines = (folder / "records.jsonl").read_bytes().splitlines()
    written = [from_line(line, Record) for line in lines]
    assert None not in written
    answers = [one for one in written if one is not None and (one.error or one.passed is None)]
    assert len(answers) == 3 * PROBLEMS
    assert len(written) - len(answers) == sum(not one.error for one in expected.values())
