"""The calls of the original's documents and of its own tests, with one import changed, on a hosted chat API.

Which calls, with which arguments and which output, is the original's; the server has no `/completions`.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.servers.hosted_chat import HostedChat
from trio_beam import BeamSearchSampling

FACTORIAL = '''Write a Python function to calculate the factorial of a number.

def factorial(n):
    """Calculate factorial of n."""
'''


@pytest.fixture(params=[openai.OpenAI, openai.AsyncOpenAI])
def client(request: pytest.FixtureRequest, api: HostedChat) -> Iterator[Any]:
    with api.serve() as url:
        made = request.param(api_key="sk-mine", base_url=url)
        made.default_model = "grok-2-1212"
        yield made


@pytest.fixture
def api() -> HostedChat:
    return HostedChat()


def test_its_test_of_the_syntax() -> None:
    strategy = BeamSearchSampling(
        alpha=4.0,
        beam_width=2,
        n_per_beam=2,
        tokens_per_step=192,
        length_penalty=0.6,
        proposal_temperature=1.0,
        top_logprobs=5,
        debug=False,
    )
    assert inspect.iscoroutinefunction(strategy._sample_continuation_multiple_async)
    assert inspect.iscoroutinefunction(strategy._expand_beams_parallel)
    assert inspect.iscoroutinefunction(strategy._generate_async)
    assert not inspect.iscoroutinefunction(strategy.generate)


def test_its_test_of_a_search(
    api: HostedChat, client: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    strategy = BeamSearchSampling(
        alpha=4.0,
        beam_width=2,
        n_per_beam=2,
        tokens_per_step=192,
        length_penalty=0.6,
        proposal_temperature=1.0,
        top_logprobs=5,
        debug=True,
    )
    completion, prompt_tokens, completion_tokens = strategy.generate(
        client, FACTORIAL, max_tokens=512
    )
    assert len(completion.split()) == 512
    assert prompt_tokens > 0
    assert completion_tokens == 4 * 512
    assert strategy.get_num_expansions() == 3
    assert strategy.get_best_score() < 0
    assert all(body["messages"][0]["content"] == FACTORIAL for body in api.questions)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == f"[BeamSearch] Final: 512 tokens, score={strategy.get_best_score():.4f}"
    assert lines[-1] == f"[BeamSearch] Text: {completion[:200]}..."


def test_its_smaller_test(client: Any, api: HostedChat) -> None:
    api.length = 12
    strategy = BeamSearchSampling(
        alpha=4.0,
        beam_width=3,
        tokens_per_step=50,
        length_penalty=0.6,
        proposal_temperature=1.0,
        debug=True,
    )
    prompt = "What is 2 + 2? Please explain step by step."
    completion, _, completion_tokens = strategy.generate(client, prompt, max_tokens=200)
    assert len(completion.split()) == 12
    assert completion_tokens == 3 * 2 * 12
    assert strategy.get_num_expansions() == 1


def test_its_runner(client: Any, api: HostedChat) -> None:
    """Several strategies by their names, each asked by position, one problem after the other."""
    api.length = 5
    strategies = [
        BeamSearchSampling(beam_width=width, tokens_per_step=3, max_concurrent=100, timeout=300.0)
        for width in (1, 2)
    ]
    found = {
        strategy.name: [
            strategy.generate(client, f"Q: {problem}, step by step", 512) for problem in range(2)
        ]
        for strategy in strategies
    }
    assert list(found) == [
        "BeamSearch(α=4.0,width=1,n=2,tps=3)",
        "BeamSearch(α=4.0,width=2,n=2,tps=3)",
    ]
    for results in found.values():
        assert all(len(text.split()) == 5 and p > 0 and c > 0 for text, p, c in results)


EXPECTED_OUTPUT = [
    "[BeamSearch] TRUE beam search (ASYNC): beam_width=2, n_per_beam=2",
    "[BeamSearch] Generating 16 blocks of 192 tokens",
    "[BeamSearch] α=4.0, length_penalty=0.6",
    "[BeamSearch] Each iteration: 2 beams × 2 samples = candidates (PARALLEL)",
]


def test_its_expected_output(client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    text, _, _ = BeamSearchSampling(debug=True).generate(client, "p", 3072)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == EXPECTED_OUTPUT
    for block in range(16):
        generated, counts, score = lines[4 + 3 * block : 7 + 3 * block]
        assert generated == f"[BeamSearch] Block {block + 1}: Generated 4 candidates (parallel)"
        assert counts == f"[BeamSearch] Block {block + 1}/16: 2 active, 0 completed"
        assert re.fullmatch(r"\[BeamSearch\]   Best score: -\d+\.\d{4}", score)
    assert lines[4 + 3 * 16 :] == [
        f"[BeamSearch] Final: 3072 tokens, score={lines[-3].rpartition(' ')[2]}",
        f"[BeamSearch] Text: {text[:200]}...",
    ]


async def test_its_method_by_method_guide() -> None:
    """Each method called by hand, on an open client, with the arguments that the guide shows."""
    api = HostedChat()
    strategy = BeamSearchSampling(tokens_per_step=4)
    with api.serve() as url:
        client = openai.AsyncOpenAI(api_key="sk-mine", base_url=url)
        client.default_model = "grok-2-1212"  # type: ignore[attr-defined]
        active_beams: list[Any] = [("", [], [], [], False)]
        candidates, prompt_tokens, completion_tokens = await strategy._expand_beams_parallel(
            client, active_beams, "Which?", 0
        )
        assert (len(candidates), prompt_tokens, completion_tokens) == (2, 1, 8)
        text, tokens, log_p, log_target, finished = candidates[0]
        assert text == "".join(tokens)
        assert log_target == [4.0 * value for value in log_p]
        assert not finished
        results, _, _ = await strategy._sample_continuation_multiple_async(
            client, "Which?", text, 4, n=2
        )
        assert [len(tokens) for _, tokens, *_ in results] == [4, 4]
        assert api.bodies[-1]["messages"] == [
            {"role": "user", "content": "Which?"},
            {"role": "assistant", "content": text},
        ]
        assert (await strategy._run_with_client("k", url, client.default_model, "p", 8))[0]  # type: ignore[attr-defined]
