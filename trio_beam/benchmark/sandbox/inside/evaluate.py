"""Replaces ``eval`` in the verifiers: it computes literals, arithmetic and SymPy's formulas, nothing else.

Some verifiers of reasoning-gym call ``eval`` on an answer. Others, and math-verify, call
``sympy.parse_expr``, which translates an answer into Python and calls ``eval`` on that. `install` gives
their modules `evaluate` under that name.

`evaluate` walks the syntax tree. It knows no attributes, subscripts, comprehensions or lambdas, and no
keyword argument but ``evaluate``. Names are those of SymPy's constants, formulas and of a few functions, and
nothing else can be called. So an answer is computed or refused, and never run.
"""

from __future__ import annotations

import ast
import operator
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
#: What may be called besides SymPy's classes of formulas.
_FUNCTIONS = {"sqrt", "cbrt", "root", "real_root", "abs", "pow", "round"}
#: SymPy's parser translates names and numbers into calls of these with a string. No other call may have a
#: string as an argument: SymPy would parse it in its turn.
_FROM_TEXT = {"Symbol", "Function", "Integer", "Float", "Rational"}


class Refused(ValueError):
    """The expression has a part that is not evaluated."""


def evaluate(
    source: str | ast.Expression,
    global_names: Mapping[str, Any] | None = None,
    local_names: Mapping[str, Any] | None = None,
) -> Any:
    """Return the value of an expression. The signature is that of ``eval``.

    Raises:
        Refused: it consists of more than literals, arithmetic and formulas.
        SyntaxError: it is not an expression.
        Exception: its arithmetic raises, for example `ZeroDivisionError`.
    """
    tree = ast.parse(source.strip(), mode="eval") if isinstance(source, str) else source
    return _Walker({**(global_names or {}), **(local_names or {})}).value(tree.body)


def install(*packages: str) -> None:
    """Replace ``eval`` in all imported modules of these packages, and in SymPy's parser.

    The parser compiles some expressions before it evaluates them, so its ``compile`` is replaced as well.
    """
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in packages:
            vars(module)["eval"] = evaluate
    parser = sys.modules.get("sympy.parsing.sympy_parser")
    if parser is not None:
        vars(parser).update(eval=evaluate, compile=_not_compiled)


def _not_compiled(source: Any, file: str, mode: str) -> Any:
    """Replace ``compile``: `evaluate` takes an expression as it is."""
    del file, mode
    return source


class _Walker:
    """Computes the values of an expression's nodes.

    Args:
        names: the values of names; `_Name` decides which may be used.
    """

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names

    def value(self, node: ast.expr) -> Any:
        """Return the value of a node."""
        method: Callable[[Any], Any] | None = getattr(self, f"_{type(node).__name__}", None)
        if method is None:
            raise Refused(f"{type(node).__name__} is not evaluated")
        return method(node)

    def _Constant(self, node: ast.Constant) -> Any:  # noqa: N802  # as ast.NodeVisitor names them
        return node.value

    def _List(self, node: ast.List) -> Any:  # noqa: N802
        return [self.value(item) for item in node.elts]

    def _Tuple(self, node: ast.Tuple) -> Any:  # noqa: N802
        return tuple(self.value(item) for item in node.elts)

    def _Set(self, node: ast.Set) -> Any:  # noqa: N802
        return {self.value(item) for item in node.elts}

    def _Dict(self, node: ast.Dict) -> Any:  # noqa: N802
        if None in node.keys:
            raise Refused("** is not evaluated")
        keys = [self.value(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(self.value, node.values), strict=True))

    def _BinOp(self, node: ast.BinOp) -> Any:  # noqa: N802
        if type(node.op) not in _BINARY:
            raise Refused("the operator is not evaluated")
        return _BINARY[type(node.op)](self.value(node.left), self.value(node.right))

    def _UnaryOp(self, node: ast.UnaryOp) -> Any:  # noqa: N802
        return _UNARY[type(node.op)](self.value(node.operand))

    def _Compare(self, node: ast.Compare) -> Any:  # noqa: N802
        if len(node.ops) != 1 or type(node.ops[0]) not in _COMPARISONS:
            raise Refused("the comparison is not evaluated")
        (right,) = node.comparators
        return _COMPARISONS[type(node.ops[0])](self.value(node.left), self.value(right))

    def _Name(self, node: ast.Name) -> Any:  # noqa: N802
        value = self._names.get(node.id)
        if _is_formula(value) or (node.id in _FUNCTIONS and callable(value)):
            return value
        raise Refused(f"the name {node.id} is not known")

    def _Call(self, node: ast.Call) -> Any:  # noqa: N802
        function = self.value(node.func)
        named = node.func.id if isinstance(node.func, ast.Name) else ""
        if named not in _FUNCTIONS and not isinstance(function, type):
            raise Refused("only functions can be called")
        arguments = [self.value(argument) for argument in node.args]
        if named not in _FROM_TEXT and any(_has_text(one) for one in arguments):
            raise Refused("a string is no argument of a formula")
        keywords = {str(one.arg): self.value(one.value) for one in node.keywords}
        if keywords.keys() - {"evaluate"} or not all(type(v) is bool for v in keywords.values()):
            raise Refused("a keyword argument is not evaluated")
        return function(*arguments, **keywords)


def _is_formula(value: Any) -> bool:
    """Return whether it is one of SymPy's formulas, or a class of them."""
    sympy: types.ModuleType | None = sys.modules.get("sympy")
    if sympy is None:
        return False
    kind = value if isinstance(value, type) else type(value)
    return issubclass(kind, sympy.Basic)


def _has_text(value: Any) -> bool:
    if isinstance(value, (list, tuple, set)):
        return any(_has_text(item) for item in value)
    return isinstance(value, (str, bytes, dict))
