"""The answer that a text comes to, as the command line takes it from a regular expression."""

from __future__ import annotations

import pytest
from rich.console import Console

from trio_beam import ConfigError
from trio_beam.answers.vote import LastMatch
from trio_beam.core.events import AsideStarted
from trio_beam.observers.progress import progress


@pytest.mark.parametrize(
    ("pattern", "text", "answer"),
    [
        ("[0-9]+", "3 and 4 make 7.", "7"),
        (r"answer is (\w+)", "The answer is no. The answer is yes!", "yes"),
        ("[0-9]+", "none", None),
        ("(a)|b", "a b", None),
    ],
)
def test_what_is_matched_last_is_the_answer(pattern: str, text: str, answer: str | None) -> None:
    assert LastMatch(pattern)(text) == answer


def test_what_is_no_pattern_is_refused() -> None:
    with pytest.raises(ConfigError, match="vote_key must be a regular expression"):
        LastMatch("(")


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            AsideStarted(round=2, what="judge", candidates=1, samples=1),
            "round 2: asking the judge about 1 candidate",
        ),
        (
            AsideStarted(round=1, what="lookahead", candidates=4, samples=16),
            "round 1: looking ahead from 4 candidates by 16 rollouts",
        ),
    ],
)
def test_what_is_asked_aside_is_shown(event: AsideStarted, line: str) -> None:
    console = Console(record=True, force_terminal=False, quiet=False, width=200)
    with progress(console) as observe:
        observe(event)
    assert console.export_text().strip() == line
