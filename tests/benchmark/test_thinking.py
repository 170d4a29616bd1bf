"""An answer stands behind the thoughts of a reasoning model, never in them."""

from __future__ import annotations

import pytest

from trio_beam.benchmark.sets.answers import boxed, final_answer, letter_in, number_in, tagged
from trio_beam.benchmark.sets.code_answer import code_in, completion_of
from trio_beam.benchmark.sets.thinking import without_thoughts

PROMPT = 'def add(a: int, b: int) -> int:\n    """ Add two numbers. """\n'
RIGHT = "def add(a: int, b: int) -> int:\n    return a + b\n"
DRAFT = "```python\ndef add(a, b):\n    return a - b\n```"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("no thoughts", "no thoughts"),
        ("<think>a</think>b", "b"),
        ("<think>\n\n</think>\n\nb", "b"),
        ("The tag `<think>` opens it.", "The tag `<think>` opens it."),
        ("<think>a</think>It says '</think>'.", "It says '</think>'."),
        ("a</think>b", "b"),
        ("<think>a", ""),
        ("b<think>a", "b"),
        ("<think>a</think>b<think>c", "b"),
        ("<think>a</think><think>b</think>c", "c"),
        ("<THINK>a</Think>b", "b"),
        ("<thinking>a</thinking>b", "b"),
        ("<reasoning>a</reasoning>b", "b"),
        ("[THINK]a[/THINK]b", "b"),
        ("◁think▷a◁/think▷b", "b"),
        ("<|channel|>analysis<|message|>a<|end|><|channel|>final<|message|>b", "b"),
        ("<|channel|>analysis<|message|>a", ""),
        ("I <thinker>", "I <thinker>"),
    ],
)
def test_thoughts_are_taken_out(text: str, rest: str) -> None:
    assert without_thoughts(text) == rest


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("<think>The answer is A</think>B", "B"),
        ("<think>The answer is A? No, B.</think>\n\nB) because it is so", "B"),
        ("The answer is A, no.</think>Answer: C", "C"),
        ("<think>Let me see. The answer is A, or is it", None),
        ("<think>The answer is A</think>", None),
    ],
)
def test_no_letter_is_taken_from_them(text: str, letter: str | None) -> None:
    assert letter_in(text, "ABCD") == letter


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("<think>5, no, 6. \\boxed{20}? No.</think>\n18", "18"),
        ("<think>#### 20</think>It makes 18.", "18"),
        ("<think>That makes 20. But wait", None),
    ],
)
def test_no_number_is_taken_from_them(text: str, number: str | None) -> None:
    assert number_in(text) == number


def test_no_other_answer_is_taken_from_them() -> None:
    text = "<think>\\boxed{1} <answer>2</answer> Answer: 3"
    assert boxed(text) is tagged(text) is final_answer(text) is None
    assert final_answer(f"{text}</think>Paris") == "Paris"


@pytest.mark.parametrize(
    "text",
    [
        f"<think>\nMaybe:\n{DRAFT}\nNo, it must be plus.\n</think>\n\n```python\n{RIGHT}```",
        f"<think>\nMaybe:\n{DRAFT}\nNo.\n</think>\n{RIGHT}",
        f"Maybe:\n{DRAFT}\nNo.\n</think>\n\n```python\n{RIGHT}```",
    ],
)
def test_no_draft_of_a_program_is_taken_from_them(text: str) -> None:
    space: dict[str, object] = {}
    exec(PROMPT + (completion_of(PROMPT, text, "add") or ""), space)
    assert space["add"](1, 2) == 3  # type: ignore[operator]
    assert code_in(text) == code_in(RIGHT)


def test_a_program_that_was_cut_off_in_them_is_none() -> None:
    assert completion_of(PROMPT, f"<think>\n{DRAFT}", "add") is None
    assert code_in(f"<think>\n{DRAFT}") is None
