"""Read YAML settings files with ``defaults`` lists, config groups and packages, as in the original.

A file maps groups to keys. ``defaults`` lists further files to include, in order::

    defaults:
      - base                 # base.yaml beside it
      - model: fast          # model/fast.yaml, below the key model
      - optional model: mine # the same, if there is such a file
      - _self_               # the file's own keys; at the end by default
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import yaml

from trio_beam.benchmark.common.encoding import decode
from trio_beam.errors import ConfigError

_SELF = "_self_"
_GLOBAL = "_global_"
#: The first line of a file may name the package of its keys: ``# @package _global_``.
_PACKAGE = re.compile(r"\A\s*#\s*@package\s+(\S+)")
_ENTRY = re.compile(r"(?:(optional|override)\s+)?([^@\s]+)(?:@(\S+))?")


@attrs.frozen
class ConfigFiles:
    """The files of one run.

    Attributes:
        primary: the named file, or None.
        folder: the folder of config groups; None: there are none.
        option: the option that named the file, for messages.
        chosen: group options chosen on the command line, by group.
    """

    primary: Path | None = None
    folder: Path | None = None
    option: str = "--config"
    chosen: Mapping[str, str] = attrs.field(factory=dict)

    def leaves(self) -> Iterator[tuple[str, Any]]:
        """Yield each key the files set, with its value; later ones take precedence.

        Raises:
            ConfigError: a file cannot be read, or is malformed.
        """
        named: set[str] = set()
        if self.primary is not None:
            yield from self._file(self.primary, "", named, ())
        for group in self.chosen.keys() - named:
            yield from self._group(group, self.chosen[group], named, ())

    def has_group(self, name: str) -> bool:
        """Return whether a name is a config group, that is, a folder with files."""
        return self.folder is not None and (self.folder / name).is_dir()

    @property
    def _root(self) -> Path:
        return self.folder or Path()

    def _file(
        self, path: Path, package: str, named: set[str], above: tuple[Path, ...]
    ) -> Iterator[tuple[str, Any]]:
        if path in above:
            raise self._wrong(path, "a file that is not among its own defaults")
        package, content = self._read(path, package)
        entries = content.pop("defaults", [])
        if not isinstance(entries, list):
            raise self._wrong(path, "a file whose defaults are a list")
        if _SELF not in entries:
            entries = [*entries, _SELF]
        for entry in entries:
            if entry == _SELF:
                yield from _leaves(content, package)
            elif isinstance(entry, str):
                other = self._root / entry[1:] if entry[0] == "/" else path.parent / entry
                yield from self._file(_yaml(other), package, named, (*above, path))
            else:
                yield from self._entry(path, entry, named, (*above, path))

    def _entry(
        self, path: Path, entry: Any, named: set[str], above: tuple[Path, ...]
    ) -> Iterator[tuple[str, Any]]:
        key, option = next(iter(entry.items())) if isinstance(entry, dict) and entry else ("", None)
        match = _ENTRY.fullmatch(str(key))
        if match is None or len(entry) != 1:
            raise self._wrong(path, f"a file without the default {entry!r}")
        word, group, package = match.groups()
        if re.match(r"/?hydra\b", group):
            raise self._wrong(path, "a file without settings of Hydra, which is not used here")
        if word == "override":
            raise self._wrong(
                path, f"a file without 'override': name {group} once, as it should be"
            )
        for one in option if isinstance(option, list) else [option]:
            yield from self._group(
                group.lstrip("/"), one, named, above, package, optional=word == "optional"
            )

    def _group(
        self,
        group: str,
        option: str | None,
        named: set[str],
        above: tuple[Path, ...],
        package: str | None = None,
        *,
        optional: bool = False,
    ) -> Iterator[tuple[str, Any]]:
        option = self.chosen.get(group, option)
        named.add(group)
        if option is None:
            return
        path = _yaml(self._root / group / option)
        if optional and not path.exists():
            return
        below = group.replace("/", ".") if package is None else package
        yield from self._file(path, "" if below == _GLOBAL else f"{below}.", named, above)

    def _read(self, path: Path, package: str) -> tuple[str, dict[str, Any]]:
        """Return the package and the content of a file."""
        try:
            text = decode(path.read_bytes())
            content = yaml.safe_load(text)
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise self._wrong(path, f"a YAML file that can be read ({error})") from None
        content = {} if content is None else content
        if not isinstance(content, dict):
            raise self._wrong(path, "a YAML file with the groups as its keys")
        if match := _PACKAGE.match(text):
            package = "" if match[1] == _GLOBAL else f"{match[1]}."
        return package, content

    def _wrong(self, path: Path, bound: str) -> ConfigError:
        return ConfigError(self.option, bound, path)


def find_config(name: str | None, path: Path | None, beside: Path) -> ConfigFiles:
    """Find the file specified by ``--config-name`` and ``--config-path``.

    Args:
        name: of the file, with or without ``.yaml``; None: ``config``.
        path: its folder; None: ``conf``, or the current one.
        beside: folder of the program, in which relative folders are searched too.

    Raises:
        ConfigError: there is no such file.
    """
    folders = [path] if path is not None else [Path("conf"), Path()]
    found = [folder for one in folders for folder in (one, beside / one) if folder.is_dir()]
    for folder in found:
        if (file := _yaml(folder / (name or "config"))).is_file():
            return ConfigFiles(file, folder, "--config-name")
    if path is not None and not found:
        raise ConfigError("--config-path", "a folder with YAML files", str(path))
    bound = f"the name of a YAML file in {' or '.join(str(folder) for folder in folders)}"
    raise ConfigError("--config-name", bound, name or "config")


def _yaml(path: Path) -> Path:
    return path if path.suffix in (".yaml", ".yml") else path.with_name(f"{path.name}.yaml")


def _leaves(content: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{key}.")
        else:
            yield key, value
