#!/usr/bin/env python
"""Compare strategies on a benchmark: ``run_benchmark.py group.key=value ...`` (docs/running-benchmarks.md).

uv run --all-extras python scripts/run_benchmark.py beam_search.enabled=true benchmark.num_problems=10
"""

from __future__ import annotations

import sys
from pathlib import Path

from trio_beam.benchmark.start import start

if __name__ == "__main__":
    sys.exit(start("run_benchmark.py", beside=Path(__file__).parent))
