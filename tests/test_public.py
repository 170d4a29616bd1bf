"""The public names: exported where they are promised, typed so that tools can read them, hiding no module."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import trio_beam

PUBLIC = [
    "trio_beam",
    "trio_beam.answers",
    "trio_beam.asyncio",
    "trio_beam.dialects",
    "trio_beam.observers",
    "trio_beam.scorers",
    "trio_beam.selection",
    "trio_beam.strategies",
    "trio_beam.testing",
]


def exported() -> Iterator[tuple[str, str, Any]]:
    for package in PUBLIC:
        module = importlib.import_module(package)
        for name in module.__all__:
            yield package, name, getattr(module, name)


EXPORTED = list(exported())


def test_type_checkers_and_python_find_a_name_in_the_same_place() -> None:
    tree = ast.parse(Path(trio_beam.__file__).read_text("utf-8"))
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {
        alias.name: node.module
        for node in typed.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == trio_beam._MODULES
    assert sorted(seen) == sorted(trio_beam.__all__)


def test_names_are_imported_when_they_are_used() -> None:
    program = (
        "import sys, trio_beam\n"
        "assert not {'trio', 'httpx', 'attrs', 'click', 'rich'} & sys.modules.keys()\n"
        "assert set(trio_beam.__all__) < set(dir(trio_beam))\n"
        "trio_beam.strategies.sample, trio_beam.BeamSearchConfig\n"
        "assert not {'trio', 'httpx'} & sys.modules.keys()\n"
        "assert not hasattr(trio_beam, 'nothing_of_that_name')"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "module", ["scorers.power", "rewards", "dialects.rewards.score", "core.mcmc_config"]
)
def test_any_module_can_be_the_first(module: str) -> None:
    """Registries import what registers with them when they are read, and not before."""
    program = (
        f"import trio_beam.{module}\n"
        "from trio_beam import BeamSearchConfig, McmcConfig\n"
        "from trio_beam.core.scorer import SCORERS\n"
        "assert {'judge', 'reward_model'} < set(SCORERS.names())\n"
        "BeamSearchConfig(selection='subtrees', scorer='mean_logprob', answer='best')"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def callables(thing: Any) -> Iterator[Any]:
    """A function itself; a class, with the functions and properties that it defines.

    Those that attrs generates know no globals; a class tells the types of its fields itself.
    """
    if isinstance(thing, FunctionType):
        yield thing
    elif inspect.isclass(thing):
        yield thing
        for member in vars(thing).values():
            if isinstance(member, FunctionType):
                if not member.__code__.co_filename.startswith("<attrs"):
                    yield member
            elif isinstance(member, property):
                yield member.fget
            elif isinstance(member, classmethod | staticmethod):
                yield member.__func__


@pytest.mark.parametrize(("package", "name", "thing"), EXPORTED)
def test_type_hints_can_be_read(package: str, name: str, thing: Any) -> None:
    for one in callables(thing):
        typing.get_type_hints(one)


@pytest.mark.parametrize(("package", "name", "thing"), EXPORTED)
def test_what_is_exported_is_explained(package: str, name: str, thing: Any) -> None:
    if inspect.isclass(thing) or isinstance(thing, FunctionType):
        assert inspect.getdoc(thing)


def packages() -> list[str]:
    modules = pkgutil.walk_packages(trio_beam.__path__, "trio_beam.")
    return ["trio_beam", *(module.name for module in modules if module.ispkg)]


@pytest.mark.parametrize("package", packages())
def test_no_function_hides_a_module_of_the_same_name(package: str) -> None:
    module = importlib.import_module(package)
    for found in pkgutil.iter_modules(module.__path__):
        if not found.name.startswith("_"):  # private, or a program
            loaded = importlib.import_module(f"{package}.{found.name}")
            assert getattr(module, found.name) is loaded, f"{package}.{found.name} is hidden"


def test_what_a_user_needs_to_write_parts_is_exported() -> None:
    assert {
        "Event",
        "LanguageModel",
        "Observer",
        "Prompt",
        "Sampler",
        "Scorer",
        "Selection",
        "TrioTransport",
    } <= set(trio_beam.__all__)
