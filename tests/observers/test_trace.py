"""The file that a trace is written to: what is in it, when, and what is not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

import trio_beam
from tests.traces.searches import facts
from trio_beam import BeamSearchConfig, Endpoint, McmcConfig, RetryPolicy, TrioBeamError
from trio_beam.observers import Trace
from trio_beam.records import RecordsInUse, RecordsUnusable, to_line
from trio_beam.testing import FakeEndpoint
from trio_beam.traces import format as lines
from trio_beam.traces import read_trace

CONFIG = BeamSearchConfig(tokens_per_step=2, max_tokens=6, seed=1, early_stopping=False)


async def search(*observers: Any, **changes: Any) -> trio_beam.SearchResult:
    return await trio_beam.search(FakeEndpoint(), "Once", CONFIG, observers=observers)


async def test_it_can_be_read_while_it_grows(tmp_path: Path, autojump_clock: object) -> None:
    path = tmp_path / "new" / "run.jsonl"
    seen: list[tuple[int, int]] = []

    def look(event: trio_beam.Event) -> None:
        if isinstance(event, trio_beam.RoundFinished):
            (found,) = read_trace(path).searches
            assert found.end is None
            seen.append((event.round, len(found.of(lines.Selected))))

    trace = Trace(path)
    result = await search(trace, look)
    assert seen == [(number, number) for number in range(1, result.rounds + 1)]
    (found,) = read_trace(path).searches
    assert found.end is not None
    assert found.end.result.usage == {
        "prompt_tokens": result.usage.prompt_tokens,
        "completion_tokens": result.usage.completion_tokens,
        "requests": result.usage.requests,
    }


async def test_lines_are_json_with_times_and_texts(tmp_path: Path, autojump_clock: object) -> None:
    path = tmp_path / "run.jsonl"
    model = FakeEndpoint(latency=2.0)
    with Trace(path) as trace:
        result = await trio_beam.search(model, "Once", CONFIG, observers=[trace])
    read = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [line["kind"] for line in read[:3]] == ["trace", "search", "prepared"]
    assert read[1]["prompt"] == {"text": "Once"}
    times = [line["at"] for line in read if line["kind"] == "selected"]
    assert times == [2.0 * number for number in range(1, result.rounds + 1)]
    nodes = {one["node"]: one for line in read if line["kind"] == "beams" for one in line["beams"]}
    best = read[-1]["result"]["beams"][0]["beam"]
    text = ""
    while best:
        text, best = nodes[best]["text"] + text, nodes[best].get("parent", 0)
    assert text == result.text


async def test_a_file_may_have_several_searches(tmp_path: Path, autojump_clock: object) -> None:
    path = tmp_path / "run.jsonl"
    with Trace(path) as trace:
        results = [await search(trace) for _ in range(2)]
    with Trace(path) as trace:
        strategy = McmcConfig(tokens_per_step=2, max_tokens=4)
        results.append(await trio_beam.search(FakeEndpoint(), "x", strategy, observers=[trace]))
        async with trio_beam.search_many(
            FakeEndpoint(latency=1), ["a", "b"], CONFIG, observers=[trace]
        ) as outcomes:
            many = {outcome.index: outcome.result async for outcome in outcomes}
    read = read_trace(path)
    assert len(read.searches) == 5
    results += [many[one.began.index] for one in read.searches[3:]]  # type: ignore[misc]  # none failed
    for found, result in zip(read.searches, results, strict=True):
        assert facts(trio_beam.replay(found)) == facts(result)
    with pytest.raises(trio_beam.ReplayError, match="5 searches: say which one, search=1 to 5"):
        trio_beam.replay(path)
    with pytest.raises(trio_beam.ReplayError, match="no search 6"):
        trio_beam.replay(path, search=6)
    assert facts(trio_beam.replay(path, search=3)) == facts(results[2])


async def test_concurrent_searches_have_an_observer_each(
    tmp_path: Path, autojump_clock: object
) -> None:
    path = tmp_path / "run.jsonl"
    trace = Trace(path)
    async with trio.open_nursery() as nursery:
        for label in ("one", "two"):
            nursery.start_soon(search, trace.search(label))
    assert {found.began.label for found in read_trace(path).searches} == {"one", "two"}
    for number in (1, 2):
        trio_beam.replay(path, search=number)


async def test_concurrent_searches_do_not_mix(tmp_path: Path, autojump_clock: object) -> None:
    trace = Trace(tmp_path / "run.jsonl")

    async def both() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(search, trace)

    refused = pytest.RaisesExc(TrioBeamError, match=r"Trace\.search\(\)")
    with pytest.RaisesGroup(refused):
        await both()


async def test_a_torn_last_line_and_a_damaged_one(tmp_path: Path, autojump_clock: object) -> None:
    path = tmp_path / "run.jsonl"
    with Trace(path) as trace:
        await search(trace)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    torn = read_trace(path)
    assert (torn.torn, torn.damaged, torn.searches[0].end) == (True, 0, None)
    with Trace(path) as trace:  # goes on behind it
        await search(trace)
    again = read_trace(path)
    assert (again.torn, again.damaged, len(again.searches)) == (False, 1, 2)
    trio_beam.replay(path, search=2)
    with pytest.raises(trio_beam.ReplayError, match="damaged"):
        trio_beam.replay(path, search=1)
    path.write_bytes(whole.replace(b'"sample":1', b'"sample":7', 1))
    with pytest.raises(trio_beam.ReplayError, match="damaged"):
        trio_beam.replay(path)


async def test_a_search_whose_process_was_killed_has_no_end(
    tmp_path: Path, autojump_clock: object
) -> None:
    path = tmp_path / "run.jsonl"
    with Trace(path) as trace:
        await search(trace)
    kept = path.read_bytes().splitlines(keepends=True)[:9]
    path.write_bytes(b"".join(kept))
    with pytest.raises(trio_beam.ReplayError, match="no end yet, or its process was killed"):
        trio_beam.replay(path)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "mine"}\n')
    with pytest.raises(RecordsUnusable, match="something else than a trace"):
        Trace(path)
    with pytest.raises(trio_beam.TraceUnreadable, match="is no trace"):
        read_trace(path)
    assert path.read_text() == '{"prompt": "mine"}\n'
    with pytest.raises(RecordsUnusable, match="cannot write the trace"):
        Trace(tmp_path)
    with pytest.raises(trio_beam.TraceUnreadable, match="cannot read"):
        read_trace(tmp_path / "absent")
    (tmp_path / "empty").touch()
    with pytest.raises(trio_beam.TraceUnreadable, match="is empty"):
        read_trace(tmp_path / "empty")


def test_two_writers_are_refused(tmp_path: Path) -> None:
    first = Trace(tmp_path / "run.jsonl")
    with pytest.raises(RecordsInUse):
        Trace(tmp_path / "run.jsonl")
    first.close()
    Trace(tmp_path / "run.jsonl").close()


def test_a_later_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    path.write_bytes(lines_of(lines.Header(version=lines.VERSION + 1, program="trio_beam 9")))
    with pytest.raises(trio_beam.TraceUnreadable, match=r"version 2 \(by trio_beam 9\)"):
        read_trace(path)
    before = path.read_bytes()
    with pytest.raises(RecordsUnusable, match="a trace of version 2"):
        Trace(path)
    assert path.read_bytes() == before


def lines_of(*written: lines.Line) -> bytes:
    return b"".join(map(to_line, written))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
async def test_a_full_disk_costs_the_trace_but_not_the_search(autojump_clock: object) -> None:
    trace = Trace("/dev/full")
    result = await search(trace)
    assert result.text
    with pytest.raises(RecordsUnusable, match="No space left"):
        trace.close()


async def test_bugs_and_cancellations_end_a_search_too(
    tmp_path: Path, autojump_clock: object
) -> None:
    path = tmp_path / "run.jsonl"
    trace = Trace(path)

    def bug(event: trio_beam.Event) -> None:
        if isinstance(event, trio_beam.RoundFinished):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await search(trace, bug)
    with trio.move_on_after(2.5):
        await trio_beam.search(FakeEndpoint(latency=1), "x", CONFIG, observers=[trace])
    await search(trace)
    ends = [found.end for found in read_trace(path).searches]
    assert [end.result.stop_reason for end in ends if end is not None] == [
        *("interrupted", "interrupted", "max_tokens")
    ]
    assert trio_beam.replay(path, search=2).rounds == 2


class Server:
    """Answers by a function of the number of the request, after a latency in virtual time."""

    def __init__(self, answer: Callable[[int], tuple[float, httpx.Response]]) -> None:
        self.asked = 0
        self._answer = answer
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._handle))

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        latency, response = self._answer(self.asked)
        await trio.sleep(latency)
        return response


def completion() -> httpx.Response:
    logprobs = {"tokens": [" a", " b"], "token_logprobs": [-1.0, -1.0], "top_logprobs": None}
    choice = {"text": " a b", "index": 0, "finish_reason": "length", "logprobs": logprobs}
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    return httpx.Response(200, json={"choices": [choice], "usage": usage})


async def test_every_attempt_of_every_request(tmp_path: Path, autojump_clock: object) -> None:
    """The first is refused with a pause, the second of the two beams is hedged, and all waits are told."""

    def answer(number: int) -> tuple[float, httpx.Response]:
        if number == 1:
            secret = {"error": {"message": "slow down, my-key"}}
            return 0.5, httpx.Response(429, json=secret, headers={"retry-after": "3"})
        return (30.0 if number == 3 else 0.5), completion()

    server = Server(answer)
    path = tmp_path / "run.jsonl"
    config = BeamSearchConfig(beam_width=1, n_per_beam=1, tokens_per_step=2, max_tokens=4, seed=1)
    async with Endpoint(
        "http://server/v1",
        model="m",
        api_key="my-key",
        dialect="openai",
        http_client=server.client,
        max_concurrent=2,
        hedge_after=2.0,
        retry=RetryPolicy(attempts=2),
    ) as endpoint:
        result = await trio_beam.search(endpoint, "Once", config, observers=[Trace(path)])
    await server.client.aclose()
    assert b"my-key" not in path.read_bytes()
    (found,) = read_trace(path).searches
    sent, ended = found.of(lines.Sent), found.of(lines.Ended)
    assert [(one.request, one.round, one.attempt, one.hedge) for one in sent] == [
        *((1, 1, 1, False), (1, 1, 2, False), (2, 2, 1, False), (2, 2, 2, True))
    ]
    outcomes = [(one.request, one.attempt, one.outcome) for one in ended]
    assert outcomes[:2] == [(1, 1, "error"), (1, 2, "response")]
    assert sorted(outcomes[2:]) == [(2, 1, "cancelled"), (2, 2, "response")]
    (paused,) = found.of(lines.Paused)
    assert paused.seconds == 3.0
    (retried,) = found.of(lines.Retried)
    assert (retried.error.type, retried.request) == ("RateLimited", 1)
    (hedged,) = found.of(lines.Hedged)
    assert hedged.after == 2.0
    assert ended[0].seconds == 0.5
    assert sum(one.waited for one in sent) + retried.wait >= 3.0
    assert {one.path for one in sent} == {"/completions"}
    assert facts(trio_beam.replay(path)) == facts(result)


async def test_a_request_that_waits_for_a_slot_says_so(
    tmp_path: Path, autojump_clock: object
) -> None:
    server = Server(lambda _: (1.0, completion()))
    path = tmp_path / "run.jsonl"
    config = BeamSearchConfig(
        n_per_beam=1, tokens_per_step=2, max_tokens=4, seed=1, deduplicate=False
    )
    async with Endpoint(
        "http://server/v1", model="m", dialect="openai", http_client=server.client, max_concurrent=1
    ) as endpoint:
        await trio_beam.search(endpoint, "Once", config, observers=[Trace(path)])
    await server.client.aclose()
    (found,) = read_trace(path).searches
    (waiting,) = found.of(lines.Waiting)
    assert (waiting.round, waiting.paused) == (2, False)
    assert [one.waited for one in found.of(lines.Sent)] == [0.0, 0.0, 0.0, 1.0]


async def test_a_search_that_waits_for_the_rate_says_so(
    tmp_path: Path, autojump_clock: object
) -> None:
    server = Server(lambda _: (1.0, completion()))
    path = tmp_path / "run.jsonl"
    async with Endpoint(
        "http://server/v1",
        model="m",
        dialect="openai",
        http_client=server.client,
        requests_per_minute=1,
    ) as endpoint:
        config = BeamSearchConfig(
            beam_width=1, n_per_beam=1, tokens_per_step=2, max_tokens=4, seed=1
        )
        await trio_beam.search(endpoint, "Once", config, observers=[Trace(path)])
    await server.client.aclose()
    (found,) = read_trace(path).searches
    (kept,) = found.of(lines.RateKept)
    assert (kept.seconds, kept.limit) == (60.0, "requests")
    assert [one.waited for one in found.of(lines.Sent)] == [0.0, 60.0]


def test_a_line_is_written_before_the_process_can_die(tmp_path: Path) -> None:
    program = f"""
import os, trio, trio_beam
from trio_beam.observers import Trace
from trio_beam.testing import FakeEndpoint
def die(event):
    if isinstance(event, trio_beam.RoundFinished):
        os._exit(7)
trace = Trace({str(tmp_path / "run.jsonl")!r})
trio.run(lambda: trio_beam.search(FakeEndpoint(), "x", observers=[trace, die]))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 7
    (found,) = read_trace(tmp_path / "run.jsonl").searches
    assert len(found.of(lines.Selected)) == 1


@pytest.fixture(autouse=True)
def _no_file_is_left_open() -> Iterator[None]:
    folder = Path("/proc/self/fd")
    before = len(list(folder.iterdir())) if folder.exists() else 0
    yield
    if folder.exists():
        assert len(list(folder.iterdir())) <= before + 1
