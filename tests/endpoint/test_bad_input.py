"""Bad input: said plainly, with the field or the URL, before anything is spent; secrets never shown."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.servers.mock_server import MockServer, answering, completion
from trio_beam import (
    BeamSearchConfig,
    ConfigError,
    ContextOverflow,
    Endpoint,
    RequestRejected,
    RetryPolicy,
    SearchFailed,
    beam_search,
    beam_search_within,
)
from trio_beam.testing import FakeEndpoint

KEY = "sk-very/secret+0123456789=="


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:8000/v1",
        "localhost",
        "ftp://x/v1",
        "http://",
        "http://x:99999/v1",
        "http://x:0/v1",
        "http://a..b/v1",
        "http://.x/v1",
        f"http://{'x' * 64}.com/v1",
        "http://a\x01b/v1",
        "http://a b/v1",
        3,
        None,
    ],
)
def test_a_base_url_needs_scheme_and_host(url: Any) -> None:
    with pytest.raises(ConfigError, match="base_url must be a URL with its scheme"):
        Endpoint(url)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_concurrent", 0),
        ("max_concurrent", 1.5),
        ("max_n", 0),
        ("attempt_timeout", 0),
        ("attempt_timeout", float("nan")),
        ("connect_timeout", -1),
        ("keepalive_expiry", -1),
        ("keepalive_expiry", "soon"),
        ("api", "both"),
        ("dialect", "klingon"),
        ("model", ""),
        ("model", 3),
        ("retry", 3),
    ],
)
def test_every_argument_is_checked(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{field} must be"):
        Endpoint("http://127.0.0.1/v1", **{field: value})


def test_the_api_key_is_not_in_the_error_about_it() -> None:
    with pytest.raises(ConfigError, match="api_key") as caught:
        Endpoint("http://127.0.0.1/v1", api_key=KEY + "\n")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "prompt",
    ["", [], None, 3, b"bytes", ["text"], [{"content": "no role"}], [{"role": "user"}]],
)
async def test_a_prompt_that_is_none(prompt: Any) -> None:
    model = FakeEndpoint()
    with pytest.raises(ConfigError, match=r"^prompt must be"):
        await beam_search(model, prompt)
    assert model.requests == []


async def test_messages_that_end_with_the_assistant() -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    with pytest.raises(ConfigError, match=r"without a final assistant message"):
        await beam_search(FakeEndpoint(), messages)


@pytest.mark.parametrize("seconds", [-1, float("nan"), "ten", None, True])
async def test_a_deadline_that_is_none(seconds: Any) -> None:
    with pytest.raises(ConfigError, match=r"^seconds must be"):
        await beam_search_within(seconds, FakeEndpoint(), "p")


async def test_a_configuration_that_is_none() -> None:
    with pytest.raises(ConfigError, match=r"^config must be"):
        await beam_search(FakeEndpoint(), "p", {"beam_width": 2})  # type: ignore[arg-type]


async def test_messages_need_the_chat_call() -> None:
    async with MockServer().endpoint(api="completions") as endpoint:
        with pytest.raises(ConfigError, match=r"^api must be"):
            await beam_search(endpoint, [{"role": "user", "content": "a"}])


REFUSALS = {
    401: ({"error": {"message": "Incorrect API key provided"}}, "is the API key right"),
    404: ({"error": {"message": "The model `nope` does not exist."}}, "is the base URL right"),
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_refusals_have_the_url_the_words_and_a_hint(status: int) -> None:
    body, hint = REFUSALS[status]
    server = MockServer(answering(lambda: httpx.Response(status, json=body), 0))
    async with server.endpoint() as endpoint:
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p")
    error = caught.value.failures[0].error
    assert isinstance(error, RequestRejected)
    assert error.status == status
    for words in ("http://mock/v1/completions", body["error"]["message"], hint):
        assert words in str(caught.value)
    assert len(server.bodies) == 1


async def test_a_prompt_longer_than_the_context() -> None:
    words = "This model's maximum context length is 2048 tokens, however you requested 3003"
    answer = httpx.Response(400, json={"error": {"message": words, "code": 400}})
    async with MockServer(answering(lambda: answer, 0)).endpoint() as endpoint:
        with pytest.raises(SearchFailed, match="maximum context length is 2048") as caught:
            await beam_search(endpoint, "p")
    assert isinstance(caught.value.failures[0].error, ContextOverflow)


@pytest.mark.parametrize("body", ["WORDS", '{"error": {"message": "WORDS"}}'])
@pytest.mark.parametrize("path", ["completions", "models"])
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
async def test_a_server_that_repeats_the_key_cannot_make_us_show_it(
    status: int,
    path: str,
    body: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(0)
    words = f"no: Bearer {KEY}, user:pass-word, header-secret"
    answer = body.replace("WORDS", words.replace("/", "\\/"))
    server = MockServer(answering(lambda: httpx.Response(status, text=answer), *range(9)))
    shown: list[str] = []
    named = {"model": "m", "dialect": "openai"} if path == "completions" else {"model": None}
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(server.handle)) as client,
        Endpoint(
            "http://user:pass-word@mock/v1",
            api_key=KEY,
            headers={"X-Secret": "header-secret"},
            retry=RetryPolicy(attempts=2, wait_initial=0, wait_max=0),
            http_client=client,
            **named,
        ) as endpoint,
    ):
        shown.append(repr(endpoint) + repr(vars(endpoint)) + endpoint.base_url)
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", observers=[lambda event: shown.append(repr(event))])
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert server.headers[0]["x-secret"] == "header-secret"
    failure = caught.value.failures[0]
    shown += [str(caught.value), repr(caught.value), repr(failure.error), str(failure.error.url)]
    shown += [caplog.text, *capsys.readouterr()]
    for secret in (KEY, "pass-word", "header-secret"):
        assert secret not in "".join(shown)


async def test_user_and_password_in_the_url_are_sent_as_a_header() -> None:
    server = MockServer()
    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(server.handle)) as client,
        Endpoint(
            "http://me:pw@mock/v1", model="m", dialect="openai", http_client=client
        ) as endpoint,
    ):
        await beam_search(endpoint, "p", BeamSearchConfig(max_tokens=2))
    assert server.headers[0]["authorization"] == "Basic bWU6cHc="


@pytest.mark.parametrize(
    "url",
    [
        "http://user:hunter22@127.0.0.1:99999/v1",
        "user:hunter22@127.0.0.1/v1",
        "ftp://127.0.0.1/v1?key=hunter22",
        "http://127.0.0.1:0/v1?key=hunter22",
        "http://127.0.0.1/v1#hunter22",
    ],
)
def test_a_password_is_not_in_the_error_about_a_url(url: str) -> None:
    with pytest.raises(ConfigError, match="base_url") as caught:
        Endpoint(url)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(
    "headers", [{"x-a": 1}, {"x-a": "é"}, {"x-a": "a\nb"}, {"x a": "b"}, {"": "b"}, {1: "b"}]
)
def test_headers_that_http_does_not_allow(headers: Any) -> None:
    with pytest.raises(ConfigError, match=r"^headers must be"):
        Endpoint("http://127.0.0.1/v1", headers=headers)


@pytest.mark.parametrize("key", [" key", "key ", "ké", "a\nb"])
def test_keys_that_http_does_not_allow(key: str) -> None:
    with pytest.raises(ConfigError, match=r"^api_key must be"):
        Endpoint("http://127.0.0.1/v1", api_key=key)


def test_a_synchronous_client_is_refused() -> None:
    with httpx.Client() as client, pytest.raises(ConfigError, match=r"^http_client must be"):
        Endpoint("http://127.0.0.1/v1", http_client=client)  # type: ignore[arg-type]


async def test_a_redirect_is_shown_without_secrets() -> None:
    answer = httpx.Response(307, headers={"location": f"http://elsewhere/?key={KEY}"})
    server = MockServer(answering(lambda: answer, 0))
    async with server.endpoint(api_key=KEY) as endpoint:
        with pytest.raises(SearchFailed, match="redirects to http://elsewhere") as caught:
            await beam_search(endpoint, "p")
    assert KEY not in str(caught.value)


async def test_an_answer_longer_than_asked_for() -> None:
    async def longer(number: int, body: dict[str, Any]) -> httpx.Response:
        return httpx.Response(200, json=completion(body | {"max_tokens": body["max_tokens"] + 1}))

    async with MockServer(longer).endpoint() as endpoint:
        with pytest.raises(SearchFailed, match="has 3 tokens, where at most 2"):
            await beam_search(endpoint, "p", BeamSearchConfig(max_tokens=2))
