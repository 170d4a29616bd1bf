#!/usr/bin/env python
"""Compare strategies on a benchmark: ``run_benchmark.py group.key=value ...`` (docs/running-benchmarks.md).

uv run --all-extras python scripts/run_benchmark.py beam_search.enabled=true benchmark.num_problems=10
"""

from __future__ import annotations

import sys
from pathlib import Path

#: Packages of the extra ``bench`` that the command itself is made of.
_NEEDED = ("click", "dotenv", "rich", "yaml")

if __name__ == "__main__":
    try:
        from trio_beam.benchmark.main import main
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        sys.exit(
            f"{error.name} is missing: install the extra bench"
            ' (pip install "trio-beam[bench]", or uv run --all-extras python scripts/run_benchmark.py ...)'
        )
    sys.exit(main(beside=Path(__file__).parent))
