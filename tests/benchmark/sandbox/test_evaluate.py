"""What stands in for ``eval``: it computes what it should, and runs nothing."""

from __future__ import annotations

import builtins
import fractions
import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st
from sympy.parsing import sympy_parser

from trio_beam.benchmark.sandbox.inside.evaluate import Refused, evaluate, install

LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
)
NUMBERS = st.integers(0, 20).map(str)
ARITHMETIC = st.recursive(
    NUMBERS,
    lambda inner: (
        st.builds(
            lambda left, operator, right: f"({left}{operator}{right})",
            inner,
            st.sampled_from(["+", "-", "*", "/", "//", "%", "&", "|", "^", "<", "=="]),
            inner,
        )
        | inner.map(lambda one: f"(-{one})")
    ),
    max_leaves=12,
)


@given(LITERALS)
def test_literals_have_their_value(value: object) -> None:
    assert evaluate(repr(value)) == value


@given(ARITHMETIC)
def test_arithmetic_is_python_s(text: str) -> None:
    def outcome(function: Any) -> object:
        try:
            return function(text)
        except (ArithmeticError, TypeError) as error:
            return type(error)

    assert outcome(evaluate) == outcome(eval)


ATTACKS = [
    "__import__('os')",
    "exec('x = 1')",
    "print()",
    "().__class__",
    "[].append",
    "[1][0]",
    "lambda: 1",
    "(lambda: 1)()",
    "[x for x in (1,)]",
    "{**{}}",
    "f'{1}'",
    "1 if 1 else 2",
    "1 and 2",
    "(x := 1)",
    "*[1],",
    "x",
    "x.y",
    "1 < 2 < 3",
    "1 is 1",
    "1 @ 1",
    "await x",
    "yield",
    "'a'('b')",
    "(1)(2)",
    "True()",
    "...()",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises((Refused, SyntaxError)):
        evaluate(text)


@pytest.fixture
def parser() -> Iterator[None]:
    """SymPy's parser as it is in the sandbox, where `install` is for good."""
    install("sympy.parsing")
    try:
        yield
    finally:
        for name in ("eval", "compile"):
            delattr(sympy_parser, name)


FORMULAS = [
    "1/3 + 2*x",
    "x**2 - 3*x*y + C",
    "sin(x)**2 + cos(x)**2",
    "-exp(-2*x)*sqrt(x)/2 + log(x) + pi*E",
    "f(x) + g(2)",
    "5! + 3",
    "0.1 + 1e3*I",
    "Rational(1, 3) + Abs(-x) + abs(x) + Max(1, x)",
    "(1, x, [2, y])",
    "x < 3",
    "Eq(x, 2)",
    "(3 + 4) * 5 - 2",
    "2**0.5 + root(8, 3) + pow(x, 2)",
    "Integral(x**2, (x, 0, 1))",
    "oo - zoo + nan",
]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("unevaluated", [False, True])
@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_are_sympy_s(text: str, unevaluated: bool) -> None:
    ours = sympy.parse_expr(text, evaluate=not unevaluated)
    for name in ("eval", "compile"):
        vars(sympy_parser)[name] = getattr(builtins, name)
    assert sympy.srepr(ours) == sympy.srepr(sympy.parse_expr(text, evaluate=not unevaluated))


RUNS = "__import__('builtins').ran.append(1)"
THROUGH_SYMPY = [
    RUNS,
    f"exec({RUNS!r})",
    f"sympify({RUNS!r})",
    f"S({RUNS!r})",
    f"parse_expr({RUNS!r})",
    f"sin({RUNS!r})",
    f"f({RUNS!r})",
    f"Symbol({RUNS!r})({RUNS!r})",
    f"Max(({RUNS!r},), 1)",
    f"x + {RUNS!r}",
    f"lambdify(x, {RUNS!r})(1)",
    f"Lambda(x, {RUNS!r})(1)",
    f"Integral({RUNS!r}, x)",
    f"Integer({RUNS!r})",
    f"Rational({RUNS!r})",
    f"Float({RUNS!r})",
    f"Function({RUNS!r})(1)",
    "x.__class__.__mro__",
    "x.subs(x, 1)",
    "Symbol.__init__",
    "sin.__globals__",
    f"{{{RUNS}}}",
    f"[{RUNS}]",
    f"x if {RUNS} else x",
    f"eval({RUNS!r})",
    f"open({RUNS!r})",
    f"getattr(x, {RUNS!r})",
    f"map(exec, [{RUNS!r}])",
    f"sqrt(1, evaluate={RUNS})",
    f"Symbol('x', real={RUNS})",
]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("text", THROUGH_SYMPY)
@pytest.mark.parametrize("unevaluated", [False, True])
def test_nothing_of_a_formula_is_run(
    text: str, unevaluated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[int] = []
    monkeypatch.setattr(builtins, "ran", ran, raising=False)
    try:
        found = sympy.parse_expr(text, evaluate=not unevaluated)
        sympy.simplify(found)
        sympy.diff(found, sympy.Symbol("x"))
    except Exception:  # whatever SymPy makes of it
        pass
    assert ran == []


def test_it_is_installed_where_a_package_would_call_eval() -> None:
    try:
        install("fractions")
        assert vars(fractions)["eval"] is evaluate
        assert Fraction(1, 2) == Fraction("1/2")
        assert "eval" not in vars(sys.modules["decimal"])
    finally:
        del fractions.eval  # type: ignore[attr-defined]  # set above
