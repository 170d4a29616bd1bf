"""The interface of the asyncio original."""

from __future__ import annotations

import inspect
import json
import math
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from trio.testing import MockClock

from tests.servers.hosted_chat import HostedChat
from tests.servers.mock_server import MockServer, completion
from tests.servers.socket_server import threaded_server
from trio_beam import (
    Beam,
    BeamSearchConfig,
    BeamSearchSampling,
    ConfigError,
    Endpoint,
    SearchFailed,
    beam_search,
)
from trio_beam.compat.clients import Client


def sampler(**changes: Any) -> BeamSearchSampling:
    return BeamSearchSampling(**{"tokens_per_step": 4, "seed": 3, "raw": True} | changes)


def client_of(url: str, model: str | None = "mock") -> Client:
    return SimpleNamespace(api_key="key", base_url=url, default_model=model)


ORIGINAL = {
    "alpha": 4.0,
    "beam_width": 2,
    "n_per_beam": 2,
    "tokens_per_step": 192,
    "use_length_penalty": True,
    "length_penalty": 0.6,
    "proposal_temperature": 1.0,
    "top_logprobs": 5,
    "debug": False,
    "supports_n_param": True,
    "max_concurrent": 100,
    "timeout": 300.0,
    "seed": None,
}
OURS = {"raw": False, "dialect": "auto", "http_client": None}


def test_the_parameters_are_the_originals_and_three_of_ours_behind_them() -> None:
    parameters = inspect.signature(BeamSearchSampling).parameters.values()
    assert [(p.name, p.default) for p in parameters] == [*ORIGINAL.items(), *OURS.items()]
    assert {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} == OURS.keys()
    positional = BeamSearchSampling(*ORIGINAL.values())  # type: ignore[arg-type]
    assert {name: getattr(positional, name) for name in ORIGINAL} == ORIGINAL
    assert positional.name == "BeamSearch(α=4.0,width=2,n=2,tps=192)"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("generate", ["client", "prompt", "max_tokens"]),
        ("_generate_async", ["client", "prompt", "max_tokens"]),
        ("_run_with_client", ["api_key", "base_url", "model", "prompt", "max_tokens"]),
        ("_expand_beams_parallel", ["client", "active_beams", "prompt", "block_num"]),
        (
            "_sample_continuation_multiple_async",
            ["client", "prompt", "prefix", "max_tokens", "n"],
        ),
        ("_sample_continuation_multiple", ["client", "prompt", "prefix", "max_tokens", "n"]),
    ],
)
def test_the_methods_are_the_originals(name: str, parameters: list[str]) -> None:
    method = getattr(BeamSearchSampling, name)
    found = [
        p.name
        for p in inspect.signature(method).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    assert found == ["self", *parameters]
    blocks = name in ("generate", "_sample_continuation_multiple")
    assert inspect.iscoroutinefunction(method) is not blocks


def test_a_bad_parameter_is_known_at_once() -> None:
    with pytest.raises(ConfigError, match="beam_width"):
        BeamSearchSampling(beam_width=0)


def test_generate_returns_text_and_counts() -> None:
    strategy = sampler()
    assert strategy.get_num_expansions() == 0
    with threaded_server() as (url, bodies):
        text, prompt_tokens, completion_tokens = strategy.generate(client_of(url), "p", 10)
        assert strategy.generate(client_of(url), "p", max_tokens=10)[0] == text
    assert len(text.split()) == 10
    assert prompt_tokens == 5 * 7
    assert completion_tokens == 4 * 4 + 4 * 4 + 4 * 2
    assert strategy.get_num_expansions() == 3
    assert math.isfinite(strategy.get_best_score())
    assert {body["logprobs"] for body in bodies} == {5}


def test_a_string_is_a_users_message_to_the_chat_call() -> None:
    api = HostedChat()
    with api.serve() as url:
        text, _, _ = BeamSearchSampling(tokens_per_step=4).generate(client_of(url), "Which?", 8)
    assert len(text.split()) == 8
    assert set(api.paths) == {"/v1/models", "/v1/chat/completions"}
    question = {"role": "user", "content": "Which?"}
    first, *others = api.questions
    assert first["messages"] == [question]
    assert [body["messages"][0] for body in others] == [question] * 2
    assert [body["messages"][1]["role"] for body in others] == ["assistant"] * 2


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("at_generate", [True, False])
def test_raw_continues_the_plain_text(raw: bool, at_generate: bool) -> None:
    strategy = sampler(raw=raw is not at_generate)  # at_generate: the call says otherwise
    api = HostedChat()
    with threaded_server() as (url, bodies), api.serve() as hosted:
        told: dict[str, Any] = {"raw": raw} if at_generate else {}
        strategy.generate(client_of(url if raw else hosted), "p", 8, **told)
    assert bool(bodies) is raw
    assert bool(api.questions) is not raw
    assert all(body["prompt"].startswith("p") for body in bodies)


def test_chat_messages_stay_what_they_are() -> None:
    api = HostedChat()
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which?"}]
    with api.serve() as url:
        sampler().generate(client_of(url), messages, 8)
    assert all(body["messages"][:2] == messages for body in api.questions)


def test_text_on_a_server_without_completions_is_a_typed_error() -> None:
    with HostedChat().serve() as url, pytest.raises(SearchFailed, match="404"):
        sampler(raw=True).generate(client_of(url), "p", 8)


@pytest.mark.parametrize("at_generate", [True, False])
def test_a_dialect_and_a_client_of_the_callers_are_taken(at_generate: bool) -> None:
    api = HostedChat()
    ours: dict[str, Any] = {"dialect": "openai", "http_client": api.client()}
    at_once = {} if at_generate else ours
    strategy = BeamSearchSampling(tokens_per_step=4, **at_once)
    nowhere = client_of("http://nowhere.invalid/v1")
    text, _, _ = strategy.generate(nowhere, "p", 8, **(ours if at_generate else {}))
    assert len(text.split()) == 8
    assert set(api.paths) == {"/v1/chat/completions"}  # a dialect that is named asks nothing
    assert not ours["http_client"].is_closed


@pytest.mark.parametrize("ours", [{"dialect": "klingon"}, {"http_client": object()}])
def test_bad_parameters_of_ours_are_known_at_once(ours: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(ours))):
        BeamSearchSampling(**ours)


async def test_without_overrides_it_is_beam_search(autojump_clock: MockClock) -> None:
    strategy = BeamSearchSampling(tokens_per_step=4, beam_width=3, seed=3, dialect="openai")
    config = BeamSearchConfig(
        tokens_per_step=4, beam_width=3, seed=3, max_tokens=14, top_logprobs=5
    )
    api = HostedChat(length=11)
    async with api.client() as http:
        endpoint = Endpoint("http://api/v1", model="m", http_client=http, dialect="openai")
        text, prompt_tokens, completion_tokens = await strategy._generate_async(endpoint, "p", 14)
        sent = api.bodies.copy()
        api.bodies.clear()
        async with endpoint:
            result = await beam_search(endpoint, [{"role": "user", "content": "p"}], config)
    assert text == result.text
    assert (prompt_tokens, completion_tokens) == (
        result.usage.prompt_tokens,
        result.usage.completion_tokens,
    )
    assert strategy.get_num_expansions() == result.rounds
    assert strategy.get_best_score() == pytest.approx(result.score)
    key = json.dumps
    assert sorted(sent, key=key) == sorted(api.bodies, key=key)


def test_the_blocking_sampler_is_there_too() -> None:
    with threaded_server() as (url, _):
        samples, prompt_tokens, completion_tokens = sampler()._sample_continuation_multiple(
            client_of(url), "p", " and", 4, 3
        )
    assert (len(samples), prompt_tokens, completion_tokens) == (3, 7, 12)
    text, tokens, log_p, log_target, finished = samples[0]
    assert text == "".join(tokens)
    assert log_target == [4.0 * value for value in log_p]
    assert not finished


def test_it_is_silent_without_debug(capsys: pytest.CaptureFixture[str]) -> None:
    with threaded_server() as (url, _):
        sampler().generate(client_of(url), "p", 8)
    assert capsys.readouterr() == ("", "")


def test_without_n_every_continuation_is_a_request() -> None:
    with threaded_server() as (url, bodies):
        without = sampler(supports_n_param=False).generate(client_of(url), "p", 8)
        assert all("n" not in body for body in bodies)
        assert len(bodies) == 8
        assert sampler().generate(client_of(url), "p", 8)[0] == without[0]


def test_seeds_of_the_coroutines_differ() -> None:
    strategy = sampler()
    seeds = [strategy._seed(block, rank) for block in range(3) for rank in range(2)]
    assert len(set(seeds)) == 6
    assert sampler(seed=None)._seed(0, 0) is None


@pytest.mark.parametrize(("field", "value"), [("timeout", 0), ("max_concurrent", 0)])
def test_bad_parameters_are_named_as_they_were_given(field: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"^{field} must be"):
        BeamSearchSampling(**{field: value})  # type: ignore[arg-type]


async def test_the_coroutines_take_an_open_endpoint() -> None:
    strategy = sampler()
    async with MockServer(latency=0).endpoint() as endpoint:
        beams, _, _ = await strategy._expand_beams_parallel(endpoint, [Beam()], "p", 0)
        assert len(beams) == 2
        more, prompt_tokens, _ = await strategy._expand_beams_parallel(endpoint, beams, "p", 1)
        assert len(more) == 4
        assert prompt_tokens == 14
        assert more[0].score == pytest.approx(4.0 * more[0].logprob / 8**0.6)
        assert (await strategy._generate_async(endpoint, "p", 8))[0]


async def test_run_with_client_opens_and_closes() -> None:
    with threaded_server() as (url, _):
        found = await sampler()._run_with_client("key", url, None, "p", 8)
    assert found[0]


def test_the_mock_answers_like_a_server() -> None:
    """The two servers of these tests give the same answers, so their results can be compared."""
    body = {"prompt": "p", "max_tokens": 2, "n": 2, "seed": 1}
    with threaded_server() as (url, _):
        assert httpx.post(f"{url}/completions", json=body).json() == completion(body)
