"""Plain values as text, so that a program and its tests exchange data and never objects.

The text is JSON. A value without a JSON form is an object with one key, its kind::

    (1, {2.5})  ->  {"tuple": [1, {"set": [2.5]}]}

`loads` returns instances of exactly these types and of no subclass: None, bool, int, float, complex, str,
bytes, bytearray, list, tuple, set, frozenset, dict, range, Fraction, Decimal, and an iterator over a list.
None of them runs code of the sender's when it is compared, printed or called.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

#: Levels of nesting; both sides refuse more.
_MAX_DEPTH = 100
#: Items taken from an iterator, which may be endless.
_MAX_ITEMS = 100_000
#: Larger integers are written in hexadecimal: Python refuses to read decimal ones of over 4,300 digits.
_MAX_DECIMAL = 1 << 63


def dumps(value: object) -> str:
    """Return a value as one line of text.

    An instance of a subclass is written as one of its base, a NumPy scalar as the number that it holds,
    and any other iterable as an iterator over its items.

    Raises:
        TypeError: it is not plain, or contains something that is not.
        ValueError: it is nested too deeply, or contains itself.
    """
    return json.dumps(_encode(value, 0), separators=(",", ":"))


def loads(text: str) -> Any:
    """Return the value of a text.

    Raises:
        ValueError: it has none.
    """
    try:
        return _decode(json.loads(text), 0)
    except (TypeError, ValueError, ArithmeticError, RecursionError) as error:
        raise ValueError(f"not a plain value: {type(error).__name__}") from None


def _encode(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError("the value is nested too deeply")
    kind = type(value)
    if _has_json_form(value):
        return value
    if kind in _TO_TEXT:
        return {kind.__name__: _TO_TEXT[kind](value)}
    if kind in _TO_ITEMS:
        items = [_encode(item, depth + 1) for item in _TO_ITEMS[kind](value)]
        return items if kind is list else {kind.__name__: items}
    return _encode_other(value, depth)


def _encode_other(value: Any, depth: int) -> Any:
    for base, convert in _BASES:
        if isinstance(value, base):
            return _encode(convert(value), depth)
    if hasattr(value, "dtype") and getattr(value, "ndim", None) == 0:  # of NumPy
        return _encode(value.item(), depth + 1)
    if isinstance(value, Iterable):
        items = islice(value, _MAX_ITEMS)
        return {"iterator": [_encode(item, depth + 1) for item in items]}
    raise TypeError(f"a value of type {type(value).__name__} is not plain data")


def _has_json_form(value: object) -> bool:
    kind = type(value)
    if isinstance(value, int) and kind is int:
        return abs(value) < _MAX_DECIMAL
    if isinstance(value, str) and kind is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            # JSON would join two halves of a surrogate pair to one character.
            return False
        return True
    return kind in (type(None), bool, float)


_TO_TEXT: dict[type, Callable[[Any], str]] = {
    int: hex,
    str: lambda text: text.encode("utf-8", "surrogatepass").hex(),
    bytes: bytes.hex,
    bytearray: bytearray.hex,
    Decimal: str,
}
_TO_ITEMS: dict[type, Callable[[Any], Iterable[Any]]] = {
    **dict.fromkeys((list, tuple, set, frozenset), iter),
    dict: lambda value: map(list, value.items()),
    complex: lambda value: (value.real, value.imag),
    range: lambda value: (value.start, value.stop, value.step),
    Fraction: Fraction.as_integer_ratio,
}
#: How an instance of a subclass becomes one of its base, whatever the subclass overrides.
_BASES: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (int, int.__int__),
    (float, float.__float__),
    (str, str.__str__),
    *((base, base) for base in (complex, bytes, bytearray, list, tuple, set, frozenset, dict)),
)


def _decode(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(value, list):
        return [_decode(item, depth + 1) for item in value]
    if isinstance(value, dict):
        ((kind, content),) = value.items()
        if kind in _FROM_TEXT and isinstance(content, str):
            return _FROM_TEXT[kind](content)
        if kind in _FROM_ITEMS and isinstance(content, list):
            return _FROM_ITEMS[kind]([_decode(item, depth + 1) for item in content])
        raise ValueError("no such kind of value")
    return value


_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "int": lambda digits: int(digits, 16),
    "str": lambda digits: bytes.fromhex(digits).decode("utf-8", "surrogatepass"),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "Decimal": Decimal,
}
_FROM_ITEMS: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "dict": dict,
    "iterator": iter,
    "complex": lambda parts: complex(*parts),
    "range": lambda parts: range(*parts),
    "Fraction": lambda parts: Fraction(*parts),
}
