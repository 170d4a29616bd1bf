"""Fields of the server's own: which are refused and why, and which need a single block."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from trio_beam import BeamSearchConfig, McmcConfig
from trio_beam.core.extra_body import CONSTRAINTS, RESERVED, TOOLS, as_fields, shapes
from trio_beam.core.strategy import Strategy
from trio_beam.errors import ConfigError
from trio_beam.strategies import STRATEGIES, best_of_n, greedy, make_strategy, self_consistency

FIELDS = {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": False}}
GRAMMAR = {"grammar": 'root ::= "yes" | "no"'}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("temperature", "proposal_temperature is the temperature"),
        ("n", "beam_width and n_per_beam"),
        ("max_tokens", "max_tokens and tokens_per_step"),
        ("top_p", "would change the distribution"),
        ("stream", r"Endpoint\(stream=True\)"),
        ("stop", "cut on our side"),
        ("messages", "the prompt and the beams travel in it"),
    ],
)
def test_what_a_search_sets_itself_is_refused_with_the_reason(name: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"extra_body cannot have '{name}': .*{reason}") as caught:
        BeamSearchConfig(extra_body={**FIELDS, name: 1})
    assert caught.value.field == "extra_body"


def test_no_field_is_both_refused_and_understood() -> None:
    assert not RESERVED.keys() & (CONSTRAINTS | TOOLS)


@pytest.mark.parametrize(
    "fields",
    [["a"], "a", {1: 2}, {"a": object()}, {"a": float("nan")}, {"a": "\udc80"}, {"a": {1}}],
)
def test_what_is_no_json_is_refused(fields: Any) -> None:
    with pytest.raises(ConfigError, match="extra_body must be"):
        BeamSearchConfig(extra_body=fields)


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_every_strategy_has_them(name: str) -> None:
    made = make_strategy(name, {"extra_body": FIELDS})
    assert made.extra_body == FIELDS
    assert make_strategy(name, {}).extra_body == {}
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == made
    assert isinstance(hash(made), int)


def test_they_are_a_copy() -> None:
    given = {"a": {"b": 1}}
    config = BeamSearchConfig(extra_body=given)
    given["a"]["b"] = 2
    assert config.extra_body == {"a": {"b": 1}}


@pytest.mark.parametrize("field", [*sorted(CONSTRAINTS), "tools"])
def test_a_grammar_and_tools_need_one_block(field: str) -> None:
    fields = {field: [TOOL] if field == "tools" else "x"}
    with pytest.raises(ConfigError, match=f"cannot have '{field}' here: .* anew with each block"):
        BeamSearchConfig(extra_body=fields)
    for one_block in (greedy, best_of_n, self_consistency):
        assert one_block(extra_body=fields).extra_body == fields
    assert BeamSearchConfig(extra_body=fields, tokens_per_step=600, max_tokens=512)
    assert shapes(fields)


@pytest.mark.parametrize(
    ("kind", "values", "instead"),
    [
        (BeamSearchConfig, {}, r"tokens_per_step must be at least max_tokens \(512\)"),
        (BeamSearchConfig, {"block": "steps", "tokens_per_step": 512}, "block must be None"),
        (
            BeamSearchConfig,
            {"proposal": "enumerate", "tokens_per_step": 1, "max_tokens": 1},
            "proposal must be 'sample'",
        ),
        (McmcConfig, {"tokens_per_step": 512}, "steps must be 0"),
        (McmcConfig, {"steps": 0}, "tokens_per_step must be at least"),
    ],
)
def test_several_blocks_are_refused_with_what_to_set(
    kind: type[Strategy], values: dict[str, Any], instead: str
) -> None:
    with pytest.raises(ConfigError, match=instead):
        kind(extra_body=GRAMMAR, **values)
    assert kind(extra_body=FIELDS, **values)


def test_a_field_that_asks_for_nothing_is_no_constraint() -> None:
    cases: list[dict[str, Any]] = [{"tools": []}, {"grammar": None}]
    for nothing in (*cases, {"response_format": {"type": "text"}}):
        assert BeamSearchConfig(extra_body=nothing).extra_body == nothing


@pytest.mark.parametrize(
    ("name", "changes"), [("presence_penalty", True), ("chat_template_kwargs", False)]
)
def test_fields_that_shape_the_samples_are_known(name: str, changes: bool) -> None:
    assert shapes(as_fields({name: 1})) is changes
