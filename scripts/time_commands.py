"""Time the commands of the docs, and write docs/reference/timings.md.

    uv run --group dev python scripts/time_commands.py

Takes some minutes, and means something only on a machine that does nothing else. A command of less than
20 seconds is run twice, and the faster run counts: the first of all reads the model from the disk.
"""

from __future__ import annotations

import datetime as dt
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import trio_beam

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "timings.md"

TUTORIAL = (
    'trio-beam generate --chat --seed 1 --temperature 0.6 --beam-width 4 --tokens-per-step 8 "What is a black'
    ' hole, in one sentence?"'
)
#: Each command, and what it does.
COMMANDS = {
    "trio-beam --version": "start Python and the command line",
    TUTORIAL: "the tutorial's first search, the model's start included",
    'trio-beam generate --seed 1 --max-tokens 64 "Once upon a time"': "64 tokens, 2 beams, one block",
    "trio-beam probe --local": "find out what a server can do",
    **{
        f"python examples/{path.name}": (path.read_text("utf-8").split('"""')[1].split("\n")[0])
        for path in sorted((ROOT / "examples").glob("*.py"))
        if path.stem != "fastapi_app"
    },
}


def run(command: str, folder: str) -> tuple[float, float]:
    """Run a command; returns seconds on the clock, and of all its processes on the cores."""
    words = shlex.split(command)
    if words[0] == "trio-beam":
        words[:1] = [sys.executable, "-m", "trio_beam"]
    else:
        words[:2] = [sys.executable, str(ROOT / words[1])]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("OPENAI")
    }
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(words, cwd=folder, env=environment, capture_output=True, check=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall, cpu


def main() -> None:
    load = os.getloadavg()[1]  # of five minutes
    rows = ["| command | what it does | time | CPU time |", "|---|---|---|---|"]
    for command, about in COMMANDS.items():
        runs: list[tuple[float, float]] = []
        while len(runs) < 2 and sum(wall for wall, _ in runs) < 20:
            with tempfile.TemporaryDirectory() as folder:
                runs.append(run(command, folder))
        wall, cpu = (min(one) for one in zip(*runs, strict=True))
        print(f"{wall:6.1f} s {cpu:6.1f} s  {command}", file=sys.stderr)
        rows.append(f"| `{command}` | {about.rstrip('.')} | {wall:.1f} s | {cpu:.1f} s |")
    today = dt.datetime.now(tz=dt.UTC).date()
    words = (
        f"Measured on {today} with version {trio_beam.__version__}, {os.cpu_count()} cores and no GPU, by"
        " `uv run --group dev python scripts/time_commands.py`: the faster of two runs (one of those"
        f" above 20 s), with everything installed, beside a load of {load:.1f} by other work. CPU time is"
        " that of all processes together, the embedded model's included: what the command takes on one"
        " idle core, at most."
    )
    PAGE.write_text("\n\n".join(["# How long each command takes", words, "\n".join(rows)]) + "\n")


if __name__ == "__main__":
    main()
