"""The same quirks as a proxy in front of the real server: a search finds what it finds without them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio

from tests.servers.quirks import QUIRKS, quirky_proxy
from trio_beam import BeamSearchConfig, Endpoint, RetryPolicy, SearchResult, beam_search

CONFIG = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=3, max_tokens=6, seed=7, early_stopping=False
)
PROMPT = "Once upon a time, said the king>"
MESSAGES = [{"role": "user", "content": "Count."}]
COMPLETIONS: list[list[str]] = [
    ["top_p refused by pydantic", "n refused vague", "in chunks of 7"],
    ["max_tokens refused by words", "a choice with the reason abort, once", "the prompt in front"],
    ["seed refused by param", "n at most 2: Input should be less than or equal to {most}"],
    ["a 200 with an error with a code, once", "n is cut down", "packed by gzip"],
    ["wait by try again in ms", "length is 'maxTokens'", "in utf-16"],
    ["as llama_cpp, 404", "called text/html", "usage is a word"],
    ["a query", "with a BOM", "log-probabilities: logprobs must be in range [0, {most}]"],
]
CHATS: list[list[str]] = [
    ["top_logprobs refused by words", "content is a list of two parts", "models: a bare list"],
    ["messages are continued by prefix", "a 200 with null choices, once"],
]
STREAMS: list[list[str]] = [
    [
        "stream_options refused by words",
        "a stream with an error after 1",
        "n at most 2: 'n' must be at most {most}",
    ],
]


async def _search(base_url: str, names: list[str], prompt: Any, **options: Any) -> SearchResult:
    quirks = [QUIRKS[name] for name in names]
    for quirk in quirks:
        options = {**quirk.options, **options}
    async with quirky_proxy(base_url, quirks) as (front, url):
        query = options.pop("url", "").partition("?")[2]
        defaults: dict[str, Any] = {
            "dialect": "openai",
            "model": "m",
            "retry": RetryPolicy(wait_initial=0.01),
        }
        options = defaults | options
        async with Endpoint(f"{url}{'?' * bool(query)}{query}", **options) as endpoint:
            result = await beam_search(endpoint, prompt, CONFIG)
        assert len(front.asks) < 100
    return result


@pytest.fixture(scope="module")
def found() -> dict[str, SearchResult]:
    """What was found without a quirk, by the call."""
    return {}


@pytest.mark.parametrize("names", COMPLETIONS + CHATS + STREAMS, ids=" + ".join)
async def test_the_same_search(
    names: list[str], base_url: str, found: dict[str, SearchResult]
) -> None:
    api, prompt = ("chat", MESSAGES) if names in CHATS else ("completions", PROMPT)
    with trio.fail_after(120):
        if api not in found:
            found[api] = await _search(base_url, [], prompt)
        result = await _search(base_url, names, prompt, stream=names in STREAMS)
    right = found[api]
    assert [beam.text for beam in result.beams] == [beam.text for beam in right.beams]
    for beam, other in zip(result.beams, right.beams, strict=True):
        assert math.isclose(beam.score, other.score, abs_tol=0.01)
