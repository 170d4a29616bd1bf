"""A replay says what its trace lacks, instead of deciding without it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

import trio_beam
from tests.traces.searches import Unreliable, facts, replayed, run_recorded
from trio_beam import (
    BeamSearchConfig,
    Confidence,
    ConfigError,
    McmcConfig,
    ReplayError,
    SampleRequest,
    SearchFailed,
    SearchResult,
    ServerError,
    Strategy,
    TraceUnreadable,
    Vote,
)
from trio_beam.observers import Trace
from trio_beam.records import to_line
from trio_beam.testing import FakeEndpoint
from trio_beam.traces import read_trace
from trio_beam.traces.format import Finished

BEAMS = BeamSearchConfig(beam_width=4, n_per_beam=2, tokens_per_step=2, max_tokens=8, seed=1)
CHAINS = McmcConfig(chains=2, max_tokens=4, tokens_per_step=2, steps=2, seed=1)
VOTE = BeamSearchConfig(
    beam_width=8,
    n_per_beam=1,
    tokens_per_step=2,
    max_tokens=2,
    scorer="equal",
    deduplicate=False,
    answer=Vote(r"\w+", settle=0.6, ahead=1),  # one after the other
    seed=1,
)


@pytest.mark.parametrize("strategy", [BEAMS, CHAINS, VOTE], ids=["beams", "chains", "vote"])
@pytest.mark.parametrize("within", [2.5, float("inf")])
def test_a_trace_that_was_cut_gives_no_other_result(
    tmp_path: Path, strategy: Strategy, within: float
) -> None:
    path = tmp_path / "run.jsonl"
    whole = facts(run_recorded(path, Unreliable(3, 0.0), strategy, within=within))
    lines = path.read_bytes().splitlines(keepends=True)
    missing = 0
    for count in range(len(lines)):
        path.write_bytes(b"".join(lines[:count]))
        try:
            assert facts(replayed(path)) == whole
        except (ReplayError, TraceUnreadable):
            missing += 1
    assert missing


def fail_once() -> Callable[[SampleRequest], Awaitable[None]]:
    """The first request of a second block fails, and all later ones take long."""
    failed = False

    async def before(request: SampleRequest) -> None:
        nonlocal failed
        if failed:
            await trio.sleep(10)
        elif request.beam.length:
            failed = True
            raise ServerError("lost", status=500, url="http://server/v1/completions", attempts=2)

    return before


@pytest.mark.parametrize(
    ("strategy", "words"),
    [(BEAMS, "waited for no other"), (CHAINS, "was cancelled before all was there")],
    ids=["beams", "chains"],
)
def test_what_a_failure_has_cancelled_is_not_made_up(
    tmp_path: Path, strategy: Strategy, words: str
) -> None:
    path = tmp_path / "run.jsonl"
    recorded = run_recorded(path, FakeEndpoint(before=fail_once()), strategy)
    assert isinstance(recorded, SearchFailed)
    with pytest.raises(ReplayError, match=words):
        replayed(path, attrs.evolve(strategy, on_beam_failure="drop_beam"))


def test_a_vote_that_is_settled_later_lacks_samples(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run_recorded(path, FakeEndpoint(), VOTE)
    later = attrs.evolve(VOTE, answer=Vote(r"\w+$", settle="certain"))
    with pytest.raises(ReplayError, match="was cancelled before all was there"):
        replayed(path, later)


def test_a_result_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run_recorded(path, FakeEndpoint(), BEAMS)
    end = read_trace(path).searches[0].end
    assert end is not None
    end.result.score = 1.0
    *others, _ = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*others, to_line(end)]))
    with pytest.raises(ReplayError, match=r"score: 1\.0, not -"):
        replayed(path)


@pytest.mark.parametrize("fields", [{"seasoning": 0.1}, {}])
def test_fields_of_the_server_are_part_of_the_sampling(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    recorded = attrs.evolve(BEAMS, extra_body={"seasoning": [1]} if not fields else {})
    path = tmp_path / "run.jsonl"
    run_recorded(path, FakeEndpoint(), recorded)
    replayed(path, recorded)
    with pytest.raises(ReplayError, match="drawn with extra_body"):
        replayed(path, attrs.evolve(recorded, extra_body=fields))


def changed(path: Path, kind: str, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the lines of a kind as another program could have written them."""
    lines = []
    for raw in path.read_bytes().splitlines():
        line = json.loads(raw)
        if line["kind"] == kind:
            change(line)
        if line:
            del line["crc"]
            body = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            seal = zlib.crc32(body.encode())
            lines.append(f'{body[:-1]},"crc":"{seal:08x}"}}\n')
    path.write_text("".join(lines), encoding="utf-8")


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("round", lambda line: line.update(kind="of a later version"), None),
        ("samples", lambda line: line.update(novel=1), None),
        ("samples", lambda line: line["usage"].update(novel=1), None),
        (
            "search",
            lambda line: line["strategy"].update(novel=1),
            "novel was 1, which this version",
        ),
        ("search", lambda line: line["strategy"]["answer"].update(novel=1), "novel was 1"),
        (
            "search",
            lambda line: line["strategy"]["answer"].update(name="novel"),
            "answer was novel",
        ),
        ("samples", lambda line: line["blocks"][0].update(more={"novel": 1}), "have 'novel'"),
        (
            "samples",
            lambda line: line["number"] == 2 and line.clear(),
            "lines of the search are missing",
        ),
        ("beams", lambda line: line.clear(), "lines of the search are missing"),
    ],
)
def test_what_another_program_wrote_is_passed_over_or_named(
    tmp_path: Path, kind: str, change: Any, message: str | None
) -> None:
    path = tmp_path / "run.jsonl"
    whole = facts(run_recorded(path, FakeEndpoint(), BEAMS))
    changed(path, kind, change)
    if message is None:
        assert read_trace(path).damaged == 0
        assert facts(replayed(path)) == whole
    else:
        with pytest.raises(ReplayError, match=message):
            replayed(path)


def test_a_text_that_was_given_up_has_no_end(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    confidence = Confidence(warm_up=2, top=0)
    recorded = attrs.evolve(VOTE, answer=Vote(r"\w+"), confidence=confidence)
    run_recorded(path, FakeEndpoint(), recorded)
    other = attrs.evolve(recorded, confidence=attrs.evolve(confidence, keep=0.5))
    replayed(path, other)
    changed(path, "samples", lambda line: line["blocks"][0].update(finish="low_confidence"))
    with pytest.raises(ReplayError, match="given up by confidence"):
        replayed(path, other)


@pytest.mark.parametrize("given", [{"strategy": "greedy"}, {"search": "1"}, {"trace": 5}])
def test_an_argument_of_no_use_is_named(tmp_path: Path, given: dict[str, Any]) -> None:
    path = tmp_path / "run.jsonl"
    run_recorded(path, FakeEndpoint(), BEAMS)
    with pytest.raises(ConfigError, match=f"{next(iter(given))} must be"):
        trio_beam.replay(**{"trace": path} | given)


@pytest.mark.parametrize("strategy", [BEAMS, CHAINS, VOTE], ids=["beams", "chains", "vote"])
@pytest.mark.parametrize("within", [0.5, 2.5])
def test_observers_are_told_the_recorded_end(
    tmp_path: Path, strategy: Strategy, within: float
) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    run_recorded(first, FakeEndpoint(latency=1), strategy, within=within)
    with Trace(second) as trace:
        result = replayed(first, observers=[trace])
    assert facts(replayed(second)) == facts(result)
    ends = [read_trace(path).searches[0].end for path in (first, second)]
    assert [type(end) for end in ends] == [Finished, Finished]
    assert isinstance(result, SearchResult)
    assert result.stop_reason == ("deadline" if within < 1 or strategy is not VOTE else "settled")
