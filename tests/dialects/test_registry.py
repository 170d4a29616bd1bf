"""Each dialect is known by its name, and keeps what all of them promise."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import attrs
import pytest

import trio_beam.dialects
from tests.dialects.replay import capture, drive, encode, replay, sent
from trio_beam.core.beam import Beam
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.dialect import DIALECTS, Dialect
from trio_beam.dialects.common.exchange import ExchangeResult, WireRequest
from trio_beam.dialects.common.limits import Limits
from trio_beam.errors import ConfigError, ServerError

#: An answer of one continuation for each dialect; a new dialect brings its own.
ANSWERS = {
    "llama_cpp": "xllamacpp__native_completion",
    "llama_cpp_python": "llamacpppython0260__completions_logprobs",
    "ollama": "documented_ollama__generate",
    "openai": "vllm__completions_logprobs",
    "sglang": "documented_sglang__generate",
    "vllm": "vllm__completions_return_token_ids",
}
#: Those whose server gives one choice a request.
ONE_CHOICE = {"llama_cpp_python", "ollama"}
#: Where 0.5 would make it more than one request.
TEMPERATURES = {"sglang": 1.0}
#: What a server calls the field that others call so.
NAMES = {"num_predict": "max_tokens", "max_new_tokens": "max_tokens", "sampling_seed": "seed"}
MODEL = "a model"


def _defined() -> list[type[Dialect]]:
    modules = [
        importlib.import_module(f"trio_beam.dialects.{module.name}")
        for module in pkgutil.iter_modules(trio_beam.dialects.__path__)
    ]
    return [
        kind
        for module in modules
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, Dialect)
        and kind.__module__ == module.__name__
        and not inspect.isabstract(kind)
    ]


def _request(n: int, seed: int | None = None) -> SampleRequest:
    return SampleRequest(beam=Beam(), n=n, max_tokens=3, temperature=0.5, top_logprobs=0, seed=seed)


def _prepared(dialect: Dialect) -> Any:
    """A string prompt, with a tokenizer in the server's place for those that ask one."""
    exchange = dialect.prepare(check_prompt("Once upon a time"))
    return drive(exchange, lambda request: encode({"tokens": [6403, 1980, 253, 655]})).value


def _sample(
    name: str, request: SampleRequest, limits: Limits
) -> tuple[dict[str, Any], ExchangeResult]:
    """Take a string prompt and sample: exactly one request, and what came of it."""
    dialect = DIALECTS[name](MODEL, "auto", limits)
    request = attrs.evolve(request, temperature=TEMPERATURES.get(name, request.temperature))
    replayed = replay(dialect.sample(_prepared(dialect), request), capture(ANSWERS[name]).body)
    (wire,) = replayed.requests
    body = sent(wire)
    # Some servers want what is about sampling in an object of its own.
    body |= body.pop("sampling_params", {}) | body.pop("options", {})
    return {NAMES.get(field, field): value for field, value in body.items()}, replayed.value


def test_each_dialect_that_is_defined_is_registered() -> None:
    defined = {kind.name: kind for kind in _defined()}
    assert len(defined) == len(_defined()), "two have the same name"
    assert {name: DIALECTS[name] for name in DIALECTS.names()} == defined


def test_one_file_for_each_dialect() -> None:
    assert [kind.__module__.rpartition(".")[2] for kind in _defined()] == DIALECTS.names()


def test_a_name_that_is_not_known_is_told_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"dialect must be .*'llama_cpp'.*'openai'"):
        DIALECTS["nope"]


def test_each_dialect_has_a_recorded_answer() -> None:
    assert sorted(ANSWERS) == DIALECTS.names()


@pytest.mark.parametrize("name", DIALECTS.names())
def test_a_string_prompt_costs_one_request(name: str) -> None:
    body, answer = _sample(name, _request(1), Limits())
    assert body["model"] == MODEL
    assert body["temperature"] == TEMPERATURES.get(name, 0.5)
    assert body["top_p"] == 1
    assert [body[field] for field in ("max_tokens", "n_predict") if field in body] == [3]
    assert len(answer.continuations) == 1
    assert answer.prompt_tokens == (5 if name == "llama_cpp_python" else 4)  # it adds one
    assert answer.continuations[0].tokens


@pytest.mark.parametrize("name", DIALECTS.names())
@pytest.mark.parametrize(("known", "asked"), [(None, 5), (9, 5), (2, 2), (1, None)])
def test_limits_on_choices_are_kept(name: str, known: int | None, asked: int | None) -> None:
    body, _ = _sample(name, _request(5), Limits(n=known))
    asked = None if name in ONE_CHOICE else asked
    assert [body[field] for field in ("n", "n_cmpl") if field in body] == ([asked] if asked else [])


@pytest.mark.parametrize("name", DIALECTS.names())
@pytest.mark.parametrize("seed", [None, 0, 7])
def test_a_seed_is_sent_where_there_is_one(name: str, seed: int | None) -> None:
    body, _ = _sample(name, _request(1, seed), Limits())
    assert body.get("seed") == seed
    assert ("seed" in body) == (seed is not None)


@pytest.mark.parametrize("name", DIALECTS.names())
def test_the_same_request_is_the_same_bytes(name: str) -> None:
    """A retry, and a cache in front of the server, rely on it."""
    dialect = DIALECTS[name](MODEL, "auto", Limits())
    prepared = _prepared(dialect)
    first, second = (next(dialect.sample(prepared, _request(2, 7))).body for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", DIALECTS.names())
def test_an_error_that_teaches_nothing_is_passed_on(name: str) -> None:
    error = ServerError("HTTP 500", status=500)
    dialect = DIALECTS[name](MODEL, "auto", Limits())
    prepared = _prepared(dialect)

    def fail(request: WireRequest[Any]) -> ServerError:
        return error

    with pytest.raises(ServerError) as raised:
        drive(dialect.sample(prepared, _request(2)), fail)
    assert raised.value is error
