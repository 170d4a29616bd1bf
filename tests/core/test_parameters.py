"""A parameter is declared once: whatever shows or reads parameters knows it from the declaration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click
import pytest
from click.testing import CliRunner

from trio_beam import (
    BeamSearchConfig,
    Lookahead,
    McmcConfig,
    Resample,
    Steps,
    Strategy,
    Vote,
)
from trio_beam.command.help import Command
from trio_beam.command.strategy_options import strategy_from, strategy_parameters
from trio_beam.core.config import SELECTIONS
from trio_beam.core.parameters import build, options_of
from trio_beam.core.validation import parameters_of
from trio_beam.errors import ConfigError
from trio_beam.rewards import RewardModel
from trio_beam.strategies import STRATEGIES, make_strategy, strategy_name, strategy_options

RM = "http://127.0.0.1:1/v1"
GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def threshold() -> Iterator[str]:
    """The selection that CONTRIBUTING.md shows, with a parameter of its own."""
    (source,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text("utf-8"), re.DOTALL)
    exec(compile(source, GUIDE, "exec"), {"__name__": __name__})
    yield "threshold"
    del SELECTIONS._added["threshold"]


def test_a_new_selection_brings_its_options(threshold: str) -> None:
    (option,) = (one for one in options_of(BeamSearchConfig) if one.part == threshold)
    assert (option.name, option.default, option.parameter.unit) == ("threshold_margin", 1.0, "nats")
    config = build(BeamSearchConfig, {"threshold_margin": 2})
    assert config.selection_part.margin == 2  # type: ignore[attr-defined]
    assert config == build(BeamSearchConfig, {"selection": {"name": threshold, "margin": 2}})
    made = make_strategy("best_of_n", {"n": 3, "threshold_margin": 2})
    assert isinstance(made, BeamSearchConfig)
    assert made.selection == config.selection
    with pytest.raises(ConfigError, match="threshold_margin must be a finite number from 0 up"):
        build(BeamSearchConfig, {"threshold_margin": -1})
    assert parsed("--threshold-margin", "0.5").selection_part.margin == 0.5


def parsed(*words: str) -> Any:
    """The strategy that a command makes of these words."""
    made: list[Strategy] = []

    @click.command(cls=Command)
    @strategy_parameters
    @click.pass_context
    def command(ctx: click.Context, /, **given: Any) -> None:
        made.append(strategy_from(ctx, given))

    result = CliRunner().invoke(command, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return made[0]


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_every_strategy_has_its_options_and_defaults(name: str) -> None:
    options = strategy_options(name)
    assert len({option.name for option in options}) == len(options)
    assert all(option.parameter.help for option in options)
    made = make_strategy(name, {})
    assert isinstance(made, Strategy)
    assert strategy_name(made) in ("beam_search", "mcmc")


@pytest.mark.parametrize("owner", [BeamSearchConfig, McmcConfig, Resample, Lookahead, Vote])
def test_every_field_of_a_configuration_is_declared_and_documented(owner: Any) -> None:
    in_python_only = {"reference"}  # a beam
    names = [field.name for field in attrs.fields(owner) if field.name not in in_python_only]
    assert list(parameters_of(owner)) == names
    assert all(f"        {name}: " in owner.__doc__ for name in parameters_of(owner))


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ((), BeamSearchConfig()),
        (("--beam-width", "3", "--alpha", "2"), BeamSearchConfig(beam_width=3, alpha=2.0)),
        (("--no-deduplicate",), BeamSearchConfig(deduplicate=False)),
        (("--early-stopping", "bound"), BeamSearchConfig(early_stopping="bound")),
        (("--early-stopping", "false"), BeamSearchConfig(early_stopping=False)),
        (("--stop", "a", "--stop", "b"), BeamSearchConfig(stop=("a", "b"))),
        (("--selection", "resample"), BeamSearchConfig(selection="resample")),
        (("--lookahead-tokens", "8"), BeamSearchConfig(selection=Resample(lookahead=Lookahead(8)))),
        (("--vote-key", "[0-9]+"), BeamSearchConfig(answer=Vote("[0-9]+"))),
        (("--strategy", "mcmc", "--steps", "3"), McmcConfig(steps=3)),
        (("--strategy", "mcmc", "--steps=3"), McmcConfig(steps=3)),
        (("--steps",), BeamSearchConfig(block="steps")),
        (("--steps", "--beam-width", "3"), BeamSearchConfig(block="steps", beam_width=3)),
        (("--steps", "--steps-delimiter", "."), BeamSearchConfig(block=Steps("."))),
        (("--steps-delimiter", "."), BeamSearchConfig(block=Steps("."))),
        (("--reward-model", RM), BeamSearchConfig(scorer=RewardModel(RM))),
        (
            ("--reward-model", RM, "--reward-model-kind", "outcome", "--steps"),
            BeamSearchConfig(scorer=RewardModel(RM, kind="outcome"), block="steps"),
        ),
        (
            ("--strategy", "best_of_n", "--reward-model", RM),
            make_strategy("best_of_n", {"scorer": RewardModel(RM)}),
        ),
        (("--extra-body", '{"a": {"b": 1}}'), BeamSearchConfig(extra_body={"a": {"b": 1}})),
        (("--temperature", "0.7"), BeamSearchConfig(proposal_temperature=0.7)),
        (
            ("--strategy", "sample", "--temperature", "0.7"),
            make_strategy("sample", {"temperature": 0.7}),
        ),
    ],
)
def test_options_of_a_command(words: tuple[str, ...], wanted: Strategy) -> None:
    assert parsed(*words) == wanted


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beam_widht": 3}, "there is no parameter 'beam_widht'; did you mean 'beam_width'?"),
        ({"nonsense": 3}, "there is no parameter 'nonsense'"),
        ({"ess_threshold": 0.3, "selection": "top_k"}, "ess_threshold has no effect here"),
        ({"lookahead_rollouts": 3}, "lookahead_tokens must be given"),
        ({"selection": {"name": "best"}}, "selection.name must be one of 'resample'"),
        ({"selection": {"name": "resample", "margin": 1}}, "there is no parameter 'margin'"),
        ({"vote_key": "("}, "vote_key must be a regular expression"),
        ({"scorer": "reward_model"}, "reward_model must be given"),
        ({"reward_model_kind": "outcome"}, "reward_model must be given"),
        ({"reward_model": "rm"}, "reward_model must be a URL"),
        ({"reward_model": "http://rm/v1", "scorer": "power"}, "reward_model has no effect here"),
        ({"reward_model_base_url": "http://rm/v1"}, "no parameter 'reward_model_base_url'"),
    ],
)
def test_values_that_do_nothing_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("(", r"\(").replace("?", r"\?")):
        build(BeamSearchConfig, values)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--steps", "3"), "steps has no effect with the strategy 'beam_search': .* mcmc"),
        (("--strategy", "mcmc", "--steps"), "steps must be a whole number from 0 up, not True"),
        (
            ("--strategy", "greedy", "--reward-model", RM),
            "reward_model has no effect here: there is",
        ),
        (("--extra-body", "[]"), "--extra-body must be a JSON object"),
        (("--extra-body", '{"n": 2}'), "extra_body cannot have 'n'"),
        (("--extra-body", '{"grammar": "x"}', "--steps"), "extra_body cannot have 'grammar' here"),
        (("--strategy", "mcmc", "--beam-width", "3"), "beam_width has no effect"),
        (("--strategy", "best_of_n", "--beam-width", "3"), "the strategy sets it to 8"),
        (("--strategy", "best_of_n", "--n", "0"), "n must be a whole number from 1 up"),
    ],
)
def test_options_that_do_nothing_are_refused(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parsed(*words)


@pytest.mark.parametrize("value", [3, "yes", 0, None])
def test_a_part_is_switched_by_true_and_false_only(value: object) -> None:
    with pytest.raises(ConfigError, match="steps must be one of True, False"):
        make_strategy("beam_search", {"steps": value})
    assert make_strategy("beam_search", {"steps": True}) == BeamSearchConfig(block="steps")
    assert make_strategy("beam_search", {"steps": False}) == BeamSearchConfig()


@pytest.mark.parametrize("name", [[], {}, None, 1, True, "x"], ids=repr)
@pytest.mark.parametrize("part", ["selection", "scorer", "block", "answer", "confidence"])
def test_a_part_without_a_name_that_is_known_is_refused(part: str, name: object) -> None:
    with pytest.raises(ConfigError, match=rf"^{part}.name must be (one of '|given)"):
        build(BeamSearchConfig, {part: {"name": name}})
