"""Final answers in texts."""

from __future__ import annotations

import string
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.benchmark.sets.answers import (
    boxed,
    final_answer,
    letter_in,
    marked,
    normal_form,
    number_in,
    tagged,
    value_of,
)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("#### 72", "72"),
        ("The total is $1,234.50.", "1234.5"),
        ("3 apples and 4 pears make 7.", "7"),
        ("so 3 * 6 = 18. The answer is 18 dollars (2 each).", "18"),
        ("Answer: 3 * 6 = 18", "18"),
        ("The final answer is: **42**\nI hope that 1 of 2 helps.", "42"),
        ("The answer is 5. No: the answer is 6.", "6"),
        (r"so $\boxed{10\%}$ of 50", "10"),
        ("<answer>-3</answer> is 1 answer", "-3"),
        ("It is −7 degrees", "-7"),
        ("-$5", "-5"),
        ("x = .5", "0.5"),
        ("about 1e5 apples", "100000"),
        ("half: 1/2", "0.5"),
        ("a third: 1/3", "1/3"),
        ("x3, v1.2.3 and room 4B have none", None),
        ("no number", None),
        ("", None),
    ],
)
def test_the_number_that_a_text_gives(text: str, number: str | None) -> None:
    assert number_in(text) == number


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"thus \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"first \boxed{1}, then \boxed{2}", "2"),
        (r"whole \boxed{3}, cut \boxed{\frac{1", "3"),
        ("The answer is $x^2$.", "x^2"),
        (r"The answer is $\boxed{7}$", "7"),
        ("Answer: Paris.\n", "Paris"),
        ("The correct answer to this problem is 10.", "10"),
        ("The answer isn't known: the answer to the question of it: no", "no"),
        ("some words\n\nParis\n", "Paris"),
        ("<answer>\n1 2\n3 4\n</answer>", "1 2\n3 4"),
        ("<answer>never closed", "never closed"),
        (" \n ", None),
    ],
)
def test_the_answer_that_a_text_gives(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b.", "B"),
        ("(C)", "C"),
        ("Answer: B", "B"),
        ("**Answer: C**", "C"),
        ("The answer is (D) because A and B are wrong.", "D"),
        ("The correct option is C.", "C"),
        (r"The answer is $\boxed{\text{A}}$", "A"),
        (r"\boxed{A}", "A"),
        ("I think it is **B**.", "B"),
        ("The correct answer is:\n\nB) it", "B"),
        ("A cat is a cat.", None),
        ("I do not know.", None),
        ("Answer: E", None),
        ("Answer: b", "B"),
        ("Answer: (b)", "B"),
        ("Answer: a cat", None),
        ("Option B", "B"),
        ("Answer： B", "B"),
        ("答案：Ｂ", "B"),
        ("答案是 C。", "C"),
        ("（Ｃ）", "C"),
        ("Antwort: C", "C"),
        ("Answer: A or B", None),
        ("Answer: A, B", None),
        ("Answer: A, because it is so", "A"),
        ("", None),
    ],
)
def test_the_letter_that_a_text_chooses(text: str, letter: str | None) -> None:
    assert letter_in(text, "ABCD") == letter


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,234.50", Fraction(2469, 2)),
        ("-3/4", Fraction(-3, 4)),
        ("$5", 5),
        (r"50\%", 50),
        ("7.", 7),
        ("1,23", None),
        ("1/0", None),
        ("nan", None),
        ("1e999999999", None),
        ("9" * 200, None),
        ("x", None),
        ("", None),
    ],
)
def test_the_number_that_a_text_is(text: str, value: Fraction | int | None) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1,000", "1000.0"),
        (r"\dfrac{1}{2}", r"\frac{1}{2}"),
        (r"\left( 3, 4 \right)", "(3,4)"),
        (r"\text{Evelyn}", "evelyn"),
        (r"90^\circ", "90"),
        ("$x$", "x"),
    ],
)
def test_one_form_for_what_is_written_differently(one: str, other: str) -> None:
    assert normal_form(one) == normal_form(other)


def test_different_answers_have_different_forms() -> None:
    forms = {normal_form(text) for text in ("1", "-1", "10", "1/10", "x", "-x", r"\frac{1}{x}")}
    assert len(forms) == 7


_MARKS = ("\\boxed{", "<answer>", "</answer>", "####", "the answer is", "Answer:")
_WORDS = st.sampled_from([*_MARKS, *string.digits, *"{}ABx,.-/$*()% \n"])


@given(st.lists(_WORDS, max_size=200).map("".join) | st.text())
def test_every_text_is_taken(text: str) -> None:
    for find in (boxed, tagged, marked, final_answer):
        assert (found := find(text)) is None or len(found) <= 1000
    assert letter_in(text, "ABCD") in (None, *"ABCD")
    number = number_in(text)
    assert number is None or value_of(number) is not None
    assert normal_form(normal_form(text)) is not None


@given(st.integers(-(10**12), 10**12), st.booleans())
def test_a_number_is_found_as_it_was_written(number: int, commas: bool) -> None:
    written = f"{number:,}" if commas else str(number)
    assert number_in(f"We have 3 of 5, so the answer is {written}.") == str(number)
    assert number_in(f"It makes\n#### {written}") == str(number)
    assert value_of(written) == number


@pytest.mark.parametrize(
    "text", ["." * 20_000, " " * 20_000 + "xy", "(" * 20_000, "answer " * 3_000, "\\boxed{" * 3_000]
)
def test_no_text_takes_long(text: str) -> None:
    start = time.process_time()
    for find in (final_answer, number_in):
        find(text)
    letter_in(text, "ABCD")
    assert time.process_time() - start < 5
