"""What crosses between a program and its tests, and what does not."""

from __future__ import annotations

import enum
import itertools
import json
import math
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple
from unittest.mock import ANY

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.benchmark.sandbox.inside import values

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    | st.text()
    | st.text(st.characters(categories=["Cs"]))
    | st.binary()
    | st.fractions()
    | st.decimals(allow_nan=False)
    | st.builds(range, st.integers(), st.integers(), st.integers(min_value=1))
)
HASHABLE = st.recursive(
    SCALARS, lambda inner: st.tuples(inner, inner) | st.frozensets(inner), max_leaves=5
)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner)
        | st.sets(HASHABLE)
        | st.frozensets(HASHABLE)
        | st.dictionaries(HASHABLE, inner)
        | st.builds(bytearray, st.binary())
    ),
    max_leaves=20,
)


def types_in(value: Any) -> Iterator[type]:
    yield type(value)
    inner = [*value, *value.values()] if isinstance(value, dict) else value
    if isinstance(inner, (list, tuple, set, frozenset)):
        for one in inner:
            yield from types_in(one)


@given(PLAIN)
def test_a_plain_value_comes_back_equal_and_of_the_same_type(value: object) -> None:
    text = values.dumps(value)
    assert "\n" not in text
    back = values.loads(text)
    assert back == value
    assert repr(back) == repr(value) or isinstance(value, (set, frozenset, dict, list, tuple))
    assert sorted(map(str, types_in(back))) == sorted(map(str, types_in(value)))


@pytest.mark.parametrize("value", [math.inf, -math.inf, -0.0, 5e-324, 0.1 + 0.2])
def test_floats_are_exact(value: float) -> None:
    assert values.loads(values.dumps(value)).hex() == value.hex()


def test_integers_have_any_size() -> None:
    for value in (2**63, -(2**63), 2**63 - 1, 10**5000, -(10**5000)):
        assert values.loads(values.dumps(value)) - value == 0


def test_what_is_not_a_number_stays_so() -> None:
    assert math.isnan(values.loads(values.dumps(math.nan)))


class Odd(int):
    """Equal to everything, and says so whatever it is asked."""

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__

    def __int__(self) -> int:
        return 42


class Colour(str, enum.Enum):  # noqa: UP042  # its str() is another text than its value
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Point(NamedTuple):
    x: int
    y: int


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (Odd(3), 3),
        (Number.ONE, 1),
        (Colour.RED, "red"),
        (Point(1, 2), (1, 2)),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (Counter("aab"), {"a": 2, "b": 1}),
        (np.int64(3), 3),
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.bool_(1), True),
        (np.str_("x"), "x"),
    ],
)
def test_a_subclass_crosses_as_its_base(value: object, base: object) -> None:
    back = values.loads(values.dumps(value))
    assert type(back) is type(base)
    assert base == back


@pytest.mark.parametrize(
    "make",
    [
        lambda: iter([1, 2]),
        lambda: (n for n in (1, 2)),
        lambda: map(int, "12"),
        lambda: deque([1, 2]),
        {1: 0, 2: 0}.keys,
        lambda: np.array([1, 2]),
    ],
)
def test_other_iterables_cross_as_iterators(make: Callable[[], object]) -> None:
    # As they are compared in Python: not equal to a list of their items, until one is made of them.
    back = values.loads(values.dumps(make()))
    assert back != [1, 2]
    assert list(back) == [1, 2]


def test_an_iterator_without_an_end_is_cut() -> None:
    assert len(list(values.loads(values.dumps(itertools.repeat(1))))) == 100_000


def cycle() -> object:
    found: list[object] = []
    found.append(found)
    return found


def nested(depth: int) -> object:
    found: object = 0
    for _ in range(depth):
        found = [found]
    return found


@pytest.mark.parametrize(
    "make", [object, lambda: ANY, lambda: print, lambda: int, lambda: {1: [len]}]
)
def test_what_is_not_plain_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match="is not plain data"):
        values.dumps(make())


@pytest.mark.parametrize("make", [cycle, lambda: nested(101), lambda: nested(100_000)])
def test_what_is_too_deep_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        values.dumps(make())
    assert values.loads(values.dumps(nested(99))) == nested(99)


HOSTILE = [
    "",
    "x",
    "[",
    "[" * 100_000,
    "[" * 100_000 + "]" * 100_000,
    '{"tuple":' * 5000 + "[]" + "}" * 5000,
    '{"tuple":[' * 102 + "]}" * 102,
    "{}",
    '{"tuple": [], "list": []}',
    '{"object": []}',
    '{"eval": "1"}',
    '{"__class__": "int"}',
    '{"tuple": {"range": [0, 1000000000000]}}',
    '{"tuple": "ab"}',
    '{"iterator": "ab"}',
    '{"int": 5}',
    '{"int": "5z"}',
    '{"int": ["5"]}',
    '{"bytes": "0"}',
    '{"bytes": [1]}',
    '{"complex": [1, 2, 3]}',
    '{"complex": ["a"]}',
    '{"range": [0, 1, 0]}',
    '{"range": [0.5]}',
    '{"Fraction": [1, 0]}',
    '{"Decimal": "x"}',
    '{"set": [[]]}',
    '{"set": [{"dict": []}]}',
    '{"dict": [[1]]}',
    '{"dict": [[[], 1]]}',
    '{"dict": [1]}',
    "9" * 5000,
    "1]",
    "\ud800",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_text_that_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a plain value"):
        values.loads(text)


EXACT = {
    *(type(None), bool, int, float, complex, str, bytes, bytearray, list, tuple, set, frozenset),
    *(dict, range, Fraction, Decimal, type(iter([]))),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from([*values._FROM_TEXT, *values._FROM_ITEMS, "object"]), inner, max_size=1
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_whatever_is_sent_becomes_a_value_of_a_known_type_or_is_refused(sent: object) -> None:
    try:
        value = values.loads(json.dumps(sent))
    except ValueError:
        return
    assert set(types_in(value)) <= EXACT
