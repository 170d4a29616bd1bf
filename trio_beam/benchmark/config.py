"""From the defaults, a file and the command line to typed `Settings`."""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import attrs
import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from trio_beam.benchmark.overrides import Override, UnknownKey, parse_override
from trio_beam.benchmark.settings import Settings
from trio_beam.errors import ConfigError

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def load_settings(overrides: Sequence[Override], file: Path | None = None) -> Settings:
    """The settings of one run: the defaults, over them the file, over both the overrides.

    Raises:
        UnknownKey: the file has a key that does not exist.
        ConfigError: a value is of another type than its key; the file cannot be read.
    """
    merged = _defaults()
    if file is not None:
        for key, value in _leaves(_read(file)):
            _set(merged, key, value)
    for override in overrides:
        _set(merged, override.key, _value(override))
    return cast("Settings", OmegaConf.to_object(merged))


def to_yaml(settings: Settings) -> str:
    """The same settings as a file that `load_settings` reads."""
    return str(yaml.safe_dump(attrs.asdict(settings), sort_keys=False, allow_unicode=True))


@cache
def known_keys() -> tuple[str, ...]:
    """Every key with its groups, in the order of the file of defaults."""
    return tuple(key for key, _ in _leaves(OmegaConf.to_container(_defaults())))


def parse_words(words: Sequence[str]) -> list[Override]:
    """All ``key=value`` of a command line.

    Raises:
        ConfigError: as `parse_override`.
    """
    return [parse_override(word, known_keys()) for word in words]


def _defaults() -> DictConfig:
    text = importlib.resources.files("trio_beam.benchmark").joinpath("config.yaml").read_text()
    merged = OmegaConf.merge(OmegaConf.structured(Settings), OmegaConf.create(text))
    return cast("DictConfig", merged)


def _read(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
        content = OmegaConf.to_container(OmegaConf.create(text))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, OmegaConfBaseException) as error:
        raise ConfigError("--config", f"a YAML file that can be read ({error})", file) from None
    if not isinstance(content, dict):
        raise ConfigError("--config", "a YAML file with the groups as its keys", file)
    return content


def _leaves(content: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value


def _set(merged: DictConfig, key: str, value: Any) -> None:
    if key not in known_keys():
        raise UnknownKey(key, known_keys())
    if isinstance(value, str):
        value = value.replace(
            "${", r"\${"
        )  # a text may have it; references between keys do not exist
    try:
        OmegaConf.update(merged, key, value)
    except OmegaConfBaseException:
        raise ConfigError(key, _wanted(key, value), value) from None


def _wanted(key: str, value: Any) -> str:
    kind, optional = _type_of(key)
    wanted = _KINDS.get(kind, "of another type") + (" or null" if optional else "")
    if isinstance(value, str) and "," in value:
        wanted += " (several values are a sweep: add -m)"
    return wanted


@cache
def _type_of(key: str) -> tuple[type, bool]:
    """The type of a key, and whether it may be null."""
    group, _, name = key.rpartition(".")
    node = OmegaConf.select(_defaults(), group)._get_node(name)  # noqa: SLF001  # nothing public tells
    return node._metadata.ref_type, node._metadata.optional  # noqa: SLF001


def _value(override: Override) -> Any:
    """A text is taken as it stands, unless it is quoted; anything else is read as YAML."""
    kind, optional = _type_of(override.key)
    text = override.text
    if kind is str and not text.startswith(("'", '"')):
        return None if optional and text == "null" else text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(override.key, _wanted(override.key, text), text) from None
