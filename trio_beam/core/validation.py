"""Declare parameters once: default, bounds, unit and help.

`integer`, `number`, `boolean`, `one_of` and `part` each return an attrs field that validates its value and
carries its `Parameter` as metadata; a field with a converter sets both explicitly (`check_declared`). The
command line, benchmark keys and tables in the docs are generated from these declarations
(`core.parameters`).
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias, TypeVar

import attrs

from trio_beam.core.registry import Registry
from trio_beam.errors import ConfigError

T = TypeVar("T")

#: Metadata key of a field's `Parameter`.
PARAMETER = "trio_beam.parameter"
Kind: TypeAlias = Literal[
    "integer", "number", "boolean", "choice", "text", "texts", "mapping", "part", "function"
]
#: What a parameter is about; help shows those of one topic together.
Topic: TypeAlias = Literal["model", "search", "answer", "failure and time"]
Validator: TypeAlias = Callable[[Any, "attrs.Attribute[Any]", Any], None]


@attrs.frozen(kw_only=True)
class Parameter:
    """A declared parameter.

    Attributes:
        kind: kind of value.
        help: one line for users.
        unit: such as ``"tokens"``, ``"seconds"`` or ``"nats"``; "" without a unit.
        minimum: smallest allowed value.
        above: whether `minimum` itself is excluded.
        maximum: largest allowed value.
        optional: whether None is allowed.
        choices: the allowed values of a ``"choice"``; for a number, words allowed as well.
        registry: names of the allowed parts.
        part: class of the allowed parts; without a registry, the class to build from parameters.
        accepts: whether an object that is not an instance of `part` is allowed too.
        accepted: the allowed objects, in words.
        topic: the subject, by which help groups parameters.
    """

    kind: Kind
    help: str = ""
    unit: str = ""
    minimum: float = -math.inf
    above: bool = False
    maximum: float = math.inf
    optional: bool = False
    choices: tuple[Any, ...] = ()
    registry: Registry[Any] | None = None
    part: type | None = None
    accepts: Callable[[Any], bool] | None = None
    accepted: str = ""
    topic: Topic = "search"

    @property
    def bound(self) -> str:
        """The allowed values, in words."""
        return _describe(self)

    def check(self, field: str, value: object) -> None:
        """Raise `ConfigError` about `field` unless `value` is allowed."""
        if not (self._is_choice(value) or (self.optional and value is None) or self._fits(value)):
            raise ConfigError(field, self.bound, value)

    def _is_choice(self, value: object) -> bool:
        # `is` for non-strings, because 1 == True and 0 == False.
        return any(
            value is choice or (isinstance(value, str) and value == choice)
            for choice in self.choices
        )

    def _fits(self, value: object) -> bool:
        match self.kind:
            case "integer":
                return _is_integer(value) and self._within(value)
            case "number":
                return _is_finite(value) and self._within(value)
            case "part":
                return self._is_part(value)
            case kind:
                return kind in _FITS and _FITS[kind](value)

    def _is_part(self, value: object) -> bool:
        if isinstance(value, str):
            return self.registry is not None and value in self.registry
        if self.part is not None and isinstance(value, self.part):
            return True
        return self.accepts is not None and self.accepts(value)

    def _within(self, value: Any) -> bool:
        return self.minimum <= value <= self.maximum and not (self.above and value == self.minimum)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


_FITS: dict[str, Callable[[Any], bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "text": _is_text,
    "texts": lambda value: isinstance(value, tuple) and all(map(_is_text, value)),
    "mapping": lambda value: isinstance(value, Mapping),
}


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the range of floats
        return False


def _describe(parameter: Parameter) -> str:
    match parameter.kind:
        case "integer":
            words = "a whole number" + _describe_range(parameter)
        case "number":
            words = "a finite number" + _describe_range(parameter)
        case "boolean":
            words = "one of True, False"
        case "text":
            words = "a text that is not empty"
        case "texts":
            words = "a sequence of strings that are not empty"
        case "mapping":
            words = "a mapping"
        case "part":
            names = parameter.registry.names() if parameter.registry is not None else []
            known = [f"one of {', '.join(map(repr, names))}"] if names else []
            words = " or ".join([*known, parameter.accepted])
        case _:
            words = f"one of {', '.join(map(repr, parameter.choices))}"
            return words + (" or None" if parameter.optional else "")
    also = [repr(choice) for choice in parameter.choices]
    return " or ".join([*also, words, *(["None"] if parameter.optional else [])])


def _describe_range(parameter: Parameter) -> str:
    if parameter.minimum == -math.inf and parameter.maximum == math.inf:
        return ""
    lower = f" {'above' if parameter.above else 'from'} {parameter.minimum:g}"
    if parameter.maximum < math.inf:
        return f"{lower} to {parameter.maximum:g}"
    return lower if parameter.above else f"{lower} up"


def check_declared(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    """Attrs validator: check a value against the `Parameter` in its field's metadata."""
    parameter: Parameter = attribute.metadata[PARAMETER]
    parameter.check(attribute.name, value)


def field(parameter: Parameter, default: Any) -> Any:
    """Return an attrs field that validates its value against a parameter and keeps it as metadata."""
    return attrs.field(default=default, validator=check_declared, metadata={PARAMETER: parameter})


def integer(
    default: Any = attrs.NOTHING,
    *,
    minimum: int,
    maximum: int | None = None,
    optional: bool = False,
    choices: tuple[str, ...] = (),
    unit: str = "",
    topic: Topic = "search",
    help: str = "",  # noqa: A002  # the usual word
) -> Any:
    """Declare an integer (not a bool or float)."""
    parameter = Parameter(
        kind="integer",
        help=help,
        unit=unit,
        topic=topic,
        minimum=minimum,
        maximum=math.inf if maximum is None else maximum,
        optional=optional,
        choices=choices,
    )
    return field(parameter, default)


def number(
    default: Any = attrs.NOTHING,
    *,
    minimum: float | None = None,
    above: float | None = None,
    maximum: float = math.inf,
    optional: bool = False,
    choices: tuple[str, ...] = (),
    unit: str = "",
    topic: Topic = "search",
    help: str = "",  # noqa: A002
) -> Any:
    """Declare a finite number, from `minimum` up or above `above`."""
    lower = above if above is not None else minimum if minimum is not None else -math.inf
    parameter = Parameter(
        kind="number",
        help=help,
        unit=unit,
        topic=topic,
        minimum=lower,
        above=above is not None,
        maximum=maximum,
        optional=optional,
        choices=choices,
    )
    return field(parameter, default)


def boolean(default: Any = attrs.NOTHING, *, help: str = "") -> Any:  # noqa: A002
    """Declare True or False."""
    return field(Parameter(kind="boolean", help=help), default)


def one_of(
    *choices: Any,
    default: Any = attrs.NOTHING,
    topic: Topic = "search",
    help: str = "",  # noqa: A002
) -> Any:
    """Declare one of a few values; the first is the default unless given."""
    chosen = choices[0] if default is attrs.NOTHING else default
    return field(Parameter(kind="choice", help=help, choices=choices, topic=topic), chosen)


def part(
    kind: type,
    default: Any,
    *,
    registry: Registry[Any] | None = None,
    accepts: Callable[[Any], bool] | None = None,
    accepted: str,
    optional: bool = False,
    topic: Topic = "search",
    help: str = "",  # noqa: A002
) -> Any:
    """Declare a part: a registered name, or an object with parameters of its own.

    Args:
        kind: class of allowed objects.
        default: a name, an object or None.
        registry: allowed names.
        accepts: whether another object is allowed too.
        accepted: the allowed objects, in words.
        optional: whether None is allowed.
        topic: the subject.
        help: one line for users.
    """
    parameter = Parameter(
        kind="part",
        help=help,
        topic=topic,
        optional=optional,
        registry=registry,
        part=kind,
        accepts=accepts,
        accepted=accepted,
    )
    return field(parameter, default)


def parameters_of(owner: type) -> dict[str, Parameter]:
    """Return the declared parameters of a class, in order of declaration."""
    return {
        attribute.name: attribute.metadata[PARAMETER]
        for attribute in attrs.fields(owner)
        if PARAMETER in attribute.metadata
    }


def documented(owner: type[T]) -> type[T]:
    """Class decorator: append the declared parameters to the docstring, as its ``Attributes``."""
    lines = []
    for name, parameter in parameters_of(owner).items():
        if parameter.registry is not None and parameter.registry.packages:
            # Its entries are above the class: they cannot be imported yet.
            parameter = attrs.evolve(parameter, registry=None)  # noqa: PLW2901
        bound = parameter.bound + (f", in {parameter.unit}" if parameter.unit else "")
        words = f"{name}: {parameter.help} {bound[:1].upper()}{bound[1:]}."
        lines += textwrap.wrap(words, 100, initial_indent=" " * 8, subsequent_indent=" " * 12)
    doc = (owner.__doc__ or "").rstrip()
    owner.__doc__ = "\n".join([doc, "", "    Attributes:", *lines, "    "])
    return owner


def as_tuple(value: Any) -> Any:
    """Convert a string to a tuple of one and a list to a tuple; return anything else unchanged."""
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) else value


def check_integer(field: str, value: object, minimum: int, maximum: float = math.inf) -> None:
    """Raise `ConfigError` unless a value is an integer within its bounds."""
    Parameter(kind="integer", minimum=minimum, maximum=maximum).check(field, value)


def check_number(
    field: str,
    value: object,
    minimum: float,
    *,
    above: bool = False,
    maximum: float = math.inf,
) -> None:
    """Raise `ConfigError` unless a value is a finite number within its bounds."""
    Parameter(kind="number", minimum=minimum, above=above, maximum=maximum).check(field, value)
