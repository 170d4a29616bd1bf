"""``trio-beam probe`` and Ctrl-C."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.e2e.test_cli import started


def children_of(parent: int) -> set[int]:
    """The processes whose parent is this one."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = status.read_text().splitlines()
        except OSError:
            continue  # it ended while it was looked at
        if f"PPid:\t{parent}" in lines:
            found.add(int(status.parent.name))
    return found


def is_the_model(number: int) -> bool:
    try:
        return b"_local_child.py" in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        return False


def test_ctrl_c_leaves_no_process() -> None:
    process = started("probe", "--local", until="choices, seeds")
    models = [number for number in children_of(process.pid) if is_the_model(number)]
    assert len(models) == 1
    # To the whole group, as a terminal does.
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert not is_the_model(models[0])
