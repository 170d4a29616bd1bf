"""``trio-beam view --text`` and ``generate --tree``: the tree of beams on a terminal, harmlessly."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path

import attrs
import pytest
import trio
from click.testing import CliRunner, Result
from rich.console import Console

import trio_beam
from tests.core.builders import block
from tests.servers.socket_server import threaded_server
from tests.traces.searches import run_recorded
from trio_beam import BeamSearchConfig, McmcConfig, Resample, SearchResult, Vote
from trio_beam.cli.main import cli
from trio_beam.cli.tree import print_tree
from trio_beam.core.beam import Beam
from trio_beam.core.usage import Usage
from trio_beam.observers import Trace
from trio_beam.testing import FakeEndpoint, ScriptedModel
from trio_beam.traces import read_trace

HOSTILE = "\x1b[2J\u202e\nround 1: <script>alert(1)</script> \x07" + "long " * 100


def look(*words: object) -> Result:
    return CliRunner().invoke(cli, ["view", *map(str, words)])


def test_every_beam_has_its_fate(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    script = [
        ("good one", -1.0),
        ("poor one goes on", -9.0),
        ("good one", -1.0),
        ("fine too so", -2.0),
        ("very bad text so", -30.0),
    ]
    config = BeamSearchConfig(
        n_per_beam=3, tokens_per_step=2, max_tokens=4, early_stopping=False, answer=Vote()
    )
    result = run_recorded(path, ScriptedModel(script), config)
    assert isinstance(result, SearchResult)
    shown = look(path, "--text").stdout
    assert "good one" in shown
    assert "the answer; ended by the model" in shown
    assert "dropped in round 1: place 4 of 4" in shown
    assert "the same tokens as another" in shown
    assert "votes: good one" in shown
    assert f"{result.usage.completion_tokens} completion tokens" in shown


@pytest.mark.parametrize(
    "config",
    [
        BeamSearchConfig(tokens_per_step=1, max_tokens=40, selection=Resample(), beam_width=4),
        McmcConfig(tokens_per_step=2, max_tokens=4, chains=2, steps=2),
        BeamSearchConfig(tokens_per_step=2, max_tokens=8, beam_width=40, n_per_beam=5),
    ],
    ids=["particles", "chains", "wide"],
)
@pytest.mark.parametrize("within", [0.5, float("inf")])
def test_every_kind_of_search_is_drawn(
    tmp_path: Path, config: trio_beam.Strategy, within: float
) -> None:
    path = tmp_path / "run.jsonl"
    run_recorded(path, FakeEndpoint(latency=0.2), config, within=within)
    shown = look(path, "--text")
    assert shown.exit_code == 0
    assert "search 1: " in shown.stdout


@pytest.mark.parametrize("terminal", [False, True])
def test_what_became_of_a_beam_is_told_whole(tmp_path: Path, terminal: bool) -> None:
    path = tmp_path / "run.jsonl"
    config = BeamSearchConfig(
        beam_width=4,
        n_per_beam=1,
        tokens_per_step=2,
        max_tokens=6,
        selection=Resample(moves=2),
        seed=1,
    )
    run_recorded(path, FakeEndpoint(), config)
    shown = io.StringIO()
    (search,) = read_trace(path).searches
    print_tree(Console(file=shown, width=40, force_terminal=terminal, no_color=True), search)
    folded = re.sub(r"\x1b\[[0-9;]*m", "", shown.getvalue())
    words = " ".join(re.sub("[│├└─]", " ", folded).split())
    assert re.search("the answer; (ended by the model|stopped: max_tokens)", words)
    assert re.search(r"particle 1, round 1, step 1: (accepted|rejected) with probability \d", words)
    assert terminal == (max(map(len, folded.splitlines())) <= 40), folded


def test_hostile_text_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    config = BeamSearchConfig(tokens_per_step=300, max_tokens=300, n_per_beam=1, beam_width=1)
    result = run_recorded(path, ScriptedModel([HOSTILE]), config, prompt=HOSTILE)
    assert isinstance(result, SearchResult)
    shown = look(path, "--text").stdout
    assert not set("\x1b\u202e\x07") & set(shown)
    assert not any(line.startswith("round 1") for line in shown.splitlines())
    assert max(map(len, shown.splitlines())) < 250
    html = result._repr_html_()
    assert "<script>" not in html
    assert "\u202e" not in html
    assert "&lt;script&gt;" in html


def test_the_text_of_a_message_in_parts_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    config = BeamSearchConfig(tokens_per_step=2, max_tokens=2)
    parts = [{"type": "text", "text": "Hi"}, {"type": "text", "text": "you"}]
    run_recorded(path, FakeEndpoint(), config, prompt=[{"role": "user", "content": parts}])
    assert look(path, "--text").stdout.splitlines()[1] == r"Hi\nyou"


def test_a_trace_that_has_no_end(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run_recorded(path, FakeEndpoint(), BeamSearchConfig(tokens_per_step=2, max_tokens=8))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:8], b"torn\n", lines[8][:20]]))
    shown = look(path, "--text")
    assert "no end yet" in shown.stdout
    assert "1 line is damaged" in shown.stderr
    assert "the last line is not whole" in shown.stderr


def test_wrong_arguments(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run_recorded(path, FakeEndpoint(), BeamSearchConfig(tokens_per_step=2, max_tokens=4))
    assert look(path).exit_code == 2
    assert look(path, "--text", "--search", 2).exit_code == 2
    assert "at most 1" in look(path, "--text", "--search", 2).stderr
    with Trace(tmp_path / "none"):
        pass
    assert look(tmp_path / "none", "--text").stderr == "the trace has no search yet\n"
    (tmp_path / "other").write_text("text")
    assert look(tmp_path / "other", "--text").exit_code == 1
    assert "is no trace" in look(tmp_path / "other", "--text").stderr


def test_a_result_in_a_notebook_is_a_tree() -> None:
    async def search() -> SearchResult:
        config = BeamSearchConfig(tokens_per_step=2, max_tokens=6, beam_width=3, seed=1)
        return await trio_beam.search(FakeEndpoint(), "x", config)

    result = trio.run(search)
    html = result._repr_html_()
    assert html.count("score ") == len(result.beams)
    assert html.count("<b>") == 1
    greedy = attrs.evolve(result, rounds=1, usage=Usage(completion_tokens=1234, requests=1))
    assert "after 1 round: 1,234 tokens in 1 request<" in greedy._repr_html_()
    assert len(html) < 10_000


def test_a_notebook_shows_the_best_of_many_beams() -> None:
    """Each leaves the others in a round of its own, so that lists are nested as deep as can be."""
    stem = Beam()
    beams = []
    for _ in range(1000):
        stem = stem.extend(block("a "))
        beams.append(stem.extend(block("b ")))
    result = SearchResult(
        text="", score=0.0, beams=tuple(beams), usage=Usage(), rounds=1, stop_reason="max_tokens"
    )
    html = result._repr_html_()
    assert html.count("score ") == 100
    assert "and 900 more beams" in html


def words_of(server: tuple[str, object], *more: object) -> Sequence[str]:
    url, _ = server
    given = ["--base-url", url, "--model", "m", "--dialect", "openai", "--max-tokens", "4"]
    return ["generate", "Once", *given, "--tokens-per-step", "2", "--quiet", *map(str, more)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_trace_on_a_full_disk_is_said_once_and_costs_the_exit_code() -> None:
    with threaded_server() as server:
        words = words_of(server, "--trace", "/dev/full")
        run = CliRunner().invoke(cli, words, env={"OPENAI_API_KEY": ""})
    assert run.exit_code == 1
    assert run.stdout.strip()
    assert run.stderr.count("No space left on device") == 1
    assert "the trace ends here, the search goes on: cannot write the trace" in run.stderr


def test_generate_prints_the_tree_and_writes_the_trace(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with threaded_server() as server:
        run = CliRunner().invoke(
            cli, words_of(server, "--tree", "--trace", path), env={"OPENAI_API_KEY": ""}
        )
        logged = CliRunner().invoke(
            cli,
            words_of(server, "--log-level", "info", "--trace-without", "prompts", "--trace", path),
            env={"OPENAI_API_KEY": ""},
        )
    assert run.exit_code == 0, run.output
    assert "the answer" in run.stderr
    assert "the answer" not in run.stdout
    assert trio_beam.replay(path, search=1).text == run.stdout.removesuffix("\n")
    assert "INFO search 0 began" in logged.stderr
    assert "the answer" in look(path, "--text", "--search", 1).stdout
    assert "(the prompt was left out)" in look(path, "--text", "--search", 2).stdout


def test_what_is_to_be_left_out_of_no_trace_is_refused() -> None:
    run = CliRunner().invoke(cli, ["generate", "--trace-without", "prompts", "x"])
    assert run.exit_code == 2
    assert "--trace-without must be given with --trace FILE" in run.stderr
