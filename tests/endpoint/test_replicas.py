"""One model on several servers: a search stays, and goes on elsewhere from what it has."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from tests.gateway.serving import FakeServer
from trio_beam import (
    BeamSearchConfig,
    ConnectionFailed,
    EndpointError,
    Prompt,
    RequestContext,
    RequestRejected,
    SampleRequest,
    SearchFailed,
    Token,
    search,
)
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.endpoint.replicas import Replicas
from trio_beam.testing import FakeEndpoint

CONFIG = BeamSearchConfig(beam_width=3, tokens_per_step=2, max_tokens=12, seed=4)


class Server(FakeServer):
    """A server that dies at its `dies`th request, and may come back."""

    def __init__(self, dies: int | None = None) -> None:
        super().__init__(FakeEndpoint(before=self._before))
        self.dies = dies
        self.seen = 0

    async def _before(self, request: SampleRequest) -> None:
        self.seen += 1
        if self.dies is not None and self.seen >= self.dies:
            self.error = ConnectionFailed("it has gone")
        await trio.sleep(1)
        if self.error is not None:  # also requests that came before
            raise self.error


def over(*servers: Any) -> Replicas:
    return Replicas(servers)


@pytest.mark.parametrize("dies", [1, 2, 3, 5])
async def test_a_search_goes_on_elsewhere(dies: int, autojump_clock: trio.abc.Clock) -> None:
    wanted = await search(FakeEndpoint(), "a", CONFIG)
    first, second = Server(dies), Server()
    found = await search(over(first, second), "a", CONFIG)
    assert found.text == wanted.text
    assert not found.failures
    assert second.starts == 1


async def test_many_searches_survive_a_server_that_dies(autojump_clock: trio.abc.Clock) -> None:
    servers = [Server(dies=70), Server(), Server()]
    replicas = over(*servers)
    wanted = (await search(FakeEndpoint(), "a", CONFIG)).text
    texts: list[str] = []

    async def one() -> None:
        texts.append((await search(replicas, "a", CONFIG)).text)

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(one)
    assert texts == [wanted] * 50
    assert [one.is_lost for one in replicas.all] == [True, False, False]
    assert servers[0].seen >= 70


async def test_a_search_stays_with_its_server_and_others_are_spread(
    autojump_clock: trio.abc.Clock,
) -> None:
    servers = [Server(), Server()]
    replicas = over(*servers)
    for _ in range(4):
        await search(replicas, "a", CONFIG)
    assert [server.starts for server in servers] == [2, 2]
    rounds = CONFIG.rounds
    assert all(server.seen >= rounds for server in servers)
    servers[0].load = 3
    await search(replicas, "a", CONFIG)
    await search(replicas, "a", CONFIG)
    assert [server.starts for server in servers] == [2, 4]


async def test_a_lost_server_is_left_alone_and_tried_again(autojump_clock: trio.abc.Clock) -> None:
    lost, other = Server(dies=1), Server()
    replicas = over(lost, other)
    await search(replicas, "a", CONFIG)
    assert replicas.all[0].is_lost
    seen = lost.seen
    await search(replicas, "a", CONFIG.__class__(tokens_per_step=1, max_tokens=1))
    assert lost.seen == seen  # left alone
    lost.dies, lost.error, other.load = None, None, 9
    await trio.sleep(100)
    await search(replicas, "a", CONFIG)
    assert lost.seen > seen
    assert replicas.all[0].failures == 0


async def test_no_server_at_all(autojump_clock: trio.abc.Clock) -> None:
    replicas = over(Server(dies=1), Server(dies=1))
    with pytest.raises(SearchFailed, match="it has gone"):
        await search(replicas, "a", CONFIG)
    with pytest.raises(ConnectionFailed):
        await replicas.model_name()
    for server in replicas.all:
        server.endpoint.error = None  # type: ignore[attr-defined]
    assert await replicas.model_name() == "m"


async def test_a_refusal_is_the_same_everywhere(autojump_clock: trio.abc.Clock) -> None:
    first, second = Server(), Server()
    first.error = RequestRejected("no such role", status=400)
    with pytest.raises(SearchFailed, match="no such role"):
        await search(over(first, second), "a", CONFIG)
    assert second.starts == 0


class Telling:
    """A sampler that tells all that a sampler may tell; its server is lost when it is asked for tokens."""

    max_per_request, prompt_length = 3, 7
    opens_thinking, thinks_apart, ends_thinking = "<think>", True, True

    def __init__(self, error: EndpointError | None) -> None:
        self.error = error

    async def force(self, text: str, context: RequestContext) -> list[Token]:
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        return [Token(text, 0.0, 5, forced=True)]


class TellingServer(FakeServer):
    async def start(self, prompt: Prompt, context: RequestContext) -> Any:
        await trio.lowlevel.checkpoint()
        return Telling(self.error)


async def test_a_search_knows_of_its_server_what_it_would_without_a_gateway() -> None:
    lost, other = TellingServer(FakeEndpoint()), TellingServer(FakeEndpoint())
    lost.error = ConnectionFailed("it has gone")
    context = RequestContext(meter=UsageMeter(), emit=lambda event: None)
    sampler: Any = await over(lost, other).start(Prompt(text="a"), context)
    for name in ("max_per_request", "prompt_length", "opens_thinking", "thinks_apart"):
        assert getattr(sampler, name) == getattr(Telling, name)
    assert sampler.ends_thinking
    (token,) = await sampler.force("</think>", context)
    assert (token.id, token.forced) == (5, True)
    with pytest.raises(AttributeError):
        sampler.nothing  # noqa: B018
