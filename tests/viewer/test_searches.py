"""What the page is given of a search."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.traces.searches import run_recorded
from tests.viewer.searches import STRATEGIES, record, record_requests
from trio_beam import BeamSearchConfig, SearchResult
from trio_beam.cli.main import cli
from trio_beam.records import to_line
from trio_beam.testing import FakeEndpoint
from trio_beam.traces import read_trace
from trio_beam.viewer.recorded import RecordedSearches
from trio_beam.viewer.shown import page_data

CONFIG = BeamSearchConfig(tokens_per_step=2, max_tokens=6, beam_width=3, seed=1)


def searches_of(path: Path, **given: Any) -> list[Any]:
    _, encoded = page_data([RecordedSearches(path, **given)], mode="file")
    return [None if one is None else json.loads(one) for one in encoded]


def text_of(search: Any, number: int) -> str:
    rows = {row[0]: row for row in search["all"] if row}
    text = ""
    while number:
        text, number = rows[number][2] + text, rows[number][1]
    return text


def test_it_is_what_the_result_says(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    result = run_recorded(path, FakeEndpoint(latency=1), CONFIG)
    assert isinstance(result, SearchResult)
    (search,) = searches_of(path)
    assert [text_of(search, number) for number in search["best"]] == [
        beam.full_text for beam in result.beams
    ]
    assert search["answer"] == result.text
    assert search["score"] == result.score
    assert search["usage"]["completion_tokens"] == result.usage.completion_tokens
    assert search["rounds_done"] == result.rounds
    assert [one["end"] for one in search["rounds"]] == [float(n + 1) for n in range(result.rounds)]
    states = [row[5] for row in search["all"]]
    assert states.count("answer") == 1
    assert states.count("answer") + states.count("result") == len(result.beams)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_beam_has_an_end(tmp_path: Path, name: str) -> None:
    path = tmp_path / "run.jsonl"
    record(path, name)
    (search,) = searches_of(path)
    assert all(
        row[5] != "unscored" and (row[6] or row[5] in {"kept", "part"}) for row in search["all"]
    )
    assert len(search["all"]) == search["beams"] + 1


def test_requests_have_all_that_became_of_them(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    record_requests(path, width=4, rounds=5, trouble=True)
    (search,) = searches_of(path)
    attempts = [one for request in search["requests"] for one in request[7]]
    outcomes = [one[2] for one in attempts]
    assert len(attempts) == search["usage"]["requests"]
    assert outcomes.count("cancelled") == search["usage"]["cancelled"]
    assert outcomes.count("error") == sum(len(one[8]) for one in search["requests"])
    assert any(one[3] for one in attempts)
    assert all(sent <= ended for sent, ended, *_ in attempts)
    assert len(search["pauses"]) == 1


@pytest.mark.parametrize("name", ["beams", "chains"])
def test_the_totals_of_a_search_without_an_end_are_those_of_all_its_chains(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "run.jsonl"
    record(path, name)
    (ended,) = searches_of(path)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    (running,) = searches_of(path)
    assert (running["state"], ended["state"]) == ("running", "finished")
    assert running["usage"] == ended["usage"]


def test_a_cost_is_told_with_what_is_uncertain_of_it(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run_recorded(path, FakeEndpoint(), CONFIG)
    end = read_trace(path).searches[0].end
    assert end is not None
    end.result.rounds = 1
    end.result.usage = {
        "requests": 1,
        "prompt_tokens": 1_234_567,
        "cost": 0.0012,
        "uncertain_cost": 0.0001,
    }
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:-1], to_line(end)]))
    (search,) = searches_of(path)
    assert search["cost"] == "$0.0012 ($0.00010 of it at most)"
    text = CliRunner().invoke(cli, ["view", str(path), "--text"]).stdout
    assert "after 1 round and" in text
    assert f"; 1 request, 1,234,567 prompt tokens, {search['cost']}" in text


def test_what_is_too_large_is_left_out_in_steps(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    record_requests(path, width=4, rounds=6)
    whole = len(page_data([RecordedSearches(path)], mode="file")[1][0] or b"")
    shares = [1.0, 0.9, 0.6, 0.01]
    found = [searches_of(path, limit=int(share * whole))[0] for share in shares]
    assert found[0]["left_out"] == []
    assert found[1]["left_out"] == ["requests"]
    assert found[1]["requests"] == []
    assert found[2]["left_out"] == ["requests", "beams that are not in the result"]
    assert text_of(found[2], found[2]["best"][0]) == text_of(found[0], found[0]["best"][0])
    assert found[3] is None


def test_a_running_search_is_read_on(tmp_path: Path) -> None:
    path, whole = tmp_path / "run.jsonl", tmp_path / "whole.jsonl"
    run_recorded(whole, FakeEndpoint(), CONFIG)
    data = whole.read_bytes()
    path.write_bytes(data[:200])
    source = RecordedSearches(path)
    with path.open("ab") as file:
        for start in range(200, len(data), 97):  # lines are torn everywhere
            file.write(data[start : start + 97])
            file.flush()
            source.read()
    assert source.about() == {"name": "run.jsonl", "torn": False, "damaged": 0}
    (_, (followed,)), (once,) = page_data([source], mode="file"), searches_of(whole)
    assert followed is not None
    assert json.loads(followed) == once


def test_a_large_trace_is_read_as_a_stream(tmp_path: Path) -> None:
    """Many searches, of which the page holds a few: neither lines nor pages are kept."""
    path = tmp_path / "run.jsonl"
    config = BeamSearchConfig(
        tokens_per_step=20, max_tokens=60, beam_width=2, seed=1, top_logprobs=8
    )
    run_recorded(path, FakeEndpoint(), config)
    one = path.read_bytes()
    times = 10_000_000 // len(one)
    with path.open("ab") as file:
        for _ in range(times):
            file.write(one)
    program = f"""
import resource
from trio_beam.viewer.recorded import RecordedSearches
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = RecordedSearches({str(path)!r}, limit=100_000)
assert found.count == {times + 1}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert int(run.stdout) < 6_000  # kB, for 10 MB


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    path, out = tmp_path / "run.jsonl", tmp_path / "run.html"
    run_recorded(path, FakeEndpoint(), CONFIG)

    def view(*words: object) -> tuple[int, str]:
        run = CliRunner().invoke(cli, ["view", *map(str, words)])
        return run.exit_code, run.stderr

    assert view(path, "--out", out) == (
        0,
        f"{out}: {out.stat().st_size / 1000:,.0f} kB, for any browser\n",
    )
    wrong = [
        ((path,), "--out FILE.html writes a page"),
        ((path, "--out", out, "--text"), "one of"),
        ((path, path, "--out", out), "two with --compare"),
        ((path, "--compare", "--text"), "--compare takes one or two traces"),
        ((path, "--compare", "--out", out), "only one search"),
        ((path, "--search", 2, "--out", out), "at most 1, not 2"),
        ((path, "--out", path), "would replace the trace"),
    ]
    for words, message in wrong:
        code, said = view(*words)
        assert (code, message in said) == (2, True), said
    code, said = view(path, "--out", tmp_path / "none" / "run.html")
    assert (code, "cannot write" in said) == (1, True)
    code, said = view(out, "--out", tmp_path / "other.html")
    assert (code, "is no trace" in said) == (1, True)
    assert b"<!doctype html>" in out.read_bytes()
    assert list(tmp_path.iterdir()) == [path, out] or {*tmp_path.iterdir()} == {path, out}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_only_files_are_replaced_by_a_page(tmp_path: Path) -> None:
    path, page, link, pipe = (tmp_path / name for name in ("run.jsonl", "page", "link", "pipe"))
    run_recorded(path, FakeEndpoint(), CONFIG)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    received = bytearray()

    def receive() -> None:
        while part := os.read(reader, 65_536):
            received.extend(part)

    receiving = threading.Thread(target=receive, daemon=True)
    with pipe.open("wb"):  # until the command has opened it too
        os.set_blocking(reader, True)
        receiving.start()
        assert CliRunner().invoke(cli, ["view", str(path), "--out", str(pipe)]).exit_code == 0
    receiving.join(10)
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    page.write_bytes(b"old")
    link.symlink_to(page)
    assert CliRunner().invoke(cli, ["view", str(path), "--out", str(link)]).exit_code == 0
    assert link.is_symlink()
    assert page.read_bytes() == bytes(received)
