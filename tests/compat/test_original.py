"""The interface of the asyncio original."""

from __future__ import annotations

import asyncio
import inspect
import math
import signal
import socket
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import httpx
import openai
import pytest
import trio

from tests.servers.mock_server import MockServer, completion
from tests.servers.socket_server import threaded_server
from trio_beam import Beam, BeamSearchSampling, ConfigError, TrioBeamError
from trio_beam.compat.original import Client

EXPECTED_LINES = """\
[BeamSearch] TRUE beam search (ASYNC): beam_width=2, n_per_beam=2
[BeamSearch] Generating 16 blocks of 192 tokens
[BeamSearch] α=4.0, length_penalty=0.6
[BeamSearch] Each iteration: 2 beams × 2 samples = candidates (PARALLEL)
[BeamSearch] Block 1: Generated 4 candidates (parallel)
[BeamSearch] Block 1/16: 2 active, 0 completed
"""


def sampler(**changes: Any) -> BeamSearchSampling:
    return BeamSearchSampling(**{"tokens_per_step": 4, "seed": 3, "raw": True} | changes)


def client_of(url: str, model: str | None = "mock") -> Client:
    return SimpleNamespace(api_key="key", base_url=url, default_model=model)


def test_the_parameters_are_the_originals() -> None:
    parameters = inspect.signature(BeamSearchSampling).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == {
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
    for name in (
        "_sample_continuation_multiple_async",
        "_expand_beams_parallel",
        "_generate_async",
        "_run_with_client",
    ):
        assert inspect.iscoroutinefunction(getattr(BeamSearchSampling, name))
    assert not inspect.iscoroutinefunction(BeamSearchSampling.generate)


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


def test_an_openai_client_will_do() -> None:
    with threaded_server() as (url, _):
        ours = sampler().generate(client_of(url), "p", 8)
        with openai.OpenAI(api_key="key", base_url=url) as client:
            assert sampler().generate(client, "p", 8) == ours


def test_the_debug_lines_are_the_originals(capsys: pytest.CaptureFixture[str]) -> None:
    with threaded_server() as (url, _):
        BeamSearchSampling(debug=True, seed=1, raw=True).generate(client_of(url), "p", 3072)
    out = capsys.readouterr().out
    assert out.startswith(EXPECTED_LINES)
    assert out.splitlines()[6].startswith("[BeamSearch]   Best score: -")
    assert len(out.splitlines()[6].rpartition(".")[2]) == 4


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


async def test_inside_trio_it_says_what_to_use() -> None:
    with pytest.raises(TrioBeamError, match="beam_search"):
        sampler().generate(client_of("http://127.0.0.1:1/v1"), "p")


async def test_in_a_thread_of_trio_it_works() -> None:
    with threaded_server() as (url, _):
        there = await trio.to_thread.run_sync(sampler().generate, client_of(url), "p", 8)
        assert there[0]


def test_from_asyncio_it_works() -> None:
    async def main(url: str) -> tuple[str, int, int]:
        return sampler().generate(client_of(url), "p", 8)

    with threaded_server() as (url, _):
        assert asyncio.run(main(url)) == sampler().generate(client_of(url), "p", 8)


def test_from_asyncio_errors_come_through() -> None:
    async def main() -> None:
        sampler().generate(client_of("not a url"), "p", 8)

    with pytest.raises(ConfigError, match="base_url"):
        asyncio.run(main())


def test_ctrl_c_from_asyncio_cancels_the_search() -> None:
    """asyncio's own handler would wait for the loop, which waits for the search."""
    program = """
import asyncio, types
from trio_beam import BeamSearchSampling

async def main():
    client = types.SimpleNamespace(api_key="k", base_url=URL, default_model="m")
    print("ready", flush=True)
    BeamSearchSampling().generate(client, "p")

asyncio.run(main())
"""
    listener = socket.create_server(("127.0.0.1", 0))
    with listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        with subprocess.Popen(
            [sys.executable, "-c", f"URL = {url!r}\n{program}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            connection, _ = listener.accept()  # it has asked, and gets no answer
            with connection:
                process.send_signal(signal.SIGINT)
                assert process.wait(30) != 0
                assert process.stderr is not None
                assert "KeyboardInterrupt" in process.stderr.read()


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
        (
            samples,
            prompt_tokens,
            completion_tokens,
        ) = await strategy._sample_continuation_multiple_async(endpoint, "p", " and", 4, 3)
        assert (len(samples), prompt_tokens, completion_tokens) == (3, 7, 12)
        text, tokens, log_p, log_target, finished = samples[0]
        assert text == "".join(tokens)
        assert log_target == [4.0 * value for value in log_p]
        assert not finished
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
