"""tests/README.md says which tests hold which promise: exactly those that are marked with its number."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent


def test_the_table_of_promises_is_true() -> None:
    marked: dict[int, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        for number in re.findall(r"mark\.promise\((\d+)\)", path.read_text("utf-8")):
            marked.setdefault(int(number), set()).add(path.relative_to(TESTS).as_posix())
    rows = re.findall(
        r"^\| (\d+) \|.*\| (`[^|]*`) \|$", (TESTS / "README.md").read_text("utf-8"), re.MULTILINE
    )
    table = {int(number): set(re.findall(r"`([^`]+)`", files)) for number, files in rows}
    assert table == marked
    assert sorted(table) == list(range(1, len(table) + 1))
