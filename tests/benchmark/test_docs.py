"""The page on benchmark runs is true: its commands are understood, its keys and files exist."""

from __future__ import annotations

import itertools
import re
import shlex
from pathlib import Path

import pytest

from trio_beam.benchmark.config import known_keys, load_settings, parse_args
from trio_beam.benchmark.keys import canonical
from trio_beam.benchmark.main import main
from trio_beam.benchmark.settings import Settings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "running-benchmarks.md").read_text("utf-8")
SCRIPT = "uv run --all-extras python scripts/run_benchmark.py"


def commands() -> list[str]:
    """The words behind the command's name, of every line in a block of shell."""
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [
        line.partition(name)[2]
        for line in lines
        for name in (f"{SCRIPT} ", "run ")
        if line.startswith(name)
    ]


def code(text: str) -> list[str]:
    """Everything in backquotes, outside of blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def test_the_page_has_commands() -> None:
    assert len(commands()) >= 5
    assert f"`{SCRIPT}`" in PAGE, "it says what `run` stands for"


@pytest.mark.parametrize("command", commands())
def test_a_command_is_understood(
    command: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("XAI_API_KEY", "a key")
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command, comments=True)
    for word, following in itertools.pairwise(words):
        if word == "--config":
            Path(following).write_text("beam_search:\n  alpha: 3\n")
    assert main([*words, "--show-config"]) == 0, capsys.readouterr().err
    assert "beam_search:" in capsys.readouterr().out


def keys() -> list[str]:
    """Whatever in backquotes looks like ``group.key``, alone or with a value."""
    groups = {key.partition(".")[0] for key in known_keys()}
    found = (re.match(r"([a-z_]+)\.[a-z_.]+", text) for text in code(PAGE))
    return sorted({canonical(one[0].rstrip(".")) for one in found if one and one[1] in groups})


def test_the_page_names_keys() -> None:
    assert len(keys()) >= 10


@pytest.mark.parametrize("key", keys())
def test_a_key_exists(key: str) -> None:
    assert key in known_keys() or any(known.startswith(f"{key}.") for known in known_keys())


def test_a_word_with_a_value_is_taken() -> None:
    words = [text for text in code(PAGE) if re.fullmatch(r"[a-z_]+\.[a-z_.]+=[^ ]+", text)]
    words.remove("group.key=value")
    assert len(words) >= 3
    assert isinstance(load_settings(parse_args(words)), Settings)


def test_the_table_of_groups_is_whole() -> None:
    rows = re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)
    assert rows == list(dict.fromkeys(key.partition(".")[0] for key in known_keys()))


def test_every_picture_and_link_is_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert targets
    for target in targets:
        assert (ROOT / "docs" / target).exists(), target
