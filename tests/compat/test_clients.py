"""Whatever names a server is taken: with its key, its address, its model and its headers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import httpx
import openai
import pytest
import trio

from tests.servers.hosted_chat import HostedChat
from trio_beam import BeamSearchSampling, ConfigError, Endpoint, TrioBeamError
from trio_beam.compat.clients import NamedServer, opened

URL = "http://nowhere.invalid/v1"


async def sent_by(client: Any, **changes: Any) -> tuple[httpx.Request, str]:
    """The first request of a search that a client names, and the text that was found."""
    seen: list[httpx.Request] = []
    api = HostedChat()

    async def note(request: httpx.Request) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(request)

    async with api.client() as http:
        http.event_hooks["request"].append(note)
        strategy = BeamSearchSampling(tokens_per_step=4, http_client=http, **changes)
        text, _, _ = await strategy._generate_async(client, "p", 4)
    return seen[-1], text


def named(**changes: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"api_key": "k", "base_url": URL, "default_model": "m"} | changes)


class Secret:
    def get_secret_value(self) -> str:
        return "k"


async def fetch_key() -> str:
    await trio.lowlevel.checkpoint()
    return "k"


@pytest.mark.parametrize("key", ["k", Secret(), lambda: "k", fetch_key, Secret])
async def test_a_key_may_be_held_in_many_ways(key: Any) -> None:
    request, _ = await sent_by(named(api_key=key))
    assert request.headers["authorization"] == "Bearer k"
    request, _ = await sent_by(named(base_url=httpx.URL(URL), api_key=key))
    assert request.headers["authorization"] == "Bearer k"


@pytest.mark.parametrize("key", [None, "", lambda: None])
async def test_without_a_key_none_is_sent(key: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "of another host")
    request, _ = await sent_by(named(api_key=key))
    assert "authorization" not in request.headers


async def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"client\.api_key must be a string or None"):
        await sent_by(named(api_key=7))


async def test_without_an_address_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    client = SimpleNamespace(api_key=None, base_url=None, default_model="m")
    monkeypatch.setenv("OPENAI_API_KEY", "of the environment")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    request, _ = await sent_by(client, dialect="openai")
    assert request.url.host == "api.openai.com"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://mine.invalid/v1")
    request, _ = await sent_by(client, dialect="openai")
    assert request.url.host == "mine.invalid"
    assert request.headers["authorization"] == "Bearer of the environment"
    strategy = BeamSearchSampling(dialect="openai", http_client=(http := HostedChat().client()))
    async with http:
        found = await strategy._run_with_client("k", None, "m", "p", 4)
    assert found[0]


async def test_without_a_model_the_only_one_is_taken() -> None:
    for client in (named(default_model=None), SimpleNamespace(api_key="k", base_url=URL)):
        request, text = await sent_by(client)
        assert b"grok-2-1212" in request.content
        assert text


async def test_a_mock_of_a_client_will_do() -> None:
    request, text = await sent_by(MagicMock(api_key="k", base_url=URL, default_model="m"))
    assert request.headers["authorization"] == "Bearer k"
    assert text


@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI])
def test_a_client_of_openai_will_do_with_all_that_it_was_given(kind: Any) -> None:
    api = HostedChat()
    with api.serve() as url:
        client = kind(
            api_key="sk-mine",
            base_url=url,
            organization="org",
            project="proj",
            default_headers={"X-Title": "mine"},
            default_query={"api-version": "1"},
        )
        client.default_model = "grok-2-1212"
        strategy = BeamSearchSampling(tokens_per_step=4, dialect="openai")
        assert len(strategy.generate(client, "p", 8)[0].split()) == 8
    assert set(api.queries) == {"api-version=1"}
    for headers in api.headers:
        assert headers["authorization"] == "Bearer sk-mine"
        assert headers["openai-organization"] == "org"
        assert headers["openai-project"] == "proj"
        assert headers["x-title"] == "mine"
        assert not [name for name in headers if name.startswith("x-stainless")]


async def test_a_client_of_openai_whose_key_is_a_function_will_do() -> None:
    keys = iter(["first", "second"])
    client = openai.OpenAI(api_key=lambda: next(keys), base_url=URL)
    client.default_model = "m"  # type: ignore[attr-defined]
    for key in ("first", "second"):
        request, _ = await sent_by(client)
        assert request.headers["authorization"] == f"Bearer {key}"
    client.close()


async def test_an_endpoint_is_opened_unless_it_is_open() -> None:
    async with HostedChat().client() as http:
        endpoint = Endpoint(URL, model="m", dialect="openai", http_client=http)
        strategy = BeamSearchSampling(tokens_per_step=4)
        for _ in range(2):
            assert (await strategy._generate_async(endpoint, "p", 8))[0]
            assert not endpoint.is_open
        async with endpoint:
            assert (await strategy._generate_async(endpoint, "p", 8))[0]
            assert endpoint.is_open
            with pytest.raises(TrioBeamError, match="open already"):
                await endpoint.__aenter__()


async def test_an_override_is_given_the_client_that_the_caller_named() -> None:
    seen: list[Any] = []

    class Noting(BeamSearchSampling):
        async def _expand_beams_parallel(self, client: Any, *args: Any) -> Any:
            seen.append(client)
            return await super()._expand_beams_parallel(client, *args)

        async def _sample_continuation_multiple_async(
            self, client: Any, *args: Any, **kwargs: Any
        ) -> Any:
            seen.append(client)
            return await super()._sample_continuation_multiple_async(client, *args, **kwargs)

    client = named()
    async with HostedChat().client() as http:
        strategy = Noting(tokens_per_step=4, dialect="openai", http_client=http)
        await strategy._generate_async(client, "p", 8)
    assert len(seen) == 2 + 3
    assert all(one is client for one in seen)


async def test_another_client_in_an_override_has_an_endpoint_of_its_own() -> None:
    class Asking(BeamSearchSampling):
        async def _sample_continuation_multiple_async(
            self, client: Any, *args: Any, **kwargs: Any
        ) -> Any:
            return await super()._sample_continuation_multiple_async(other, *args, **kwargs)

    other = named(api_key="other")
    api = HostedChat()
    async with api.client() as http:
        strategy = Asking(tokens_per_step=4, dialect="openai", http_client=http)
        assert (await strategy._generate_async(named(), "p", 8))[0]
    assert {headers["authorization"] for headers in api.headers} == {"Bearer other"}


async def test_one_search_is_one_endpoint() -> None:
    """What was learnt of the server is asked once: its models, and whether it continues a message."""
    api = HostedChat()
    async with api.client() as http:
        strategy = BeamSearchSampling(tokens_per_step=2, http_client=http)
        await strategy._generate_async(named(), "p", 12)
    assert api.paths.count("/v1/models") == 1
    assert len(api.bodies) - len(api.questions) == 2


async def test_a_key_is_shown_nowhere() -> None:
    server = NamedServer(api_key="sk-secret", base_url=URL, headers={"x-key": "sk-secret"})
    assert "sk-secret" not in repr(server)
    async with opened(server) as endpoint:
        assert "sk-secret" not in repr(endpoint)
