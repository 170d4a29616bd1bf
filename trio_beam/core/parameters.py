"""Strategies from plain values: the declared parameters as one flat list of options, and back.

The command line, benchmark keys, the gateway and batch runs know no parameter by itself: they ask
`options_of` which there are, and hand what they were given to `build`. An option is named like its
parameter. The parameters of a part stand behind the part's name (``vote_key`` is the ``key`` of a
``Vote``), unless its class has an `option_prefix` of its own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import attrs

from trio_beam.core.validation import Parameter, parameters_of
from trio_beam.errors import ConfigError

T = TypeVar("T")
_NAME = "name"


@attrs.frozen(kw_only=True)
class Option:
    """A parameter of a strategy, or of one of its parts, under a name that is unique in the strategy.

    Attributes:
        name: with underscores.
        parameter: its bounds, unit and help.
        default: if it is not given; NOTHING for one that has to be given with its part.
        part: name of the part that it belongs to; "" for the strategy's own.
        slot: the strategy's parameter that holds that part; "" for the strategy's own.
    """

    name: str
    parameter: Parameter
    default: Any
    part: str = ""
    slot: str = ""


def options_of(owner: type, prefix: str = "", part: str = "", slot: str = "") -> list[Option]:
    """List the options of a configuration class, those of a part behind the part."""
    fields = attrs.fields_dict(owner)
    found: list[Option] = []
    for name, parameter in parameters_of(owner).items():
        default = fields[name].default
        option = Option(
            name=prefix + name, parameter=parameter, default=default, part=part, slot=slot
        )
        if parameter.kind != "part":
            found.append(option)
            continue
        if parameter.registry is not None or not _is_declared(parameter.part):
            found.append(option)
        for inner, kind in _kinds(name, parameter):
            found += options_of(kind, _prefix(prefix, inner, kind), inner, slot or name)
    return found


def build(owner: type[T], values: Mapping[str, Any]) -> T:
    """Make a configuration of plain values.

    A part may be given by its name, as a mapping with ``"name"`` and its parameters, or by options of its
    own, which imply it.

    Args:
        owner: the class.
        values: by the names of `options_of`.

    Raises:
        ConfigError: a name is unknown, or has no effect beside the others; a value is out of bounds.
    """
    rest = dict(values)
    made: T = _build(owner, rest, "")
    for name in rest:
        raise _unusable(owner, name)
    return made


def _build(owner: Any, rest: dict[str, Any], prefix: str) -> Any:
    """Make an object of the values that are its own or its parts', and take them out of `rest`."""
    own: dict[str, Any] = {}
    for name, parameter in parameters_of(owner).items():
        if parameter.kind == "part":
            _take_part(own, name, parameter, rest, prefix)
        elif prefix + name in rest:
            own[name] = rest.pop(prefix + name)
    try:
        return owner(**own)
    except ConfigError as error:
        raise _renamed(error, prefix) if prefix else error from None
    except TypeError:
        fields = attrs.fields_dict(owner)
        missing = next(n for n in fields if fields[n].default is attrs.NOTHING and n not in own)
        raise ConfigError(prefix + missing, "given", None) from None


def _take_part(
    own: dict[str, Any], name: str, parameter: Parameter, rest: dict[str, Any], prefix: str
) -> None:
    kinds = dict(_kinds(name, parameter))
    given = rest.pop(prefix + name, None)
    if isinstance(given, Mapping):
        inner = dict(given)
        word = inner.pop(_NAME, name)
        if word not in kinds:
            parameter.check(f"{prefix}{name}.{_NAME}", word)
        own[name] = build(kinds[word], inner)
        return
    if given is not None and not (isinstance(given, str) and given in kinds):
        own[name] = given  # an object, a function or a word, which its validator checks
        return
    implied = [
        word
        for word, kind in kinds.items()
        if any(option.name in rest for option in options_of(kind, _prefix(prefix, word, kind)))
    ]
    chosen = given or (implied[0] if implied else None)
    if chosen is not None:
        kind = kinds[chosen]
        own[name] = _build(kind, rest, _prefix(prefix, chosen, kind)) if implied else given


def _kinds(name: str, parameter: Parameter) -> Iterator[tuple[str, type]]:
    """The classes with parameters of their own that a part may have, by their names."""
    registry = parameter.registry
    if registry is not None:
        for word in registry.names():
            if isinstance(registry[word], type) and attrs.has(registry[word]):
                yield word, registry[word]
    elif parameter.part is not None and _is_declared(parameter.part):
        yield name, parameter.part


def _is_declared(kind: type | None) -> bool:
    return kind is not None and attrs.has(kind)


def _prefix(prefix: str, word: str, kind: type) -> str:
    own: str = getattr(kind, "option_prefix", f"{word}_")
    return prefix + own


def _renamed(error: ConfigError, prefix: str) -> ConfigError:
    """The same error, about an option instead of a field."""
    renamed = ConfigError(prefix + error.field, error.bound, None)
    renamed.args = (f"{prefix}{error}",)
    return renamed


def _unusable(owner: type, name: str) -> ConfigError:
    """Explain a value that nothing has used."""
    options = {option.name: option for option in options_of(owner)}
    if name in options:
        bound = (
            f"left out, or given together with {options[name].part!r}, which alone it belongs to"
        )
        error = ConfigError(name, bound, None)
        error.args = (f"{name} has no effect here: it is a parameter of {options[name].part!r}",)
        return error
    near = difflib.get_close_matches(name, options, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    error = ConfigError(name, "a parameter that exists", name)
    error.args = (f"there is no parameter {name!r}{meant}",)
    return error
