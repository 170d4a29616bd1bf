"""Several prompts in one request: each has its search, and its choices stand behind each other."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest
import trio

from tests.gateway.serving import ask, gateway_over, serving
from tests.gateway.test_openai_client import as_users_do, client
from trio_beam import BeamSearchConfig, ServerError
from trio_beam.gateway.limits import Limits
from trio_beam.testing import FakeEndpoint, Reply, ScriptedModel

PROMPTS = ["one", "two", "three"]
SCRIPT: Any = {prompt: [(f"{prompt} a", -1.0), (f"{prompt} b", -2.0)] for prompt in PROMPTS}
GIVEN: Any = {"model": "m@best-2", "prompt": PROMPTS, "n": 2}
WANTED = [f"{prompt} {letter}" for prompt in PROMPTS for letter in "ab"]


async def test_choices_are_numbered_by_prompt_and_the_usage_is_the_sum() -> None:
    async with serving(gateway_over(ScriptedModel(SCRIPT))) as url, client(url) as asking:
        found = await asking.completions.create(**GIVEN)
        alone = await asking.completions.create(**GIVEN | {"prompt": ["two"]})
    assert [one.text for one in found.choices] == WANTED
    assert [one.index for one in found.choices] == list(range(6))
    assert [one.text for one in alone.choices] == WANTED[2:4]
    assert found.usage is not None
    assert alone.usage is not None
    assert found.usage.completion_tokens == 3 * alone.usage.completion_tokens
    facts = (found.model_extra or {})["trio_beam"]["prompts"]
    assert [one["choices"][0]["logprob"] for one in facts] == [-1.0] * 3


async def chunks_of(url: str, **given: Any) -> list[openai.types.Completion]:
    async with client(url) as asking:
        stream = await asking.completions.create(
            stream=True, stream_options={"include_usage": True}, **given
        )
        return [chunk async for chunk in stream]


async def test_they_are_streamed_side_by_side() -> None:
    """The last prompt's choices come first where its model is first."""
    script = SCRIPT | {"one": [Reply("one a", delay=0.3), Reply("one b", delay=0.3)]}
    async with serving(gateway_over(ScriptedModel(script))) as url:
        chunks = await as_users_do(lambda: chunks_of(url, **GIVEN))
    texts = [""] * 6
    reasons: list[int] = []
    for choice in [choice for chunk in chunks for choice in chunk.choices]:
        texts[choice.index] += choice.text
        reasons += [choice.index] if choice.finish_reason else []
    assert sorted(texts) == sorted(WANTED)
    assert sorted(reasons) == list(range(6))
    assert reasons[-2:] == [0, 1]
    assert [chunk.usage is None for chunk in chunks] == [True] * (len(chunks) - 1) + [False]


async def test_one_request_shares_the_places_with_others() -> None:
    """It uses what is free, and gives it back where others wait."""
    seen: list[int] = []

    async def before(request: Any) -> None:
        seen.append(gateway.admission.running)
        await trio.sleep(0.02)

    gateway = gateway_over(FakeEndpoint(before=before), limits=Limits(max_searches=3))
    body = {"model": "m@greedy", "prompt": [f"p{n}" for n in range(12)], "max_tokens": 3}
    others: list[int] = []

    async def other() -> None:
        given = {**body, "prompt": "p"}
        others.append((await ask(url, "POST", "/v1/completions", given)).status_code)

    async with serving(gateway) as url, trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(other)
        found = await ask(url, "POST", "/v1/completions", body)
        assert len(found.json()["choices"]) == 12
    assert others == [200] * 4
    assert max(seen) == 3


@pytest.mark.parametrize("streamed", [False, True])
async def test_one_that_fails_fails_the_request(streamed: bool) -> None:
    script = SCRIPT | {"two": ServerError("broken", status=500)}
    async with serving(gateway_over(ScriptedModel(script))) as url:
        found = await ask(url, "POST", "/v1/completions", GIVEN | {"stream": streamed})
    assert "prompt 1: " in found.text
    assert "broken" in found.text


async def test_a_deadline_is_that_of_all() -> None:
    script = SCRIPT | {"two": Reply("two", delay=math.inf)}
    given = GIVEN | {"search": {"within": 0.2}}
    async with serving(gateway_over(ScriptedModel(script))) as url:
        found = await ask(url, "POST", "/v1/completions", given)
    assert (found.status_code, found.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert found.json()["error"]["message"].startswith("prompt 1: nothing had come back")


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ([], "a list of such texts"),
        ([1, 2, 3], "token ids are not taken"),
        ([[1, 2], [3]], "token ids are not taken"),
        (["a", ""], "not empty"),
        (["a", 3], "not empty"),
        ({"a": 1}, "a text"),
        (["a"] * 65, "allows 64 prompts"),
    ],
)
async def test_prompts_that_are_refused(prompt: Any, words: str) -> None:
    async with serving(gateway_over(FakeEndpoint())) as url:
        found = await ask(url, "POST", "/v1/completions", {"model": "m", "prompt": prompt})
    error = found.json()["error"]
    assert (found.status_code, error["param"]) == (400, "prompt")
    assert words in error["message"]


def test_the_total_cost_is_that_of_the_request() -> None:
    limits = Limits(max_search_tokens=900)
    assert limits.applied_to(BeamSearchConfig(), 3).max_total_tokens == 300
