"""The lines that show what a search is doing."""

from __future__ import annotations

import pytest
from rich.console import Console

from trio_beam.core.events import EvaluationStarted
from trio_beam.observers.progress import progress


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            EvaluationStarted(round=2, purpose="judge", candidates=1, samples=1),
            "round 2: asking the judge about 1 candidate",
        ),
        (
            EvaluationStarted(round=1, purpose="rollout", candidates=4, samples=16),
            "round 1: looking ahead from 4 candidates by 16 rollouts",
        ),
    ],
)
def test_an_evaluation_is_shown(event: EvaluationStarted, line: str) -> None:
    console = Console(record=True, force_terminal=False, quiet=False, width=200)
    with progress(console) as observe:
        observe(event)
    assert console.export_text().strip() == line
