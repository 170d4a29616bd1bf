"""What `trio-beam view --live` answers, and to whom."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio

from tests.viewer.searches import record
from trio_beam.errors import ConfigError, TraceUnreadable
from trio_beam.viewer.live import LivePage


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[str]:
    """The page of a trace, at the URL that it tells."""
    told, url = trio.open_memory_channel[str](1)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(LivePage(path, say=told.send_nowait, limit=10**7), nursery)
            yield await url.receive()
            nursery.cancel_scope.cancel()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "run.jsonl"
    record(path, "beams")
    record(path, "votes")
    return path


@pytest.fixture
def last(path: Path) -> bytes:
    """The last line of the trace, which is taken from it."""
    *lines, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines))
    return last


async def test_news_come_when_there_are_some(path: Path, last: bytes) -> None:
    async with served(path) as url, httpx.AsyncClient(base_url=url) as client:
        page = await client.get(url)
        assert page.headers["content-type"].startswith("text/html")
        assert page.headers["cache-control"] == "no-store"
        assert "connect-src 'self'" in page.text
        first = (await client.get("data", params={"search": "-1"})).json()
        assert [one["state"] for one in first["about"]["searches"]] == ["finished", "running"]
        assert (first["place"], first["search"]["number"]) == (1, 2)

        answers: list[httpx.Response] = []

        async def wait() -> None:
            answers.append(await client.get("data", params={"seen": first["version"], "search": 1}))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            async with await trio.open_file(path, "ab") as file:
                await file.write(last)
        second = answers[0].json()
        assert second["search"]["number"] == 1
        assert [one["state"] for one in second["about"]["searches"]] == ["finished", "finished"]


async def test_nobody_else_sees_anything(path: Path) -> None:
    async with served(path) as url, httpx.AsyncClient() as client:
        base = url.rsplit("/", 2)[0]
        refusals = [
            await client.get(f"{base}/"),
            await client.get(f"{base}/data"),
            await client.get(f"{base}/{'x' * 22}/data"),
            await client.post(url),
            await client.get(url, headers={"host": "evil.example"}),
            await client.get(f"{url}data", headers={"host": "evil.example"}),
        ]
        assert [one.status_code for one in refusals] == [404, 404, 404, 404, 403, 403]
        assert not any("Tell me about" in one.text for one in refusals)
        # Another reader is served while one is silent, and one that speaks no HTTP does no harm.
        port = httpx.URL(url).port
        assert port is not None
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"\x16\x03\x01 not HTTP\r\n\r\n")
            assert (await client.get(url)).status_code == 200


@pytest.fixture
def other(tmp_path: Path) -> Path:
    other = tmp_path / "other.jsonl"
    record(other, "greedy")
    return other


async def test_a_trace_that_is_replaced_is_read_anew(path: Path, other: Path) -> None:
    async with served(path) as url, httpx.AsyncClient(base_url=url) as client:
        first = (await client.get("data")).json()
        assert len(first["about"]["searches"]) == 2
        larger = await trio.Path(path).read_bytes()
        shutil.copy(other, path)
        second = (await client.get("data", params={"seen": first["version"]})).json()
        assert len(second["about"]["searches"]) == 1
        await trio.Path(path).write_bytes(larger)
        third = (await client.get("data", params={"seen": second["version"]})).json()
        assert len(third["about"]["searches"]) == 2
        assert third["about"]["sources"][0]["damaged"] == 0


async def test_what_cannot_be_served(tmp_path: Path, path: Path) -> None:
    with pytest.raises(TraceUnreadable):
        LivePage(tmp_path / "none.jsonl", say=print, limit=1)
    async with served(path) as url, trio.open_nursery() as nursery:
        port = httpx.URL(url).port
        assert port is not None
        with pytest.raises(ConfigError, match="port must be free"):
            await LivePage(path, say=print, port=port, limit=1)(nursery)


async def test_a_search_that_is_too_large_is_left_out(path: Path) -> None:
    told: list[str] = []
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(LivePage(path, say=told.append, limit=50), nursery)
            while not told:
                await trio.testing.wait_all_tasks_blocked()
            async with httpx.AsyncClient() as client:
                news = json.loads((await client.get(f"{told[0]}data")).text)
            nursery.cancel_scope.cancel()
    assert news["search"] is None
    assert all(one["left_out"] for one in news["about"]["searches"])
