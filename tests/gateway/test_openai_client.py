"""OpenAI's own client, sync and async, against the gateway on a real socket."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import attrs
import openai
import pytest
import trio

from tests.gateway.calling import calling
from tests.gateway.nasty_model import NastyModel
from tests.gateway.serving import FakeServer, connected, gateway_over, post, serving
from trio_beam import (
    AttemptTimeout,
    BeamSearchConfig,
    ConnectionFailed,
    ContextOverflow,
    EndpointError,
    LogprobsUnavailable,
    Prices,
    RateLimited,
    RequestRejected,
    SampleRequest,
    ServerError,
    search,
)
from trio_beam.testing import FakeEndpoint, ScriptedModel

T = TypeVar("T")
HI: Any = [{"role": "user", "content": "hi"}]


def client(url: str, **options: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, **options)


async def test_an_answer_is_that_of_the_search() -> None:
    config = BeamSearchConfig(beam_width=4, n_per_beam=2, max_tokens=20, seed=3, top_logprobs=2)
    wanted = await search(FakeEndpoint(), HI, config)
    async with serving(gateway_over(FakeEndpoint())) as url, client(url) as ask:
        found = await ask.chat.completions.create(
            model="m@beam-4x2",
            messages=HI,
            n=3,
            seed=3,
            max_tokens=20,
            logprobs=True,
            top_logprobs=2,
        )
        text = await ask.completions.create(
            model="m",
            prompt="hi",
            n=3,
            seed=3,
            max_tokens=20,
            logprobs=2,
            extra_body={"search": {"strategy": "beam_search", "beam_width": 4}},
        )
    beams = wanted.beams[:3]
    assert [one.message.content for one in found.choices] == [beam.text for beam in beams]
    assert [one.text for one in text.choices] == [beam.text for beam in beams]
    assert [one.finish_reason for one in found.choices] == [beam.finish_reason for beam in beams]
    assert found.usage is not None
    assert found.usage.completion_tokens == wanted.usage.completion_tokens
    assert found.usage.total_tokens == wanted.usage.completion_tokens + wanted.usage.prompt_tokens
    assert found.model_extra is not None
    assert found.model_extra["trio_beam"]["score"] == wanted.score
    assert found.model_extra["trio_beam"]["stop_reason"] == wanted.stop_reason
    for choice, beam in zip(found.choices, beams, strict=True):
        assert choice.logprobs is not None
        assert choice.logprobs.content is not None
        shown = [(one.token, one.logprob) for one in choice.logprobs.content]
        assert shown == [(one.text, one.logprob) for one in beam.tokens if one.text]
        assert all(len(one.top_logprobs) == 2 for one in choice.logprobs.content)
    logprobs = text.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens == [one.text for one in beams[0].tokens if one.text]


async def test_usage_has_the_cost_which_a_request_may_limit() -> None:
    prices = Prices(input=1000, output=2000)
    async with calling(prices=prices) as (url, server), client(url) as ask:
        create = partial(ask.chat.completions.create, model="mock@greedy", messages=HI)
        found = await create(max_tokens=8)
        assert found.usage is not None
        assert found.usage.model_dump()["cost"] == 0.009 + 0.01
        sent = len(server.bodies)
        with pytest.raises(openai.BadRequestError, match="may cost more than its budget") as caught:
            await create(max_tokens=8, extra_body={"search": {"max_cost": 0.001}})
        assert caught.value.param == "search.max_cost"
        assert len(server.bodies) == sent


async def as_users_do(work: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
    """Run a function on asyncio, in a thread: the asynchronous client leaves its streams to that loop."""
    return await trio.to_thread.run_sync(lambda: asyncio.run(work(*args)), abandon_on_cancel=True)


@attrs.define
class Streamed:
    """What the chunks of a stream have said."""

    content: str = ""
    thinking: str = ""
    deltas: list[tuple[str, str]] = attrs.Factory(list)
    reasons: list[str] = attrs.Factory(list)
    usage: Any = None
    facts: Any = None


def _unseen(text: str) -> None:
    """Look at nothing."""


async def stream(
    url: str, seen: Callable[[str], None] = _unseen, messages: Any = HI, **given: Any
) -> Streamed:
    found = Streamed()
    async with client(url) as ask:
        create = ask.chat.completions.create
        async for chunk in await create(messages=messages, stream=True, **given):
            found.usage = chunk.usage or found.usage
            found.facts = (chunk.model_extra or {}).get("trio_beam", found.facts)
            for choice in chunk.choices:
                thinking = (choice.delta.model_extra or {}).get("reasoning_content") or ""
                found.deltas.append((thinking, choice.delta.content or ""))
                found.thinking += thinking
                found.content += choice.delta.content or ""
                found.reasons += [choice.finish_reason] if choice.finish_reason else []
                seen(found.content)
    return found


async def legacy_stream(url: str, **given: Any) -> str:
    async with client(url) as ask:
        chunks = await ask.completions.create(prompt="hi", stream=True, **given)
        return "".join([chunk.choices[0].text async for chunk in chunks])


@pytest.mark.parametrize("alias", ["beam-4x2", "best-4", "greedy", "mcmc-2", "power-4", "vote-4"])
async def test_a_stream_has_the_same_text(alias: str) -> None:
    given: Any = {"model": f"m@{alias}", "seed": 5, "max_tokens": 24}
    if alias.startswith(("beam", "mcmc", "power")):
        given["extra_body"] = {"search": {"tokens_per_step": 3}}
    async with serving(gateway_over(FakeEndpoint())) as url, client(url) as ask:
        whole = await ask.chat.completions.create(messages=HI, **given)
        text = await as_users_do(partial(legacy_stream, url, **given))
        given["stream_options"] = {"include_usage": True}
        found = await as_users_do(partial(stream, url, **given))
    assert found.content == text == whole.choices[0].message.content
    assert found.reasons == [whole.choices[0].finish_reason]
    assert found.usage == whole.usage
    assert whole.model_extra is not None
    assert 0 <= found.facts.pop("settled_early") <= 1
    assert found.facts == whole.model_extra["trio_beam"]


async def test_what_is_settled_comes_while_the_search_goes_on() -> None:
    may_end = trio.Event()

    async def before(request: SampleRequest) -> None:
        if request.beam.length >= 4:
            await may_end.wait()

    def seen(text: str) -> None:
        if text:
            trio.from_thread.run_sync(may_end.set)

    given: Any = {"search": {"tokens_per_step": 2, "beam_width": 1, "n_per_beam": 1}}
    async with serving(gateway_over(FakeEndpoint(before=before))) as url:
        work = partial(stream, url, seen, model="m", seed=2, max_tokens=20, extra_body=given)
        found = await as_users_do(work)
    assert 0 < found.facts["settled_early"] < 1


async def test_thinking_has_its_own_deltas() -> None:
    script = "<think>Let me see. It is two.</think>\n\nIt is 2 of them"
    given: Any = {"model": "m@beam-2x2", "extra_body": {"search": {"tokens_per_step": 2}}}
    async with serving(gateway_over(ScriptedModel(script))) as url, client(url) as ask:
        found = await as_users_do(partial(stream, url, **given))
        whole = await ask.chat.completions.create(model="m", messages=HI)
    assert found.thinking == "Let me see. It is two."
    assert found.content == whole.choices[0].message.content == "It is 2 of them"
    assert (whole.choices[0].message.model_extra or {})["reasoning_content"] == found.thinking
    kinds = [("thinking" if one[0] else "content") for one in found.deltas if any(one)]
    assert kinds == sorted(kinds, reverse=True)
    assert "thinking" in kinds
    assert not any(all(one) for one in found.deltas)


async def test_random_streams_end_as_the_whole_answer() -> None:
    """Tags, stop strings and characters cut anywhere, through the wire."""
    for seed in range(6):
        given: Any = {
            "model": "m@beam-3x2",
            "seed": seed,
            "max_tokens": 24,
            "stop": ["END", "aEN"],
            "extra_body": {"search": {"tokens_per_step": 3, "reasoning": "opened"}},
        }
        async with serving(gateway_over(NastyModel(seed))) as url, client(url) as ask:
            whole = await ask.chat.completions.create(messages=HI, **given)
        async with serving(gateway_over(NastyModel(seed))) as url:
            found = await as_users_do(partial(stream, url, **given))
        assert found.content == whole.choices[0].message.content


def sync_answers(url: str) -> tuple[str, str, list[str]]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as ask:
        given: Any = {"model": "m@beam-2x2", "messages": HI, "seed": 1, "max_tokens": 9}
        whole = ask.chat.completions.create(**given).choices[0].message.content or ""
        chunks = ask.chat.completions.create(stream=True, **given)
        text = "".join(one.choices[0].delta.content or "" for one in chunks)
        return whole, text, [model.id for model in ask.models.list()]


async def test_the_synchronous_client() -> None:
    async with serving(gateway_over(FakeEndpoint())) as url:
        whole, text, models = await trio.to_thread.run_sync(sync_answers, url)
    assert whole == text != ""
    assert {"m", "m@beam-4x4", "m@vote-8", "m@self_consistency"} <= set(models)


async def test_models() -> None:
    async with (
        serving(gateway_over(FakeServer(FakeEndpoint(), "org/m"))) as url,
        client(url) as ask,
    ):
        for name in ("org/m", "org/m@beam-3x5", "org/m@greedy"):
            assert (await ask.models.retrieve(name)).id == name
        for name in ("other", "org/m@nothing-2", "org/m@beam"):
            with pytest.raises(openai.NotFoundError):
                await ask.models.retrieve(name)
            with pytest.raises(openai.NotFoundError) as caught:
                await ask.chat.completions.create(model=name, messages=HI)
            assert (caught.value.param, caught.value.code) == ("model", "model_not_found")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_goes_cancels_its_search(stream: bool) -> None:
    asked = trio.Event()

    async def before(request: SampleRequest) -> None:
        if request.beam.length:
            asked.set()
            await trio.sleep_forever()

    model = FakeEndpoint(before=before)
    gateway = gateway_over(model)
    async with serving(gateway) as url, client(url) as ask, trio.open_nursery() as nursery:

        async def go_on() -> None:
            given: Any = {"stream": True} if stream else {}
            chunks = await ask.chat.completions.create(
                model="m",
                messages=HI,
                seed=3,  # no beam of it ends in the first block
                extra_body={"search": {"tokens_per_step": 2}},
                **given,
            )
            async for _ in chunks:
                pass

        nursery.start_soon(go_on)
        await asked.wait()
        nursery.cancel_scope.cancel()
    assert model.in_flight == 0
    assert model.cancelled == 2
    assert b'status="499"' in gateway.metrics.page()


async def test_a_client_whose_time_is_up_cancels_its_search() -> None:
    model = FakeEndpoint(latency=math.inf)
    async with serving(gateway_over(model)) as url, client(url, timeout=0.2) as ask:
        with pytest.raises(openai.APITimeoutError):
            await ask.chat.completions.create(model="m", messages=HI)
    assert (model.in_flight, model.cancelled) == (0, 1)


async def wait_for_the_second_block(request: SampleRequest) -> None:
    if request.beam.length:
        await trio.sleep_forever()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("by_header", [False, True])
async def test_a_deadline_returns_the_best_so_far(by_header: bool, streamed: bool) -> None:
    given: Any = {"search": {"tokens_per_step": 2}}
    options: Any = {"model": "m", "seed": 4, "extra_body": given}
    if by_header:
        options["extra_headers"] = {"x-search-within": "0.3"}
    else:
        given["search"]["within"] = 0.3
    model = FakeEndpoint(before=wait_for_the_second_block)
    async with serving(gateway_over(model)) as url, client(url) as ask:
        if streamed:
            found = await as_users_do(partial(stream, url, **options))
            text, reason, facts = found.content, found.reasons[0], found.facts
        else:
            done = await ask.chat.completions.create(messages=HI, **options)
            text, reason = done.choices[0].message.content or "", done.choices[0].finish_reason
            facts = (done.model_extra or {})["trio_beam"]
    assert text
    assert (facts["stop_reason"], facts["choices"][0]["tokens"], reason) == (
        "deadline",
        2,
        "length",
    )
    assert model.in_flight == 0


async def test_a_deadline_before_anything_came() -> None:
    model = FakeEndpoint(latency=math.inf)
    async with serving(gateway_over(model)) as url, client(url) as ask:
        with pytest.raises(openai.InternalServerError) as caught:
            await ask.with_options(max_retries=2).chat.completions.create(
                model="m@greedy", messages=HI, extra_body={"search": {"within": 0.05}}
            )
    assert len(model.requests) == 1
    assert (caught.value.status_code, caught.value.code) == (504, "deadline_exceeded")


ERRORS: list[tuple[EndpointError, int, str]] = [
    (ServerError("broken", status=500), 502, "model_server_error"),
    (ConnectionFailed("refused"), 502, "model_server_error"),
    (AttemptTimeout("slow"), 504, "model_server_timeout"),
    (RateLimited("busy", retry_after=7.0), 429, "rate_limit_exceeded"),
    (ContextOverflow("too long", status=400), 400, "context_length_exceeded"),
    (RequestRejected("no such role", status=400), 400, "refused_by_model_server"),
    (RequestRejected("wrong key", status=401), 502, "model_server_error"),
    (RequestRejected("withheld", status=200, code="content_filter"), 400, "content_filter"),
    (RequestRejected("name the model", status=200), 502, "model_server_error"),
    (LogprobsUnavailable("none"), 400, "logprobs_unavailable"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("error", "status", "code"), ERRORS, ids=str)
async def test_errors_of_the_model(
    error: EndpointError, status: int, code: str, stream: bool
) -> None:
    async with serving(gateway_over(ScriptedModel(error))) as url, client(url) as ask:
        with pytest.raises(openai.APIStatusError) as caught:
            await ask.chat.completions.create(model="m", messages=HI, stream=stream)
    assert (caught.value.status_code, caught.value.code) == (status, code)
    assert error.message in caught.value.message
    if status == 429:
        assert caught.value.response.headers["retry-after"] == "7"


async def test_an_error_in_the_middle_of_a_stream() -> None:
    may_fail = trio.Event()

    async def before(request: SampleRequest) -> None:
        if request.beam.length >= 4:
            await may_fail.wait()
            raise ServerError("broken", status=500)

    texts: list[str] = []

    def seen(text: str) -> None:
        texts.append(text)
        if text:
            trio.from_thread.run_sync(may_fail.set)

    given: Any = {"search": {"tokens_per_step": 2, "beam_width": 1, "n_per_beam": 1}}
    async with serving(gateway_over(FakeEndpoint(before=before))) as url:
        with pytest.raises(openai.APIError, match="broken") as caught:
            await as_users_do(partial(stream, url, seen, model="m", seed=2, extra_body=given))
    assert not isinstance(caught.value, openai.APIStatusError)  # the stream had begun
    assert texts[-1]


async def test_a_stream_without_news_has_heart_beats() -> None:
    gateway = gateway_over(FakeEndpoint(latency=math.inf), heart_beat=0.02)
    async with serving(gateway) as url, connected(url) as connection:
        body = {"model": "m", "messages": HI, "stream": True}
        await connection.send_all(post("/v1/chat/completions", body))
        received = b""
        while received.count(b": the search goes on") < 3:
            received += await connection.receive_some()
    assert b"content-type: text/event-stream" in received
