"""The page of the gateway's searches: what it is told, when, and who is told nothing."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing

import trio_beam.gateway.shown
from tests.gateway.serving import ask, gateway_over, serving
from trio_beam import SampleRequest
from trio_beam.gateway.shown import ShownSearches
from trio_beam.local.keys import LOOPBACK
from trio_beam.testing import FakeEndpoint

BODY = {"model": "m", "prompt": "my secret", "max_tokens": 4, "search": {"tokens_per_step": 2}}


async def search(base_url: str, **headers: str) -> None:
    response = await ask(base_url, "POST", "/v1/completions", BODY, **headers)
    assert response.status_code == 200, response.text


async def test_searches_are_shown_while_they_run_and_after() -> None:
    second_round, go_on = trio.Event(), trio.Event()

    async def before(request: SampleRequest) -> None:
        if request.beam.length:
            second_round.set()
            await go_on.wait()

    gateway = gateway_over(FakeEndpoint(before=before), shown=ShownSearches())
    async with serving(gateway) as base_url, trio.open_nursery() as nursery:
        page = await ask(base_url, "GET", "/ui")
        assert page.headers["content-type"].startswith("text/html")
        assert "connect-src 'self'" in page.text
        first = (await ask(base_url, "GET", "/ui/data")).json()
        assert (first["about"]["searches"], first["search"]) == ([], None)
        nursery.start_soon(search, base_url)
        await second_round.wait()
        news = await ask(base_url, "GET", f"/ui/data?seen={first['version']}&search=-1")
        running = news.json()["search"]
        assert (running["state"], running["prompt"]) == ("running", "my secret")
        assert len(running["all"]) > 1
        told: list[Any] = []

        async def wait_for_more() -> None:
            seen = news.json()["version"]
            told.append(await ask(base_url, "GET", f"/ui/data?seen={seen}&search=1"))

        async with trio.open_nursery() as waiting:
            waiting.start_soon(wait_for_more)
            go_on.set()
        ended = (await ask(base_url, "GET", "/ui/data?search=1")).json()["search"]
        assert (ended["number"], ended["state"]) == (1, "finished")
        assert told[0].json()["search"]["number"] == 1


async def test_nobody_is_told_who_may_not_search() -> None:
    model = FakeEndpoint()
    async with serving(gateway_over(model, shown=ShownSearches(), keys=("key-of-client",))) as url:
        key = {"authorization": "Bearer key-of-client"}
        await search(url, **key)
        for headers in ({}, {"authorization": "Bearer key-of-others"}):
            assert (await ask(url, "GET", "/ui/data", **headers)).status_code == 401
        assert "my secret" in (await ask(url, "GET", "/ui/data", **key)).text
        page = await ask(url, "GET", "/ui")  # which asks for the key
        assert page.status_code == 200
        assert "my secret" not in page.text
    async with serving(gateway_over(model, shown=ShownSearches(), hosts=LOOPBACK)) as url:
        await search(url)
        for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
            refused = await ask(url, "GET", "/ui/data", **headers)
            assert refused.status_code == 403
            assert "my secret" not in refused.text
        assert "my secret" in (await ask(url, "GET", "/ui/data")).text
    async with serving(gateway_over(model)) as url:
        for path in ("/ui", "/ui/data"):
            assert (await ask(url, "GET", path)).status_code == 404


async def test_each_key_is_shown_its_own_searches() -> None:
    keys = ("first-key-1234", "second-key-5678")
    gateway = gateway_over(FakeEndpoint(), shown=ShownSearches(), keys=keys)
    async with serving(gateway) as url:
        first, second = ({"authorization": f"Bearer {key}"} for key in keys)
        await search(url, **first)
        for odd in ("-1", "x", "9" * 5000):
            assert (await ask(url, "GET", f"/ui/data?search={odd}", **second)).status_code == 200
        told = await ask(url, "GET", "/ui/data?search=1", **second)
        assert told.json()["about"]["searches"] == []
        assert "my secret" not in told.text
        assert "my secret" in (await ask(url, "GET", "/ui/data", **first)).text


async def test_who_waits_for_news_does_not_hold_up_the_end() -> None:
    gateway = gateway_over(FakeEndpoint(), shown=(shown := ShownSearches()))
    async with trio.open_nursery() as nursery, serving(gateway, grace=1_000) as url:
        version = (await ask(url, "GET", "/ui/data")).json()["version"]
        status: list[int] = []

        async def wait() -> None:
            status.append((await ask(url, "GET", f"/ui/data?seen={version}")).status_code)

        nursery.start_soon(wait)
        while not shown._changed.statistics().tasks_waiting:
            await trio.testing.wait_all_tasks_blocked()
        shown.close()
    assert status == [200]


async def test_few_of_those_that_have_ended_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio_beam.gateway.shown, "_MOST_ENDED", 3)
    async with serving(gateway_over(FakeEndpoint(), shown=ShownSearches())) as url:
        for _ in range(5):
            await search(url)
        told = (await ask(url, "GET", "/ui/data?search=1")).json()
        assert [one["number"] for one in told["about"]["searches"]] == [3, 4, 5]
        assert told["search"]["number"] == 5  # the one that is gone was asked for
