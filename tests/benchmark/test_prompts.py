"""A problem in the clothes of the group ``prompt``."""

from __future__ import annotations

import pytest

from trio_beam.benchmark.config import load_settings, parse_args
from trio_beam.benchmark.prompts import build_prompt, check_template
from trio_beam.core.prompt import PromptLike
from trio_beam.errors import ConfigError


def build(*words: str, instruction: str = "Be short.", suffix: str | None = None) -> PromptLike:
    group = load_settings(parse_args([f"prompt.{word}" for word in words])).prompt
    check_template(group)
    return build_prompt(group, "2 + 2?", instruction=instruction, suffix=suffix)


SYSTEM = {"role": "system", "content": "Be short."}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], [SYSTEM, user("2 + 2?")]),
        (["prefix=Sum: ", "suffix= Think."], [SYSTEM, user("Sum: 2 + 2? Think.")]),
        (["template=Q: {prompt} A:"], [SYSTEM, user("Q: 2 + 2? A:")]),
        (["template={prompt} {x}", "suffix=!"], [SYSTEM, user("2 + 2?! {x}")]),
        (["system=Own."], [{"role": "system", "content": "Own."}, user("2 + 2?")]),
        (["system="], [user("2 + 2?")]),
        (["chat=false"], "2 + 2?"),
        (["chat=false", "system=Own."], "Own.\n\n2 + 2?"),
        (["chat=false", "prefix=a", "suffix=b", "template=<{prompt}>"], "<a2 + 2?b>"),
    ],
)
def test_what_is_around_a_problem(words: list[str], expected: PromptLike) -> None:
    assert build(*words) == expected


def test_without_an_instruction_there_is_no_system_message() -> None:
    assert build(instruction="") == [user("2 + 2?")]


@pytest.mark.parametrize(("suffix", "expected"), [(None, " Think."), ("", ""), (" Now.", " Now.")])
def test_a_strategy_may_have_a_suffix_of_its_own(suffix: str | None, expected: str) -> None:
    assert build("suffix= Think.", suffix=suffix) == [SYSTEM, user(f"2 + 2?{expected}")]


def test_a_problem_with_braces_stays_as_it_is() -> None:
    group = load_settings([]).prompt
    text = "{x} {prompt} %s $HOME"
    assert build_prompt(group, text, instruction="", suffix=None) == [user(text)]


def test_a_template_without_a_place_for_the_problem() -> None:
    with pytest.raises(ConfigError, match=r"prompt\.template must be a text with \{prompt\} in it"):
        build("template=What?")
