"""Every field of a configuration is checked, and the error says which and what is wanted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from trio_beam import (
    Beam,
    Confidence,
    Judge,
    Lookahead,
    Power,
    Rating,
    Resample,
    RewardModel,
    Select,
    Steps,
    Vote,
)
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.parameters import build, options_of
from trio_beam.errors import ConfigError, TrioBeamError

NAN, INF = math.nan, math.inf

#: Each field's bound, in words of the message, and values that it must refuse.
BAD: dict[str, tuple[str, list[object]]] = {
    "alpha": ("a finite number above 0", [0, -1, NAN, INF, -INF, True, "4", None, 1j]),
    "beta": ("a finite number from 0 up", [-0.1, NAN, INF, True, "1", None]),
    "reward_at": ("one of 'block', 'end'", ["step", "", "End", None, True, 1]),
    "beam_width": ("a whole number from 1 up", [0, -1, 2.0, NAN, INF, True, "2", None]),
    "n_per_beam": ("a whole number from 1 up", [0, -1, 2.0, NAN, INF, True, "2", None]),
    "tokens_per_step": ("a whole number from 1 up", [0, -1, 64.0, NAN, INF, True, "64", None]),
    "max_tokens": ("a whole number from 1 up", [0, -1, 512.0, NAN, INF, True, "512", None]),
    "use_length_penalty": ("one of True, False", [0, 1, NAN, "yes", "True", None, ()]),
    "length_penalty": (
        "a finite number from 0 to 10",
        [-0.1, 10.1, 200, NAN, INF, True, "1", None],
    ),
    "proposal_temperature": ("a finite number from 0 up", [-0.1, -1, NAN, INF, True, "1", None]),
    "top_logprobs": ("a whole number from 0 up", [-1, 5.0, NAN, INF, True, "5", None]),
    "stop": ("strings that are not empty", ["", [""], ["a", ""], None, 7, [b"a"], {"a"}, [None]]),
    "reasoning": ("one of 'auto', 'opened', 'off'", ["on", "", "Auto", None, True, 1]),
    "extra_body": ("a mapping of field names to JSON values", ["a", ["a"], 1, True, {1: 2}]),
    "reasoning_budget": (
        "a whole number from 1 up or None",
        [0, -1, 1.0, NAN, INF, True, "1", ()],
    ),
    "seed": ("a whole number from 0 up or None", [-1, 1.0, NAN, INF, True, "1", ()]),
    "deduplicate": ("one of True, False", [0, 1, NAN, "no", None]),
    "early_stopping": ("one of True, 'bound', False", [0, 1, 1.0, NAN, "true", "Bound", "", None]),
    "beam_timeout": (
        "a finite number above 0 or None",
        [0, 0.0, -1, NAN, INF, True, "30", ()],
    ),
    "on_beam_failure": (
        "one of 'cancel_siblings', 'drop_beam'",
        ["drop", "", "DROP_BEAM", None, True, 0],
    ),
    "min_beams": ("a whole number from 1 up", [0, -1, 1.0, NAN, INF, True, "1", None]),
    "selection": (
        "one of 'resample', 'subtrees', 'top_k'",
        ["best", "", "TOP_K", None, 1, True, ["top_k"]],
    ),
    "scorer": (
        (
            "one of 'equal', 'judge', 'mean_logprob', 'power', 'rating', 'reward_model' or a function, a"
            " Judge or a RewardModel"
        ),
        ["sum", "", "Power", None, 1, True, ["power"]],
    ),
    "answer": (
        "one of 'best', 'select', 'vote' or a Vote or a Select",
        ["most", "", "Best", None, 1, True],
    ),
    "block": (
        "one of 'steps' or a Steps or None",
        ["lines", "", "Steps", 1, True, ["steps"], "\n"],
    ),
    "confidence": ("a Confidence or None", ["low", "", 0.9, True, {"window": 8}]),
    "proposal": ("one of 'sample', 'enumerate'", ["guess", "", "Sample", None, 1, True]),
    "max_total_tokens": (
        "a whole number from 1 up or None",
        [0, -1, 100.0, NAN, INF, True, "100", ()],
    ),
    "max_cost": ("a finite number above 0 or None", [0, -1, NAN, INF, True, "1", ()]),
    "max_completion_tokens": (
        "a whole number from 1 up or None",
        [0, -1, 100.0, NAN, INF, True, "100", ()],
    ),
    "max_requests": (
        "a whole number from 1 up or None",
        [0, -1, 100.0, NAN, INF, True, "100", ()],
    ),
}
#: The same for the parameters of parts, by the names of their options.
BAD_IN_PARTS: dict[str, tuple[str, list[object]]] = {
    "alpha_ramp_tokens": (
        "a whole number from 0 up or None",
        [-1, 1.0, NAN, INF, True, "8", ()],
    ),
    "moves": ("a whole number from 0 up", [-1, 1.0, NAN, INF, True, "1", None]),
    "ess_threshold": ("a finite number from 0 to 1", [-0.1, 1.1, NAN, INF, True, "1", None]),
    "lookahead_tokens": ("a whole number from 1 up", [0, -1, 1.0, NAN, True, "8", None]),
    "lookahead_rollouts": ("a whole number from 1 up", [0, -1, 1.0, NAN, True, "8", None]),
    "steps_delimiter": ("strings that are not empty", ["", ("a", ""), None, 1, (), [b"a"]]),
    "steps_min_tokens": ("a whole number from 1 up", [0, -1, 1.0, NAN, True, "8", None]),
    "vote_key": ("a function of a text, or a regular expression or None", [1, True, ()]),
    "vote_by": ("one of 'count', 'score', 'reward', 'confidence'", ["weight", "", None, 1, True]),
    "vote_settle": (
        "'certain' or a finite number from 0.5 to 0.9999 or None",
        ["", "sure", 0.4, 1, NAN, True],
    ),
    "vote_ahead": ("a whole number from 1 up", [0, -1, 1.0, NAN, True, "8", None]),
    "confidence_warm_up": ("a whole number from 1 up", [0, -1, 1.0, NAN, True, "8", None]),
    "confidence_keep": ("a finite number above 0 to 1", [0, 1.1, -0.1, NAN, INF, True, None]),
    "confidence_window": ("a whole number from 1 up", [0, -1, 1.0, NAN, True, "8", None]),
    "confidence_top": ("a whole number from 0 up", [-1, 1.0, NAN, True, "8", None]),
    "judge_question": ("a text with {text}", ["", "is it right?", None, 1]),
    "judge_yes": ("a word, or some", ["", (), None, 1, ("",), (" ",)]),
    "judge_no": ("a word, or some", ["", (), None, 1, ("",), (" ",)]),
    "judge_chat": ("one of True, False", [0, 1, "yes", None]),
    "judge_top_logprobs": ("a whole number from 2 up", [1, 2.0, True, None]),
    "judge_max_tokens": ("a whole number from 1 up", [0, 1.0, True, None]),
    "rating_question": ("a text with {text}", ["", "how good is it?", None, 1]),
    "rating_minimum": ("a finite number", [NAN, INF, "0", None, True]),
    "rating_maximum": ("a finite number", [NAN, INF, "9", None, True]),
    "rating_samples": ("a whole number from 1 up", [0, 1.0, True, None]),
    "rating_temperature": ("a finite number from 0 up", [-1, NAN, "1", None, True]),
    "rating_max_tokens": ("a whole number from 1 up", [0, 1.0, True, None]),
    "rating_chat": ("one of True, False", [0, 1, "yes", None]),
    "select_orders": ("a whole number from 1 up", [0, 1.0, True, None]),
    "select_question_text": ("a text with {answers}", ["", "which?", None, 1]),
    "select_max_tokens": ("a whole number from 1 up", [0, 1.0, True, None]),
    "select_chat": ("one of True, False", [0, 1, "yes", None]),
    "reward_model": ("a text that is not empty or None", ["", 1, True]),
    "reward_model_model": ("a text that is not empty or None", ["", 1, True]),
    "reward_model_kind": ("one of 'process', 'outcome'", ["", "step", None, 1]),
    "reward_model_api": ("one of 'auto', 'pooling', 'classify'", ["", "embed", None, 1]),
    "reward_model_aggregate": ("one of 'last', 'min', 'prod', 'mean'", ["", "max", None, 1]),
    "reward_model_separator": ("a text that is not empty", ["", None, 1]),
    "reward_model_template": ("a text with {text}", ["", "{prompt}", 1]),
    "reward_model_label": ("a text that is not empty or None", ["", True, 1.5]),
}

#: Values that go together badly: the field that is named, and its bound.
BAD_TOGETHER: list[tuple[dict[str, Any], str, str]] = [
    ({"min_beams": 3}, "min_beams", "at most beam_width (2)"),
    ({"beam_width": 4, "min_beams": 5}, "min_beams", "at most beam_width (4)"),
    ({"max_tokens": 9, "reasoning_budget": 9}, "reasoning_budget", "below max_tokens (9)"),
    ({"reasoning": "off", "reasoning_budget": 9}, "reasoning_budget", "with reasoning='off'"),
    ({"proposal_temperature": 0}, "proposal_temperature", "above 0"),
    ({"proposal_temperature": 0.0, "beam_width": 1}, "proposal_temperature", "above 0"),
    ({"proposal_temperature": 0, "n_per_beam": 1}, "proposal_temperature", "above 0"),
    ({"block": Steps(min_tokens=5), "tokens_per_step": 4}, "block", "at most tokens_per_step (4)"),
    ({"max_total_tokens": 3}, "max_total_tokens", "at least beam_width * n_per_beam (4)"),
]

#: Values at the very bounds, and one in between; with what else has to be so.
GOOD: list[dict[str, Any]] = [
    *({"alpha": value} for value in (1e-9, 1, 4.0)),
    *(
        {name: value}
        for name in ("n_per_beam", "tokens_per_step", "max_tokens")
        for value in (1, 7)
    ),
    *({"beam_width": value} for value in (1, 7)),
    *({"use_length_penalty": value} for value in (True, False)),
    *({"length_penalty": value} for value in (0, 0.6, 10)),
    *({"proposal_temperature": value} for value in (1e-3, 1, 2.5)),
    {"proposal_temperature": 0, "beam_width": 1, "n_per_beam": 1},
    *({"top_logprobs": value} for value in (0, 20)),
    *({"stop": value} for value in ((), ("a",), ("a", "bc"))),
    *({"reasoning": value} for value in ("auto", "opened", "off")),
    *({"reasoning_budget": value} for value in (None, 1, 511)),
    *({"seed": value} for value in (None, 0, 2**64)),
    *({"deduplicate": value} for value in (True, False)),
    *({"early_stopping": value} for value in (True, "bound", False)),
    *({"beam_timeout": value} for value in (None, 1e-3, 30)),
    *({"on_beam_failure": value} for value in ("cancel_siblings", "drop_beam")),
    *({"min_beams": value} for value in (1, 2)),
    *({"beta": value} for value in (0, 1, 0.5, 20)),
    *({"reward_at": value} for value in ("block", "end")),
    {"confidence": Confidence(), "n_per_beam": 1, "tokens_per_step": 512},
    {"selection": "top_k"},
    {"selection": "resample"},
    {"selection": Resample(ess_threshold=0, lookahead=Lookahead(8))},
    {"scorer": "power"},
    {"scorer": "mean_logprob"},
    {"scorer": len},
    {"scorer": "judge"},
    {"scorer": Judge(yes="ja", no=["nein"])},
    {"scorer": Rating(minimum=-1, maximum=1, samples=3)},
    {"scorer": RewardModel("http://127.0.0.1:1/v1", "rm", "outcome", label=1)},
    {"answer": "select"},
    {"answer": Select(orders=1)},
    {"selection": "subtrees"},
    {"extra_body": {"reasoning_effort": "low"}},
    {"extra_body": {"grammar": 'root ::= "a"'}, "tokens_per_step": 512},
    *({"block": value} for value in (None, "steps", Steps("。"), Steps(["\n", "."], 192))),
    *({"answer": value} for value in ("best", "vote", Vote(str.split, "score"))),
    {"proposal": "sample"},
    {"proposal": "enumerate", "tokens_per_step": 1},
    *({"max_total_tokens": value} for value in (None, 4, 10**9)),
    *({"max_completion_tokens": value} for value in (None, 4, 10**9)),
    *({"max_requests": value} for value in (None, 1, 10**9)),
    *({"max_cost": value} for value in (None, 1, 1e-9)),
]

FIELDS = [field.name for field in attrs.fields(BeamSearchConfig)]


def refused(**values: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        BeamSearchConfig(**values)
    return caught.value


@pytest.mark.parametrize(
    ("field", "bound", "value"),
    [(field, bound, value) for field, (bound, values) in BAD.items() for value in values],
)
def test_a_bad_value_is_refused_by_name_and_bound(field: str, bound: str, value: object) -> None:
    error = refused(**{field: value})
    assert isinstance(error, ValueError)
    assert isinstance(error, TrioBeamError)
    assert error.field == field
    assert bound in error.bound
    assert field in str(error)
    assert error.bound in str(error)


@pytest.mark.parametrize(
    ("name", "bound", "value"),
    [(name, bound, value) for name, (bound, values) in BAD_IN_PARTS.items() for value in values],
)
def test_a_bad_value_of_a_part_is_refused_by_the_name_of_its_option(
    name: str, bound: str, value: object
) -> None:
    values: dict[str, object] = {"lookahead_tokens": 8} if name == "lookahead_rollouts" else {}
    if name.startswith("reward_model"):
        values["reward_model"] = "http://127.0.0.1:1/v1"
    with pytest.raises(ConfigError) as caught:
        build(BeamSearchConfig, values | {name: value})
    assert caught.value.field == name
    assert bound in caught.value.bound
    assert str(caught.value).startswith(f"{name} must be {caught.value.bound}")


def test_the_tables_list_every_parameter() -> None:
    names = {option.name for option in options_of(BeamSearchConfig)}
    # A part without a name of its own is given by its options.
    listed = (BAD.keys() - {"block"}) | BAD_IN_PARTS.keys() | {"steps"}
    assert names | {"confidence"} == listed


@pytest.mark.parametrize(
    "field", ["alpha", "length_penalty", "proposal_temperature", "beam_timeout"]
)
def test_a_whole_number_too_large_for_a_float_is_refused(field: str) -> None:
    assert refused(**{field: 10**400}).field == field


@pytest.mark.parametrize(("values", "field", "bound"), BAD_TOGETHER)
def test_values_that_do_not_go_together(values: dict[str, Any], field: str, bound: str) -> None:
    error = refused(**values)
    assert error.field == field
    assert bound in error.bound
    assert f"{field} must be {error.bound}" in str(error)


@pytest.mark.parametrize("values", GOOD)
def test_a_good_value_is_taken_as_it_is(values: dict[str, Any]) -> None:
    config = BeamSearchConfig(**values)
    assert {name: getattr(config, name) for name in values} == values


@pytest.mark.parametrize("field", FIELDS)
def test_no_field_is_without_bad_and_good_values(field: str) -> None:
    assert BAD[field][1]
    assert any(field in values for values in GOOD)


def test_the_tables_list_no_field_that_is_not_there() -> None:
    assert set(BAD) == set(FIELDS)


@pytest.mark.parametrize(("given", "kept"), [("END", ("END",)), (["a", "b"], ("a", "b")), ([], ())])
def test_stop_may_be_one_string_or_any_list(given: Any, kept: tuple[str, ...]) -> None:
    assert BeamSearchConfig(stop=given).stop == kept


@pytest.mark.parametrize("field", FIELDS)
def test_it_is_frozen(field: str) -> None:
    config = BeamSearchConfig()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(config, field, getattr(config, field))


def test_it_is_keyword_only() -> None:
    with pytest.raises(TypeError):
        BeamSearchConfig(4.0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="beam_with"):
        BeamSearchConfig(beam_with=2)  # type: ignore[call-arg]


def test_evolve_checks_again() -> None:
    with pytest.raises(ConfigError):
        attrs.evolve(BeamSearchConfig(), beam_width=0)


def test_the_defaults_are_those_of_the_contract() -> None:
    contract = {
        "alpha": 4.0,
        "beam_width": 2,
        "n_per_beam": 2,
        "tokens_per_step": 192,
        "max_tokens": 512,
        "use_length_penalty": True,
        "length_penalty": 0.6,
        "proposal_temperature": 1.0,
        "top_logprobs": 0,
        "stop": (),
        "reasoning": "auto",
        "reasoning_budget": None,
        "seed": None,
        "deduplicate": True,
        "early_stopping": True,
        "beam_timeout": None,
        "on_beam_failure": "cancel_siblings",
        "min_beams": 1,
        "selection": "top_k",
        "answer": "best",
        "block": None,
        "scorer": "power",
        "proposal": "sample",
        "max_total_tokens": None,
        "max_completion_tokens": None,
        "max_requests": None,
        "max_cost": None,
    }
    config = BeamSearchConfig()
    assert {name: getattr(config, name) for name in contract} == contract
    assert (Resample().ess_threshold, Resample().lookahead, Lookahead(8).rollouts) == (0.5, None, 4)
    assert (Vote().key, Vote().by) == (None, "count")


@pytest.mark.parametrize(
    ("max_tokens", "tokens_per_step", "rounds"),
    [(512, 192, 3), (512, 256, 2), (1, 192, 1), (7, 1, 7)],
)
def test_rounds_reach_max_tokens(max_tokens: int, tokens_per_step: int, rounds: int) -> None:
    config = BeamSearchConfig(max_tokens=max_tokens, tokens_per_step=tokens_per_step)
    assert config.rounds == rounds


def later(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    return [0.0 for _ in beams]


@pytest.mark.parametrize("scorer", ["mean_logprob", "judge", Judge(), later])
def test_a_score_of_particles_or_chains_is_a_reward(scorer: Any) -> None:
    assert BeamSearchConfig(selection="resample", scorer=scorer).rewards
    assert McmcConfig(scorer=scorer).rewards
    assert not BeamSearchConfig(selection="subtrees", scorer=scorer).rewards


@pytest.mark.parametrize("scorer", ["power", Power()])
def test_p_alpha_alone_is_no_reward(scorer: Any) -> None:
    for config in (
        BeamSearchConfig(selection="resample", scorer=scorer),
        McmcConfig(scorer=scorer),
    ):
        assert not config.rewards
        assert {"beta", "reward_at"} <= config.without_effect().keys()
