"""The real command, with a model and problems of tests.

``python -m tests.benchmark.fake_command SECONDS WORDS...``: SECONDS is what each request takes.
"""

from __future__ import annotations

import sys
from functools import partial

from tests.benchmark.words import Words, opener
from trio_beam.benchmark import main, session
from trio_beam.testing import FakeEndpoint


def run(latency: float, words: list[str]) -> int:
    """Run the command and return its exit code."""
    real = session.Session
    vars(main)["Session"] = partial(
        real,
        open_model=opener(FakeEndpoint(latency=latency)),  # type: ignore[arg-type]
        open_problems=lambda plan: Words(),
    )
    try:
        return main.main(words)
    finally:
        vars(main)["Session"] = real


if __name__ == "__main__":
    sys.exit(run(float(sys.argv[1]), sys.argv[2:]))
