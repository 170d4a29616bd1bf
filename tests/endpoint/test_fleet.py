"""scripts/simulate_fleet.py: the real client over simulated servers, of which some crash."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import trio_beam

SCRIPT = Path(trio_beam.__file__).parents[1] / "scripts" / "simulate_fleet.py"


def test_no_search_is_lost_to_a_crash() -> None:
    options = ["--prompts", "150", "--jobs", "2", "--crashes", "15", "--json"]
    done = subprocess.run(
        [sys.executable, SCRIPT, *options], capture_output=True, check=True, text=True, timeout=300
    )
    rows = json.loads(done.stdout)
    assert {"no affinity", "affinity", "affinity, hedging", "adaptive limit"} < rows.keys()
    for name, row in rows.items():
        assert row["crashes"] > 0
        assert row["failed"] == 0 or name == "limit too high"
    assert rows["affinity"]["cached"] > rows["no affinity"]["cached"]
