"""Batches of a provider under virtual time: the results of the online engine, and what a provider may do."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio
from trio.testing import MockClock

from tests.batch.batches import Notes, failures, opened, read, run
from tests.servers.mock_server import completion
from tests.servers.provider import Answer as Reply
from tests.servers.provider import Provider, answering
from trio_beam import Endpoint, TrioBeamError
from trio_beam.batch.folder import Answer
from trio_beam.batch.job import Job
from trio_beam.batch.prompts import PromptRecord
from trio_beam.batch.provider_engine import run_in_provider_batches
from trio_beam.batch.run import Plan
from trio_beam.records.run_stopped import RunStopped

URL = "http://provider/v1"
VALUES: dict[str, Any] = {"max_tokens": 6, "seed": 5}
RECORDS = [PromptRecord(id=f"p{number}", prompt=f"prompt {number}") for number in range(5)]
CHATS = [
    PromptRecord(id=f"c{number}", prompt=[{"role": "user", "content": f"hello {number}"}])
    for number in range(2)
]


class Shown(Notes):
    """What a run shows."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


async def by_batches(
    provider: Provider,
    path: Path,
    records: Sequence[PromptRecord] = RECORDS,
    *,
    strategy: str = "best_of_n",
    values: dict[str, Any] = VALUES,
    url: str = URL,
    **plan: Any,
) -> Shown:
    """Run a batch to its end, by batches of the provider."""
    shown = Shown()
    async with httpx.AsyncClient(transport=httpx.MockTransport(provider.respond)) as client:
        with opened(path, records) as (todo, folder, _):
            server = {"base_url": url, "model": "m", "api": "auto", "http_client": client}
            job = Job(
                servers=[server],
                pending=todo.pending(),
                plan=Plan(strategy=strategy, values=values, **plan),
                folder=folder,
                progress=shown,  # type: ignore[arg-type]  # as much of it as is used
                given={},
            )
            await run_in_provider_batches(job)
    return shown


async def online(
    path: Path,
    records: Sequence[PromptRecord] = RECORDS,
    *,
    strategy: str = "best_of_n",
    values: dict[str, Any] = VALUES,
) -> list[Answer]:
    """The same run by the online engine, on a server with the same answers."""

    async def respond(request: httpx.Request) -> httpx.Response:
        status, answer = answering(1, msgspec.json.decode(await request.aread()))
        return httpx.Response(status, json=answer)

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client,
        Endpoint(URL, model="m", dialect="openai", http_client=client) as endpoint,
    ):
        await run(path, records, endpoint, strategy=strategy, values=values)
    return plain(path)


def plain(path: Path) -> list[Answer]:
    """The answers, but for their time."""
    found = [msgspec.structs.replace(one, seconds=0.0) for one in read(path)]
    return sorted(found, key=lambda one: one.id)


@pytest.mark.parametrize(
    ("strategy", "values"),
    [
        ("best_of_n", {"n": 3}),
        ("best_of_n", {"n": 3, "seed": None}),
        ("self_consistency", {"n": 4, "key": r"\w+$"}),
        ("greedy", {}),
        ("sample", {"top_logprobs": 2}),
    ],
)
async def test_the_results_are_those_of_the_online_engine(
    strategy: str, values: dict[str, Any], tmp_path: Path, autojump_clock: MockClock
) -> None:
    provider, values = Provider(), VALUES | values
    if strategy == "greedy":
        values.pop("seed")
    records = RECORDS + CHATS
    shown = await by_batches(
        provider, tmp_path / "batch", records, strategy=strategy, values=values
    )
    expected = await online(tmp_path / "online", records, strategy=strategy, values=values)
    assert plain(tmp_path / "batch") == expected
    assert sorted(one.id for one in shown.answers) == [one.id for one in expected]
    assert shown.tokens == sum(one.completion_tokens for one in expected)
    assert {batch["endpoint"] for batch in provider.batches.values()} == {
        "/v1/completions",
        "/v1/chat/completions",
    }
    assert len(provider.batches) == 2
    assert [path.name for path in (tmp_path / "batch").iterdir() if "openai" in path.name] == []


def everything_in(path: Path) -> bytes:
    return b"".join(one.read_bytes() for one in path.iterdir())


def failing_once(reply: Reply | str | None) -> Provider:
    """A provider that does something else to two requests of the first batch."""

    def script(number: int, body: dict[str, Any]) -> Reply | str | None:
        unlucky = body["prompt"] in ("prompt 1", "prompt 3")
        return reply if number == 1 and unlucky else answering(number, body)

    return Provider(script)


FAULTS: list[Reply | str | None] = [
    (500, {"error": {"message": "internal"}}),
    (429, {"error": {"message": "Rate limit reached. Please try again in 20s."}}),
    (200, {"choices": [{"index": 0, "text": "", "finish_reason": "error"}]}),
    "batch_expired",
    None,
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("end", ["completed", "expired"])
async def test_what_failed_or_expired_is_asked_again_in_another_batch(
    fault: Reply | str | None, end: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    provider = failing_once(fault)
    provider.ends[1] = end
    await by_batches(provider, tmp_path / "batch")
    sent = [
        len(provider.files[one["input_file_id"]][1].splitlines())
        for one in provider.batches.values()
    ]
    assert sent == [5, 2]
    found = {one.id: one for one in plain(tmp_path / "batch")}
    assert found.keys() == {record.id for record in RECORDS}
    for expected in await online(tmp_path / "online"):
        again = expected.id in ("p1", "p3")
        assert found[expected.id] == msgspec.structs.replace(expected, requests=1 + again)
    assert not failures(tmp_path / "batch")


async def test_what_always_fails_is_a_failure_after_four_batches(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    def script(number: int, body: dict[str, Any]) -> Reply:
        if body["prompt"] == "prompt 2":
            return 500, {"error": {"message": "never"}}
        return answering(number, body)

    provider = Provider(script)
    await by_batches(provider, tmp_path)
    assert len(provider.batches) == 4
    (failed,) = failures(tmp_path)
    assert failed.id == "p2"
    assert "HTTP 500: never (after 4 attempts)" in failed.error
    assert len(read(tmp_path)) == 4


async def test_a_refused_field_is_learnt_as_online(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    def script(number: int, body: dict[str, Any]) -> Reply:
        if "max_tokens" in body:
            message = "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
            return 400, {"error": {"message": message, "param": "max_tokens"}}
        return 200, completion({**body, "max_tokens": body["max_completion_tokens"]})

    provider = Provider(script)
    await by_batches(provider, tmp_path / "batch")
    assert len(provider.batches) == 2
    expected = await online(tmp_path / "online")
    assert [one.text for one in plain(tmp_path / "batch")] == [one.text for one in expected]


async def test_a_provider_that_ignores_n_is_asked_for_the_rest(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    provider = Provider(lambda number, body: (200, completion(body, n_cap=1)))
    await by_batches(provider, tmp_path / "batch", values=VALUES | {"n": 3})
    expected = await online(tmp_path / "online", values=VALUES | {"n": 3})
    found = plain(tmp_path / "batch")
    assert [one.text for one in found] == [one.text for one in expected]
    assert len(provider.requests()) == 15
    assert len(provider.batches) == 2


async def test_a_file_is_within_the_provider_s_limits(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_beam.batch.provider_engine.MAX_REQUESTS", 2)
    provider = Provider()
    await by_batches(provider, tmp_path / "requests")
    sizes = [content.count(b"\n") for name, content in provider.files.values() if "trio" in name]
    assert sorted(sizes) == [1, 2, 2]
    monkeypatch.setattr("trio_beam.batch.provider_engine._FILE_BYTES", 600)
    provider = Provider()
    await by_batches(provider, tmp_path / "bytes", RECORDS[:4])
    sizes = [len(content) for name, content in provider.files.values() if "trio" in name]
    assert len(sizes) > 1
    assert max(sizes) <= 600
    assert len(read(tmp_path / "bytes")) == 4


@pytest.mark.parametrize("call", ["POST /v1/files", "POST /v1/batches"])
async def test_a_lost_response_makes_no_second_batch(
    call: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    provider = Provider()
    for number in range(3):  # others were there before
        provider._store(f"other-{number}.jsonl", b"")
    provider.lost = [call]
    await by_batches(provider, tmp_path)
    assert len(provider.uploaded) == len(provider.batches) == 1
    assert len(read(tmp_path)) == 5


async def test_a_provider_out_of_reach_for_a_while_is_waited_for(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    provider = Provider()
    advance = provider._advance

    def down(batch: dict[str, Any]) -> dict[str, Any]:
        if batch["status"] == "in_progress" and not provider.ends:
            provider.ends[7] = "been down"
            provider.down = 30
        return advance(batch)

    provider._advance = down  # type: ignore[method-assign]
    shown = await by_batches(provider, tmp_path)
    assert len(read(tmp_path)) == 5
    assert any("not now" in line for line in shown.lines)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("failed", r"refuses the batch batch-1: no good \(line 1\).*sends it again"),
        ("cancelled", "batch-1 was cancelled.*sends the rest again"),
    ],
)
async def test_a_batch_that_was_refused_stops_the_run_and_is_sent_anew(
    end: str, words: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    provider = failing_once(None)
    provider.ends[1] = end
    with pytest.RaisesGroup(
        pytest.RaisesExc(RunStopped, match=words), allow_unwrapped=True, flatten_subgroups=True
    ):
        await by_batches(provider, tmp_path / "batch")
    await by_batches(provider, tmp_path / "batch")
    assert len(provider.batches) == 2
    sent = provider.files[provider.batches["batch-2"]["input_file_id"]][1].count(b"\n")
    assert sent == (5 if end == "failed" else 2)
    assert plain(tmp_path / "batch") == await online(tmp_path / "online")


async def test_it_can_be_stopped_anywhere(tmp_path: Path, autojump_clock: MockClock) -> None:
    """At every call, before and after the provider has done what it asks for."""
    whole = Provider()
    await by_batches(whole, tmp_path / "whole")
    expected = plain(tmp_path / "whole")
    for number in range(len(whole.calls)):
        for after in (False, True):
            provider, path = Provider(), tmp_path / f"{number} {after}"
            handle = provider.handle
            with trio.CancelScope() as scope:

                def stop(*call: Any, number: int = number, after: bool = after) -> Any:
                    if len(provider.calls) != number or scope.cancel_called:  # noqa: B023  # called in this round
                        return handle(*call)  # noqa: B023
                    scope.cancel()
                    return handle(*call) if after else (503, {})  # noqa: B023

                provider.handle = stop  # type: ignore[method-assign, assignment]
                await by_batches(provider, path)
            assert scope.cancelled_caught
            await by_batches(provider, path)
            assert len(provider.uploaded) == len(provider.batches) == 1
            assert plain(path) == expected


async def test_a_base_url_may_have_a_query_and_a_password(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    provider = failing_once(None)
    with contextlib.suppress(trio.TooSlowError), trio.fail_after(2):  # while its state is there
        await by_batches(provider, tmp_path, url="http://me:secret@provider/v1?api-version=2")
    assert b"http://provider/v1" in everything_in(tmp_path)
    assert b"secret" not in everything_in(tmp_path)
    await by_batches(provider, tmp_path, url="http://me:secret@provider/v1?api-version=2")
    assert len(read(tmp_path)) == 5
    assert b"secret" not in everything_in(tmp_path)


async def test_its_requests_are_at_one_provider(tmp_path: Path, autojump_clock: MockClock) -> None:
    provider = Provider()
    with trio.move_on_after(1.5):
        await by_batches(provider, tmp_path)
    with pytest.raises(
        TrioBeamError, match="has requests at http://provider/v1: go on with --base"
    ):
        await by_batches(provider, tmp_path, url="http://other/v1")


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"strategy": "beam_search", "tokens_per_step": 2}, "continues its texts"),
        ({"strategy": "mcmc"}, "takes strategies of a single round"),
        ({"n": 0}, "n must be"),
    ],
)
async def test_a_prompt_s_own_strategy_of_several_rounds_is_a_failure(
    search: dict[str, Any], words: str, tmp_path: Path, autojump_clock: MockClock
) -> None:
    records = [*RECORDS[:1], PromptRecord(id="own", prompt="x", search=search)]
    await by_batches(Provider(), tmp_path, records)
    assert [one.id for one in read(tmp_path)] == ["p0"]
    (failed,) = failures(tmp_path)
    assert words in failed.error


async def test_what_is_lost_for_all_stops_the_run(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    provider = Provider(lambda number, body: (404, {"error": {"message": "no such model"}}))
    with contextlib.suppress(ExceptionGroup), pytest.raises(RunStopped, match="no such model"):
        await by_batches(provider, tmp_path)
