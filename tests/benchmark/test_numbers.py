"""The reader of numbers: all the ways in which people and models write them."""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.benchmark.sets.answers import number_in
from trio_beam.benchmark.sets.numbers import digits_of, numbers_in, stated_number, value_of


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # Groups of digits.
        ("9,500", 9500),
        ("9{,}500", 9500),
        (r"9\,500", 9500),
        (r"9,\!500", 9500),
        (r"9\ 500", 9500),
        ("9 500", 9500),
        ("9\u00a0500", 9500),
        ("9\u202f500", 9500),
        ("9'500", 9500),
        ("1,00,000", 100_000),
        ("1,234,567.5", Fraction("1234567.5")),
        ("12,34", None),
        ("1,23", None),
        ("1 23", None),
        # Signs of other widths.
        ("１２", 12),
        ("１，２３４．５", Fraction("1234.5")),
        ("－５", -5),
        ("−5", -5),
        ("–5", -5),
        ("５０％", 50),
        ("＄５", 5),
        # Fractions and powers.
        (r"\frac{3}{4}", Fraction(3, 4)),
        (r"-\dfrac{3}{4}", Fraction(-3, 4)),
        (r"\frac34", Fraction(3, 4)),
        (r"\tfrac 3 4", Fraction(3, 4)),
        (r"\frac{1{,}000}{3}", Fraction(1000, 3)),
        (r"1\frac{1}{2}", Fraction(3, 2)),
        ("1 1/2", Fraction(3, 2)),
        ("½", Fraction(1, 2)),
        ("2½", Fraction(5, 2)),
        ("3 / 4", Fraction(3, 4)),
        ("3⁄4", Fraction(3, 4)),
        ("1/0", None),
        (r"\frac{1}{0}", None),
        ("10^3", 1000),
        ("10^{-2}", Fraction(1, 100)),
        ("10³", 1000),
        (r"2.5 \times 10^{3}", 2500),
        ("2.5 × 10⁻³", Fraction(25, 10000)),
        ("1e5", 100_000),
        ("1.5E-3", Fraction(3, 2000)),
        ("9^999", None),
        ("1e999", None),
        # What stands around.
        ("$5", 5),
        (r"\$1{,}234", 1234),
        ("-$5", -5),
        ("$-5", -5),
        ("US$5", 5),
        ("€5", 5),
        ("5€", 5),
        ("50%", 50),
        (r"50\%", 50),
        (r"90^\circ", 90),
        ("90°", 90),
        ("$18$", 18),
        (r"\text{18}", 18),
        ("1.5 million", 1_500_000),
        ("two", None),
        ("18 cm", None),
        ("x = 5", None),
        ("5x", None),
        ("0x1f", None),
        ("1.2.3", None),
        (r"\sqrt{2}", None),
    ],
)
def test_the_number_that_a_text_is(text: str, value: Fraction | int | None) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("18cm", 18),
        ("18 cm", 18),
        (r"18\text{ cm}", 18),
        (r"18\,\mathrm{cm^2}", 18),
        ("60mph", 60),
        ("the 18th", 18),
        ("18元", 18),
        ("答案18", 18),
        ("20dollars", 20),
        ("3.5m", Fraction(7, 2)),
        ("$3.50 each", Fraction(7, 2)),
        ("about 18 (20 with tax)", 18),
        ("18 dollars, 3 more than before", 18),
        ("3 * 6 = 18", 18),
        ("x = 18", 18),
        (r"x \approx 18", 18),
        ("not 20 but 18", 18),
        ("18, not 20", 18),
        ("$5K", 5000),
        ("$1.5M", 1_500_000),
        ("1 and 1/2", Fraction(3, 2)),
        ("- 18", -18),
        ("− 18", -18),
        ("18 or 20", "several"),
        ("18 apples or 20", "several"),
        ("18, 20", "several"),
        ("18,20", "several"),
        ("18 and 20", "several"),
        ("$18; $20", "several"),
        ("18,200", 18_200),
        (r"2\sqrt{3}", None),
        (r"3\pi", None),
        ("x^2", None),
        ("4B", None),
        ("v1.2.3", None),
        ("no number", None),
        ("", None),
    ],
)
def test_the_number_that_an_answer_states(text: str, value: Fraction | int | str | None) -> None:
    assert stated_number(text) == value


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("3 apples and 4 pears make 7.", [3, 4, 7]),
        ("rooms 3 400 and 5", [3, 400, 5]),
        ("from 10-20", [10, 20]),
        ("It is -7 degrees", [-7]),
        ("- 5 apples\n- 3 pears", [5, 3]),
        ("x3, v1.2.3 and room 4B have none", []),
        ("5kg of it, 12h later", [5, 12]),
    ],
)
def test_the_numbers_in_a_text(text: str, values: list[int]) -> None:
    assert [found.value for found in numbers_in(text)] == values


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (r"\boxed{$9{,}500}", "9500"),
        (r"\boxed{\frac{3}{4}}", "0.75"),
        ("She walks 3 + 4 = 7km.\nThe answer is 7km.", "7"),
        ("#### 1 234", "1234"),
        ("答案：１８", "18"),
        ("Answer： 18", "18"),
        (r"\boxed{18, 20}", None),
        ("The answer is 18 or 20.", None),
        ("<think>20, no</think>18", "18"),
        ("<think>It is 20", None),
    ],
)
def test_the_number_that_a_text_gives_as_its_answer(text: str, number: str | None) -> None:
    assert number_in(text) == number


@given(st.fractions(max_denominator=10**6).filter(lambda value: abs(value) < 10**15))
def test_what_is_written_is_read_back(value: Fraction) -> None:
    assert value_of(digits_of(value)) == value


@given(st.integers(-(10**15), 10**15), st.sampled_from([",", "{,}", r"\,", "\u202f", "'"]))
def test_groups_of_digits_are_one_number(number: int, mark: str) -> None:
    written = f"{number:,}".replace(",", mark)
    assert value_of(written) == number
    assert number_in(f"We had 3 of 5.\nThe answer is {written}.") == str(number)


_MARKS = [
    "The answer is {}.",
    "Answer: {}",
    "#### {}",
    r"So $\boxed{{{}}}$ of 7.",
    "**Final Answer:** {} (not 7)",
]
_WAYS: dict[str, Callable[[int], str]] = {
    "plain": str,
    "commas": "{:,}".format,
    "LaTeX": lambda number: f"{number:,}".replace(",", "{,}"),
    "cents": "${:,}.00".format,
    "unit": "{}km".format,
    "text": r"{}\text{{ cm}}".format,
    "dollars": "${}$".format,
    "equation": "x = {}".format,
    "sum": lambda number: f"{number - 5} + 5 = {number}",
    "sum behind": lambda number: f"{number} = {number - 5} + 5",
    "denied": lambda number: f"not {number + 1} but {number}",
}


@given(st.integers(0, 10**12), st.sampled_from(_MARKS), st.sampled_from(sorted(_WAYS)))
def test_a_number_is_found_behind_any_mark_in_any_form(number: int, mark: str, way: str) -> None:
    text = f"There were 12 before.\n{mark.format(_WAYS[way](number))}"
    assert number_in(text) == str(number)


_WORDS = ["12", "000", "e5", "million", "or", "and", "not", "cm", "\\frac", "\\,", "\\times"]
_PIECES = st.sampled_from([*"1,.'-/^{}ex½$%=１，³ \n", *_WORDS])


@given(st.lists(_PIECES, max_size=60).map("".join))
def test_any_text_is_taken(text: str) -> None:
    value_of(text)
    stated_number(text)
    for found in numbers_in(text):
        assert value_of(digits_of(found.value)) == found.value


@pytest.mark.parametrize(
    "text",
    [
        "1," * 10_000,
        "1,111" * 5_000,
        "111," * 5_000 + "X",
        "1 " * 10_000,
        "1" * 20_000 + "x",
        "\\frac{" * 4_000,
        "\\frac{1}{" * 2_000,
        "-" * 20_000,
        "1'111'" * 3_000,
        "1/" * 10_000,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    """Far from the square of its length, which would be minutes."""
    start = time.process_time()
    number_in(text)
    stated_number(text)
    assert time.process_time() - start < 5
