"""The scripted model: texts in order or by prompt, in blocks, with failures and delays."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

import trio_beam.asyncio
from trio_beam import (
    BeamSearchConfig,
    ConfigError,
    McmcConfig,
    RequestRejected,
    SearchFailed,
    Token,
    mcmc,
    search,
    search_many,
)
from trio_beam.testing import Reply, ReplyLike, ScriptedModel, check_language_model

pytest_plugins = ["pytester"]
PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
CONFIG = BeamSearchConfig(beam_width=2, n_per_beam=2, tokens_per_step=2, max_tokens=6)
ONE = attrs.evolve(CONFIG, beam_width=1, n_per_beam=1)


def test_the_page_is_true(pytester: pytest.Pytester) -> None:
    (source,) = (part.split("```")[0] for part in PAGE.read_text("utf-8").split("```python\n")[1:])
    pytester.makepyfile(source)
    pytester.makeini("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=5)


async def test_it_keeps_the_contract(autojump_clock: MockClock) -> None:
    texts: list[ReplyLike] = [
        "one two three four five six",
        Reply("seven eight nine ten eleven", delay=1),
    ]
    await check_language_model(ScriptedModel(texts), repeats=False)


async def test_searches_take_the_texts_in_order_and_begin_again() -> None:
    model = ScriptedModel(["a", "b", "c"])
    found = [(await search(model, "p", ONE)).text for _ in range(4)]
    assert found == ["a", "b", "c", "a"]


async def test_scores_are_the_log_probabilities() -> None:
    config = attrs.evolve(CONFIG, alpha=1.0, use_length_penalty=False, early_stopping=False)
    model = ScriptedModel([("two words", -5.0), ("a third text", -1.5), "plain words"])
    beams = (await search(model, "p", attrs.evolve(config, beam_width=3, n_per_beam=1))).beams
    scores = {beam.text: beam.score for beam in beams}
    assert scores == pytest.approx({"a third text": -1.5, "plain words": -2.0, "two words": -5.0})


async def test_a_beam_branches_where_its_texts_do() -> None:
    model = ScriptedModel(["so it began", "so it ended", "no"])
    result = await search(model, "p", attrs.evolve(CONFIG, early_stopping=False, beam_width=3))
    assert {beam.text for beam in result.beams} == {"so it began", "so it ended", "no"}


async def test_tokens_may_be_given() -> None:
    tokens = [Token("é"[:1], -0.5), Token("", -0.1, bytes=b"")]
    result = await search(ScriptedModel(Reply(tokens=tokens)), "p", ONE)
    assert result.text == "é"
    assert result.beams[0].logprob == pytest.approx(-0.6)
    assert result.stop_reason == "finished"


async def test_a_failure_comes_where_the_text_ends() -> None:
    error = RequestRejected("no", status=400)
    for text, kept in (("", ""), ("a", ""), ("a b", "a b"), ("a b c", "a b")):
        with pytest.raises(SearchFailed) as caught:
            await search(ScriptedModel([Reply(text, error=error)]), "p", ONE)
        assert caught.value.partial.text == kept
        assert caught.value.failures[0].error is error


async def test_a_failure_fails_its_request() -> None:
    config = attrs.evolve(CONFIG, on_beam_failure="drop_beam")
    model = ScriptedModel(["a", RequestRejected("no", status=400)])
    with pytest.raises(SearchFailed, match="no"):
        await search(model, "p", config)


async def test_delays_pass_in_virtual_time(autojump_clock: MockClock) -> None:
    model = ScriptedModel([Reply("a b c d", delay=60), Reply("e f", delay=5)])
    await search(model, "p", attrs.evolve(CONFIG, early_stopping=False))
    assert trio.current_time() == 120
    with trio.move_on_after(1e6):
        await search(ScriptedModel(Reply("a", delay=math.inf)), "p", ONE)
    assert trio.current_time() == 1e6 + 120


async def test_prompts_have_scripts_of_their_own() -> None:
    model = ScriptedModel({"p": ["a", "b"], "q": ("c", -1.0), "hello": "d"})
    prompts: list[Any] = ["p", "q", "p", [{"role": "user", "content": "hello"}], "r"]
    async with search_many(model, prompts, ONE, max_searches=1) as outcomes:
        found = [outcome async for outcome in outcomes]
    assert [one.result.text for one in found if one.result] == ["a", "c", "b", "d"]
    assert isinstance(found[-1].error, ConfigError)
    assert "'p', 'q', 'hello'" in str(found[-1].error)


async def test_a_chain_goes_on_from_any_token() -> None:
    config = McmcConfig(tokens_per_step=2, max_tokens=4, steps=3, seed=1)
    assert (await mcmc(ScriptedModel(["a b c d e", "f g h i j"]), "p", config)).text


def test_under_asyncio() -> None:
    async def main() -> str:
        async with ScriptedModel([("no", -9.0), ("yes", -0.1)]) as model:
            return (await trio_beam.asyncio.search(model, "p", CONFIG)).text

    assert asyncio.run(main()) == "yes"


@pytest.mark.parametrize(
    "script", [[], {}, 7, [7], [None], ("a", 1.0), [("a", math.nan)], {"p": []}, [("a", -1.0, 2)]]
)
def test_a_script_of_something_else_is_refused(script: Any) -> None:
    with pytest.raises(ConfigError):
        ScriptedModel(script)


@pytest.mark.parametrize(
    "values", [{"delay": -1}, {"delay": math.nan}, {"text": "a", "tokens": [Token("a", -1)]}]
)
def test_a_reply_out_of_bounds_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Reply(**values)
