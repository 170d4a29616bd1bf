"""A regular expression as the key of a vote."""

from __future__ import annotations

import pytest

from trio_beam import ConfigError
from trio_beam.answers.vote import LastMatch


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
    with pytest.raises(ConfigError, match="key must be a regular expression"):
        LastMatch("(")
