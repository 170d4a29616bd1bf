"""A key goes to the server that it is for, whatever that server says."""

from __future__ import annotations

import json

import httpx
import pytest
from trio.testing import MockClock

from tests.servers.mock_server import completion
from trio_beam import (
    BeamSearchConfig,
    ConfigError,
    Endpoint,
    RetryPolicy,
    SearchFailed,
    beam_search,
)

CONFIG = BeamSearchConfig(beam_width=1, n_per_beam=1, tokens_per_step=3, max_tokens=3, seed=1)
OURS = {"x-api-key": "sk-BBBB2222", "api-key": "sk-CCCC3333", "x-team": "seven of nine"}
SECRETS = ["authorization", *OURS]


async def headers_at_the_end(*locations: str, url: str = "http://first/v1") -> httpx.Headers:
    """Search by a client that follows redirects; the headers of the last request."""
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if len(seen) <= len(locations):
            return httpx.Response(307, headers={"location": locations[len(seen) - 1]})
        return httpx.Response(200, json=completion(json.loads(request.content)))

    transport = httpx.MockTransport(handle)
    async with (
        httpx.AsyncClient(transport=transport, follow_redirects=True, auth=("u", "pw")) as client,
        Endpoint(url, model="m", dialect="openai", headers=OURS, http_client=client) as endpoint,
    ):
        await beam_search(endpoint, "p", CONFIG)
    assert len(seen) == len(locations) + 1
    return seen[-1].headers


@pytest.mark.parametrize(
    "locations",
    [
        ("http://second/v1/completions",),
        ("http://first:81/v1/completions",),
        ("http://sub.first/v1/completions",),
        ("/elsewhere", "//second/v1"),
        ("http://second/", "http://first/v1/completions"),
        ("http://second/", "/again"),
    ],
)
async def test_no_key_goes_to_another_host(
    locations: tuple[str, ...], autojump_clock: MockClock
) -> None:
    headers = await headers_at_the_end(*locations)
    assert not [name for name in SECRETS if name in headers]
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("location", ["/v2/completions", "http://first/x", "https://first/v1"])
async def test_keys_stay_with_their_host(location: str, autojump_clock: MockClock) -> None:
    headers = await headers_at_the_end(location)
    assert [name for name in SECRETS if name in headers] == SECRETS


async def test_a_downgrade_is_another_host(autojump_clock: MockClock) -> None:
    headers = await headers_at_the_end("http://first/v1", url="https://first/v1")
    assert not [name for name in SECRETS if name in headers]


async def test_redirects_without_end(autojump_clock: MockClock) -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(307, headers={"location": "/again"})

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(handle), follow_redirects=True) as client,
        Endpoint(
            "http://first/v1",
            model="m",
            dialect="openai",
            http_client=client,
            retry=RetryPolicy(attempts=1),
        ) as endpoint,
    ):
        with pytest.raises(SearchFailed, match="more than 20 redirects"):
            await beam_search(endpoint, "p", CONFIG)


ODD = [
    "http://xn--/v1",
    "http://xn--a/v1",
    "http://xn--zzzzzz99/v1",
    "http://xn--0.com",
    "http://256.1.1.1/v1",
    "http://\u2603.net/v1",
    "http://\uff11\uff12\uff17.0.0.1/v1",
    "http://[v1.a]/v1",
    "http://127.0.0.1/\ud800",
    "http://127.0.0.1/?x=\ud800",
    "http://a/" + "a" * 70_000,
    "http://" + "a" * 64 + "/v1",
    "http://[gg::1]/",
    "http://127.0.0.1:\uff19/v1",
]


@pytest.mark.parametrize("url", ODD, ids=[ascii(url)[:40] for url in ODD])
def test_what_is_no_address_is_a_mistake_of_the_callers(url: str) -> None:
    with pytest.raises(ConfigError, match="base_url must be"):
        Endpoint(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.1:9/v1",
        "http://2130706433:9/v1",
        "http://[::ffff:127.0.0.1]:9/v1",
        "http://[::1]:9/v1",
        "http://[::1%25lo]:9/v1",
        "http://LOCALHOST:9/v1",
    ],
)
async def test_odd_addresses_that_are_some(url: str) -> None:
    policy = RetryPolicy(attempts=1)
    async with Endpoint(url, model="m", dialect="openai", retry=policy) as endpoint:
        with pytest.raises(SearchFailed, match="cannot connect"):
            await beam_search(endpoint, "p", CONFIG)


@pytest.mark.parametrize("name", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize("proxy", ["http://u:secretword@[gg::1]/", "gopher://u:secretword@a:1"])
async def test_an_odd_proxy_is_a_mistake_in_the_environment(
    name: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("HTTP_PROXY", "ALL_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(other, raising=False)
        monkeypatch.delenv(other.lower(), raising=False)
    monkeypatch.setenv(name, proxy)
    with pytest.raises(ConfigError) as caught:
        async with Endpoint("http://somewhere/v1"):
            pass
    assert "secretword" not in str(caught.value)
