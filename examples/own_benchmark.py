"""A benchmark of one's own: sums in a file, two strategies side by side, with intervals and a test.

    uv run --all-extras python examples/own_benchmark.py

Any key=value behind it goes to the runner (docs/running-benchmarks.md), such as benchmark.num_problems=40.
The same command goes on where it was interrupted.
"""

import json
import random
import sys
from pathlib import Path

from trio_beam.benchmark.main import main

FOLDER = Path("results", "sums")


def write_problems(path: Path) -> None:
    """Write forty sums of two numbers below 30, a JSON object in a line."""
    chance = random.Random(1)
    with path.open("w", encoding="utf-8") as file:
        for number in range(40):
            a, b = chance.randrange(2, 30), chance.randrange(2, 30)
            problem = {"id": f"sum-{number}", "prompt": f"{a} + {b} =", "answer": str(a + b)}
            file.write(json.dumps(problem) + "\n")


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_problems(FOLDER / "sums.jsonl")
    settings = [
        f"benchmark.name=jsonl:{FOLDER / 'sums.jsonl'}",
        "benchmark.num_problems=12",
        "benchmark.max_tokens=4",
        # The model continues a text with three examples; it would get a chat wrong.
        "prompt.chat=false",
        r'prompt.prefix="21 + 14 = 35\n8 + 7 = 15\n40 + 26 = 66\n"',
        "beam_search.enabled=true",
        "beam_search.tokens_per_step=2",
        f"output.dir={FOLDER / 'run'}",
    ]
    sys.exit(main([*settings, *sys.argv[1:]]))
