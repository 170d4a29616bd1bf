"""The verbs under asyncio do what they do under Trio, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextvars
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
import trio

import trio_beam.asyncio
from tests.asyncio.loops import in_thread, nothing_is_left, run
from tests.servers.socket_server import threaded_server
from trio_beam import (
    Beam,
    BeamSearchConfig,
    ChainExtended,
    ConfigError,
    Event,
    McmcConfig,
    RoundFinished,
    ScorerError,
    SearchFailed,
    SearchOutcome,
    SearchResult,
    TrioBeamError,
)
from trio_beam.testing import FakeEndpoint

CONFIG = BeamSearchConfig(tokens_per_step=4, max_tokens=8, seed=3)
CHAINS = McmcConfig(tokens_per_step=4, max_tokens=8, steps=2, seed=3)
PAGE = Path(__file__).parents[2] / "docs" / "asyncio.md"
CHAINS = McmcConfig(chains=2, steps=2, tokens_per_step=4, max_tokens=8, seed=3)


@pytest.fixture
def url() -> Iterator[str]:
    with threaded_server() as (served, _):
        yield served


def endpoint_of(url: str, **options: Any) -> trio_beam.asyncio.Endpoint:
    options = {"dialect": "openai", "model": "mock"} | options
    return trio_beam.asyncio.Endpoint(url, **options)


@pytest.mark.parametrize("verb", ["search", "beam_search", "mcmc"])
@pytest.mark.parametrize("within", [False, True])
def test_the_verbs_give_what_they_give_under_trio(url: str, verb: str, within: bool) -> None:
    config = CHAINS if verb == "mcmc" else CONFIG
    name = f"{verb}_within" if within else verb
    seconds = (60,) if within else ()

    async def by_asyncio() -> SearchResult:
        async with endpoint_of(url) as endpoint:
            result: SearchResult = await getattr(trio_beam.asyncio, name)(
                *seconds, endpoint, "p", config
            )
            assert endpoint.statistics().in_flight == 0
        assert endpoint.statistics().open_connections == 0
        nothing_is_left()
        return result

    async def by_trio() -> SearchResult:
        async with trio_beam.Endpoint(url, dialect="openai", model="mock") as endpoint:
            result: SearchResult = await getattr(trio_beam, name)(*seconds, endpoint, "p", config)
            return result

    assert run(by_asyncio).text == trio.run(by_trio).text


def test_an_endpoint_may_be_entered_again_on_another_loop(url: str) -> None:
    endpoint = endpoint_of(url)

    async def main() -> str:
        async with endpoint:
            return (await trio_beam.asyncio.search(endpoint, "p", CONFIG)).text

    texts = {run(main), run(main), trio.run(main)}
    assert len(texts) == 1


def test_an_endpoint_that_is_open_is_not_entered_again(url: str) -> None:
    async def main() -> None:
        async with endpoint_of(url) as endpoint:
            with pytest.raises(TrioBeamError, match="open already"):
                await endpoint.__aenter__()
            assert (await trio_beam.asyncio.search(endpoint, "p", CONFIG)).text

    run(main)


def test_several_searches_and_endpoints_at_the_same_time(url: str) -> None:
    async def one(endpoint: trio_beam.asyncio.Endpoint, prompt: str) -> str:
        return (await trio_beam.asyncio.search(endpoint, prompt, CONFIG)).text

    async def own(prompt: str) -> str:
        async with endpoint_of(url) as endpoint:
            return await one(endpoint, prompt)

    async def main() -> tuple[list[str], list[str]]:
        async with endpoint_of(url) as endpoint:
            shared = await asyncio.gather(*(one(endpoint, f"p {k}") for k in range(5)))
        nothing_is_left()
        return shared, await asyncio.gather(*(own(f"p {k}") for k in range(5)))

    shared, separate = run(main)
    assert shared == separate
    assert len(set(shared)) == 5


def test_two_threads_have_loops_of_their_own(url: str) -> None:
    async def main() -> str:
        async with endpoint_of(url) as endpoint:
            return (await trio_beam.asyncio.search(endpoint, "p", CONFIG)).text

    waiting = [in_thread(lambda: run(main)) for _ in range(2)]
    assert len({run(main), *(wait() for wait in waiting)}) == 1


def test_the_loop_goes_on_while_a_search_waits() -> None:
    async def main() -> None:
        turns = 0
        search = asyncio.create_task(
            trio_beam.asyncio.search(FakeEndpoint(latency=0.05), "p", CONFIG)
        )
        while not search.done():
            await asyncio.sleep(0)
            turns += 1
        assert turns > 10

    run(main)


def test_capabilities_are_asked_for_in_trio(url: str) -> None:
    """As far as the first word of progress; a whole probe takes real seconds."""
    said: list[tuple[bool, str]] = []

    def stop(word: str) -> None:
        said.append((trio.lowlevel.in_trio_task(), word))
        raise LookupError("enough")

    async def main() -> None:
        async with endpoint_of(url) as endpoint:
            with pytest.raises(LookupError, match="enough"):
                await endpoint.capabilities(progress=stop)

    run(main)
    assert [inside for inside, _ in said] == [True]


def test_a_client_of_ones_own_is_closed_with_the_endpoint(url: str) -> None:
    """Its connections belong to Trio, so asyncio could not close them."""

    async def main() -> None:
        async with httpx.AsyncClient(timeout=None) as client:
            async with endpoint_of(url, http_client=client) as endpoint:
                assert (await trio_beam.asyncio.search(endpoint, "p", CONFIG)).text
            assert client.is_closed

    run(main)


def test_the_page_is_true(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    (source,) = re.findall(
        r"```python\nimport asyncio\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    )
    source = "import asyncio\n" + source.replace("http://127.0.0.1:8000/v1", url)
    exec(compile(source, PAGE, "exec"), {})
    assert capsys.readouterr().out.count("\n") == 3


# -- many prompts


def test_many_prompts(url: str) -> None:
    async def prompts() -> AsyncIterator[str]:
        for number in range(5):
            await asyncio.sleep(0)
            yield f"p {number}"

    async def main() -> list[list[str]]:
        found = []
        async with endpoint_of(url) as endpoint:
            for each in ([f"p {k}" for k in range(5)], prompts()):
                outcomes: dict[int, SearchOutcome] = {}
                async with trio_beam.asyncio.search_many(endpoint, each, CONFIG) as many:
                    async for outcome in many:
                        outcomes[outcome.index] = outcome
                assert all(outcome.error is None for outcome in outcomes.values())
                found.append([outcomes[k].result.text for k in range(5)])  # type: ignore[union-attr]
        return found

    first, second = run(main)
    assert first == second


def test_leaving_the_block_of_many_prompts_ends_them_all() -> None:
    model = FakeEndpoint(latency=0.001)
    closed = []

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                yield "p"
        finally:
            await asyncio.sleep(0)  # noqa: ASYNC102  # in asyncio
            closed.append(True)

    async def main() -> None:
        async with trio_beam.asyncio.search_many(model, endless(), CONFIG) as outcomes:
            async for _ in outcomes:
                break
        nothing_is_left()
        with pytest.raises(trio.ClosedResourceError):
            await anext(outcomes)

    run(main)
    assert model.in_flight == 0
    assert closed == [True]


def test_an_error_of_the_prompts_arrives() -> None:
    async def broken() -> AsyncIterator[str]:
        yield "p"
        await asyncio.sleep(0)
        raise LookupError("no more")

    async def main(prompts: Any) -> None:
        async with trio_beam.asyncio.search_many(FakeEndpoint(), prompts, CONFIG) as outcomes:
            async for _ in outcomes:
                pass

    def plain() -> Iterator[str]:
        yield "p"
        raise LookupError("no more")

    for prompts in (broken(), plain()):
        with pytest.raises(LookupError, match="no more"):
            run(lambda prompts=prompts: main(prompts))  # type: ignore[misc]


def test_an_outcome_is_not_lost_to_a_wait_that_is_given_up() -> None:
    async def main() -> None:
        seen: list[int] = []
        prompts = [f"p {k}" for k in range(6)]
        model = FakeEndpoint(latency=0.001)
        async with trio_beam.asyncio.search_many(model, prompts, CONFIG) as outcomes:
            while len(seen) < len(prompts):
                waiting = asyncio.create_task(anext(outcomes))
                await asyncio.sleep(0.001)
                waiting.cancel()
                await asyncio.wait([waiting])
                if not waiting.cancelled():
                    seen.append(waiting.result().index)
        assert sorted(seen) == list(range(len(prompts)))

    run(main)


# -- functions of the caller's


@pytest.mark.parametrize("strategy", [CONFIG, CHAINS], ids=["beam_search", "mcmc"])
def test_observers_and_scorers_see_the_context_of_the_caller(strategy: Any) -> None:
    word = contextvars.ContextVar("word", default="unset")
    seen: list[str] = []
    events: list[Event] = []

    async def scorer(beams: Sequence[Beam], config: Any) -> list[float]:
        await asyncio.sleep(0)  # of asyncio
        assert config.scorer is scorer
        seen.append(word.get())
        return [float(len(beam.text)) for beam in beams]

    def observe(event: Event) -> None:
        events.append(event)
        seen.append(word.get())

    async def main() -> SearchResult:
        word.set("caller's")
        config = attrs.evolve(strategy, scorer=scorer)
        return await trio_beam.asyncio.search(FakeEndpoint(), "p", config, observers=[observe])

    result = run(main)
    assert result.score == len(result.text)
    assert set(seen) == {"caller's"}
    assert any(isinstance(event, (RoundFinished, ChainExtended)) for event in events)


def test_a_scorer_that_raises_fails_the_search() -> None:
    async def scorer(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        await asyncio.sleep(0)
        raise LookupError("no idea")

    async def main() -> None:
        await trio_beam.asyncio.search(FakeEndpoint(), "p", attrs.evolve(CONFIG, scorer=scorer))

    with pytest.raises(SearchFailed, match="no idea") as caught:
        run(main)
    assert isinstance(caught.value.__cause__, ExceptionGroup)
    assert isinstance(caught.value.__cause__.exceptions[0], ScorerError)


def test_a_bug_of_an_observer_arrives_with_its_traceback() -> None:
    def observe(event: Event) -> None:
        raise LookupError("a bug")

    async def main() -> None:
        await trio_beam.asyncio.search(FakeEndpoint(), "p", CONFIG, observers=[observe])

    with pytest.raises(LookupError, match="a bug") as caught:
        run(main)
    assert caught.traceback[-1].name == "observe"


def test_bad_arguments_arrive() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="prompts"):
            async with trio_beam.asyncio.search_many(FakeEndpoint(), "hello"):
                pass
        with pytest.raises(ConfigError, match="prompt"):
            await trio_beam.asyncio.search(FakeEndpoint(), 7)  # type: ignore[arg-type]

    run(main)
