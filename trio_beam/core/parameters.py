"""Flatten declared parameters into options, and build strategies from option values.

Interfaces such as the command line and benchmark keys know no parameters themselves: `options_of` lists
them and `build` takes the values. An option has the name of its parameter. Parameters of a part are
prefixed by the part's name (``vote_key`` is the ``key`` of a ``Vote``), unless its class defines
`option_prefix`. The part's name alone is an option too where that says enough: for the parameter that its
class names as `option_main` (``reward_model`` is the ``base_url`` of a ``RewardModel``), and for an optional
part, which is there or not (``steps``).
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
    """A parameter of a strategy or of one of its parts, under a name unique in the strategy.

    Attributes:
        name: with underscores.
        parameter: its bounds, unit and help.
        default: the default value; NOTHING if it is required with its part.
        part: name of the part it belongs to; "" for the strategy itself.
        slot: the strategy's parameter that holds that part; "" for the strategy itself.
    """

    name: str
    parameter: Parameter
    default: Any
    part: str = ""
    slot: str = ""


def options_of(owner: type, prefix: str = "", part: str = "", slot: str = "") -> list[Option]:
    """List the options of a configuration class, each part followed by its own options."""
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
        if not _is_switched(parameter) and (
            parameter.registry is not None or not _is_declared(parameter.part)
        ):
            found.append(option)
        for inner, kind in _kinds(name, parameter):
            if _is_switched(parameter):
                found.append(_switch(prefix + inner, kind, inner, slot or name))
            own = options_of(kind, _prefix(prefix, inner, kind), inner, slot or name)
            found += [attrs.evolve(one, name=_named(one.name, prefix, inner, kind)) for one in own]
    return found


def _is_switched(parameter: Parameter) -> bool:
    """Return whether a part is optional and registered, so that its name says whether it is there."""
    return parameter.optional and parameter.registry is not None


def _switch(name: str, kind: type, part: str, slot: str) -> Option:
    words = (kind.__doc__ or "").partition("\n")[0].replace("``", "")
    parameter = Parameter(kind="boolean", help=words)
    return Option(name=name, parameter=parameter, default=False, part=part, slot=slot)


def _named(name: str, prefix: str, part: str, kind: type) -> str:
    """Return the name of a part's option: the part's own for its main parameter."""
    main = getattr(kind, "option_main", None)
    return prefix + part if main and name == _prefix(prefix, part, kind) + main else name


def build(owner: type[T], values: Mapping[str, Any]) -> T:
    """Build a configuration from plain values.

    A part may be given by name, as a mapping with ``"name"`` and its parameters, or implied by one of its
    own options.

    Args:
        owner: the configuration class.
        values: by option name, as in `options_of`.

    Raises:
        ConfigError: a name is unknown, an option has no effect, or a value is out of bounds.
    """
    rest = dict(values)
    made: T = _build(owner, rest, "")
    for name in rest:
        raise _unused_value(owner, name)
    return made


def _build(owner: Any, rest: dict[str, Any], prefix: str) -> Any:
    """Build an object from its own and its parts' values, removing them from `rest`."""
    own: dict[str, Any] = {}
    for name, parameter in parameters_of(owner).items():
        if parameter.kind == "part":
            _build_part(own, name, parameter, rest, prefix)
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


def _build_kind(prefix: str, word: str, kind: type, rest: dict[str, Any]) -> Any:
    """Build a part from the values of its options."""
    inner = _prefix(prefix, word, kind)
    main: str | None = getattr(kind, "option_main", None)
    if main is None:
        return _build(kind, rest, inner)
    if prefix + word in rest:
        rest[inner + main] = rest.pop(prefix + word)
    try:
        return _build(kind, rest, inner)
    except ConfigError as error:
        if error.field != inner + main:
            raise
        named = ConfigError(prefix + word, error.bound, None)
        named.args = (prefix + word + str(error).removeprefix(error.field),)
        raise named from None


def _build_part(
    own: dict[str, Any], name: str, parameter: Parameter, rest: dict[str, Any], prefix: str
) -> None:
    kinds = dict(_kinds(name, parameter))
    given = rest.pop(prefix + name, None)
    if isinstance(given, Mapping) and kinds:
        inner = dict(given)
        path = f"{prefix}{name}."
        word = inner.pop(_NAME, name if name in kinds else None)
        if word is None:
            raise ConfigError(path + _NAME, "given", None)
        if not isinstance(word, str) or word not in kinds:
            names = ", ".join(map(repr, sorted(kinds)))
            raise ConfigError(path + _NAME, f"one of {names}", word)
        try:
            own[name] = build(kinds[word], inner)
        except ConfigError as error:
            raise _renamed(error, path) from None
        return
    if given is not None and not (isinstance(given, str) and given in kinds):
        own[name] = given  # an object, a function or an unknown name: the validator decides
        return
    chosen = given
    if _is_switched(parameter):
        switches = {word: rest.pop(prefix + word) for word in kinds if prefix + word in rest}
        for word, on in switches.items():
            _switch(prefix + word, kinds[word], word, name).parameter.check(prefix + word, on)
        chosen = chosen or next((word for word, on in switches.items() if on), None)
        if chosen is None and switches:
            own[name] = None  # switched off: its options are left over, and refused
            return
    implied = [word for word, kind in kinds.items() if _has_options(prefix, word, kind, rest)]
    chosen = chosen or next(iter(implied), None)
    if chosen is not None:
        kind = kinds[chosen]
        by_name = not implied and not hasattr(kind, "option_main")
        own[name] = chosen if by_name else _build_kind(prefix, chosen, kind, rest)


def _has_options(prefix: str, word: str, kind: type, rest: Mapping[str, Any]) -> bool:
    """Return whether one of a part's options has a value."""
    own = options_of(kind, _prefix(prefix, word, kind))
    return any(_named(one.name, prefix, word, kind) in rest for one in own)


def _kinds(name: str, parameter: Parameter) -> Iterator[tuple[str, type]]:
    """Yield the classes with parameters that a part may be an instance of, with their names."""
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
    """Return the error with the option's name instead of the field's."""
    renamed = ConfigError(prefix + error.field, error.bound, None)
    words = str(error)
    at_once = words.startswith(error.field)
    renamed.args = (prefix + words if at_once else f"{prefix.rstrip('.')}: {words}",)
    return renamed


def _unused_value(owner: type, name: str) -> ConfigError:
    """Return the error for a value that was not used."""
    options = {option.name: option for option in options_of(owner)}
    if name in options:
        bound = f"omitted, or given together with {options[name].part!r}, to which it belongs"
        error = ConfigError(name, bound, None)
        error.args = (f"{name} has no effect here: it is a parameter of {options[name].part!r}",)
        return error
    near = difflib.get_close_matches(name, options, n=1)
    meant = f"; did you mean {near[0]!r}?" if near else ""
    error = ConfigError(name, "a parameter that exists", name)
    error.args = (f"there is no parameter {name!r}{meant}",)
    return error
