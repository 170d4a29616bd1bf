"""The docs agree with the code: pages and pictures made from it, names, links, commands, messages."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

import trio_beam
from tests.test_public import EXPORTED
from trio_beam.cli.main import cli

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in DOCS.rglob("*")
    if path.suffix in (".md", ".rst") and "_build" not in path.parts
)
#: Pages and what GitHub shows beside them.
TEXTS = [
    *(path for path in PAGES if path.suffix == ".md"),
    *(
        ROOT / name
        for name in ("README.md", "CONTRIBUTING.md", "examples/README.md", "tests/README.md")
    ),
]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    """The blocks of code of a page."""
    return re.findall(rf"```{language}\n(.*?)```", path.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("script", ["generate_docs.py", "draw_concepts.py"])
def test_generated_files_are_up_to_date(script: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / script, "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_reference_has_every_public_name() -> None:
    shown: list[str] = []
    for path in (DOCS / "reference").rglob("*"):
        if path.suffix == ".rst":
            found = re.findall(r"^\.\. auto\w+:: +(\S+)$", path.read_text("utf-8"), re.MULTILINE)
            shown += [name.rpartition(".")[2] for name in found]
    shown += re.findall(
        r"^## `(\w+)`$", (DOCS / "reference/events.md").read_text("utf-8"), re.MULTILINE
    )
    missing = {f"{package}.{name}" for package, name, _ in EXPORTED if name not in shown}
    assert not missing


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    listed = set("\n".join(re.findall(r"```{toctree}\n(.*?)```", index, re.DOTALL)).split())
    linked = {target.rpartition(".")[0] for target in re.findall(r"\]\(([^)]+)\)", index)}
    names = {path.relative_to(DOCS).with_suffix("").as_posix() for path in PAGES} - {"index"}
    assert names <= listed
    assert names <= linked


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_links_lead_to_files(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://", "#")):
            assert (path.parent / target.partition("#")[0]).exists(), target


def commands() -> list[tuple[str, str]]:
    """Every command of the project in a block of shell, from behind ``trio-beam``."""
    found = []
    for path in TEXTS:
        for block in blocks(path, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                matched = re.match(r"(?:\S+=\S* |uv run (?:-\S+ \S+ )*)*trio-beam (.*)", line)
                if matched:
                    found.append((name_of(path), matched[1]))
    return found


@pytest.mark.parametrize(("page", "command"), commands())
def test_a_command_is_understood(page: str, command: str) -> None:
    """Its options exist and their values are allowed; it is not run."""
    name, *words = shlex.split(command, comments=True)
    found = cli.get_command(click.Context(cli), name)
    assert found is not None, name
    if "--help" not in words and found.context_settings.get("help_option_names") != []:
        with found.make_context(name, words, parent=click.Context(cli)):
            pass


def test_the_help_of_every_command_is_in_the_reference() -> None:
    page = (DOCS / "reference" / "commands.md").read_text("utf-8")
    assert "Error:" not in page
    for name in {*cli.list_commands(click.Context(cli))} - {"bench"}:
        assert f"Usage: trio-beam {name} " in page


def test_there_are_commands() -> None:
    assert len(commands()) > 10


def messages() -> list[str]:
    """Every text of the source, with "…" where a value is put in."""
    found = []
    for path in Path(trio_beam.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (
                    str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values
                )
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def test_messages_that_are_explained_exist() -> None:
    page = (DOCS / "how-to" / "troubleshooting.md").read_text("utf-8")
    explained = re.findall(r"^### (`+) ?(.*?) ?\1$", page, re.MULTILINE)
    assert len(explained) > 20
    known = messages()
    missing = [text for _, text in explained if not any(text in message for message in known)]
    assert not missing


@pytest.mark.parametrize("path", [DOCS / "how-to" / "servers.md"], ids=name_of)
def test_endpoints_that_are_shown_can_be_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a key")
    made = 0
    for block in blocks(path, "python"):
        code = compile(block, name_of(path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if "await" not in block:
            names: dict[str, object] = {"trio_beam": trio_beam}
            exec(code, names)
            made += isinstance(names["endpoint"], trio_beam.Endpoint)
    assert made >= 2
