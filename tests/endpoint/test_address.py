"""What goes with every request: a query of the base URL, headers, and fields of the caller's."""

from __future__ import annotations

import httpx
import pytest
from trio.testing import MockClock

from tests.servers.mock_server import MockServer
from trio_beam import BeamSearchConfig, Endpoint, SearchFailed, beam_search

CONFIG = BeamSearchConfig(beam_width=2, n_per_beam=2, tokens_per_step=2, max_tokens=4, seed=1)


class Recorder:
    """A server that keeps every request, and has a model for each path."""

    def __init__(self, refusal: httpx.Response | None = None) -> None:
        self.server = MockServer()
        self.refusal = refusal
        self.requests: list[httpx.Request] = []

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.refusal or await self.server.handle(request)

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.MockTransport(self.handle))


async def test_a_query_goes_with_every_request(autojump_clock: MockClock) -> None:
    """Azure wants its version, others their key."""
    recorder = Recorder()
    url = "http://mock/v1?api-version=2024-06-01&key=secret-key"
    async with recorder.client() as client, Endpoint(url, http_client=client) as endpoint:
        assert endpoint.base_url == "http://mock/v1"
        assert (await beam_search(endpoint, "p", CONFIG)).beams
    assert len(recorder.requests) > 3
    for request in recorder.requests:
        assert request.url.query == b"api-version=2024-06-01&key=secret-key"


async def test_a_key_in_a_query_is_shown_nowhere(autojump_clock: MockClock) -> None:
    recorder = Recorder(httpx.Response(401, json={"error": {"message": "bad key a/secret=key"}}))
    url = "http://mock/v1?key=a%2Fsecret%3Dkey"
    async with (
        recorder.client() as client,
        Endpoint(url, model="m", dialect="openai", http_client=client) as endpoint,
    ):
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", CONFIG)
        shown = f"{caught.value} {endpoint!r} {endpoint.base_url}"
    assert "secret" not in shown
    assert "http://mock/v1/completions" in shown


async def test_fields_of_the_callers_go_with_every_request(autojump_clock: MockClock) -> None:
    server = MockServer()
    more = {"chat_template_kwargs": {"enable_thinking": False}, "user": "me"}
    async with server.endpoint(extra_body=more) as endpoint:
        result = await beam_search(endpoint, "p", CONFIG)
    assert result.usage.requests == len(server.bodies) > 2
    assert all(body.items() >= more.items() for body in server.bodies)


async def test_fields_that_shape_the_samples_make_a_search_inexact(
    autojump_clock: MockClock,
) -> None:
    one_block = BeamSearchConfig(max_tokens=4, tokens_per_step=4, seed=1)
    for more, exact in ({"user": "me"}, True), ({"presence_penalty": 1}, False):
        async with MockServer().endpoint(extra_body=more) as endpoint:
            assert (await beam_search(endpoint, "p", one_block)).exact is exact
