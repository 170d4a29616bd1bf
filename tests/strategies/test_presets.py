"""The presets: which configuration each of them is."""

from __future__ import annotations

from typing import Any

import pytest

from trio_beam import BeamSearchConfig, ConfigError, Judge, Resample, Vote
from trio_beam.strategies import (
    best_of_n,
    greedy,
    make_strategy,
    power_sampling,
    sample,
    self_consistency,
)


def test_greedy_is_one_text_at_temperature_0() -> None:
    config = greedy(max_tokens=64)
    assert (config.beam_width, config.n_per_beam, config.proposal_temperature) == (1, 1, 0)
    assert config.tokens_per_step == config.max_tokens == 64


def test_sample_is_one_text() -> None:
    assert sample(0.5).proposal_temperature == 0.5
    assert sample().rounds == 1


def test_best_of_n_is_one_round_of_n_texts() -> None:
    config = best_of_n(5, scorer=Judge())
    assert (config.beam_width, config.n_per_beam, config.rounds) == (5, 1, 1)
    assert config.early_stopping is False
    assert config.scorer == Judge()


def test_self_consistency_votes() -> None:
    assert self_consistency(5, "[0-9]+").answer == Vote("[0-9]+")
    assert self_consistency(5, str.strip, by="score").answer == Vote(str.strip, "score")


def test_a_vote_may_be_settled() -> None:
    config = self_consistency(5, settle=0.9, ahead=2)
    assert config.answer == Vote(settle=0.9, ahead=2)
    assert make_strategy("self_consistency", {"n": 5, "settle": 0.9, "ahead": 2}) == config


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("self_consistency", {"ahead": 2}),
        ("beam_search", {"vote_key": "x", "vote_ahead": 2}),
    ],
)
def test_nothing_is_ahead_of_a_vote_that_is_never_settled(
    name: str, values: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="ahead has no effect here: all samples are under way"):
        make_strategy(name, values)


def test_power_sampling_resamples() -> None:
    config = power_sampling(12, 2.0, tokens_per_step=8)
    assert (config.beam_width, config.n_per_beam, config.alpha) == (12, 1, 2.0)
    assert config.weighted
    assert power_sampling(selection=Resample(0.2)).selection == Resample(0.2)


@pytest.mark.parametrize("preset", [greedy, best_of_n, self_consistency, power_sampling])
def test_what_a_preset_sets_cannot_be_set_beside_it(preset: object) -> None:
    with pytest.raises(ConfigError, match="beam_width has no effect here"):
        preset(beam_width=3)  # type: ignore[operator]


def test_a_bad_value_is_named_as_it_was_given() -> None:
    with pytest.raises(ConfigError, match="n must be a whole number from 1 up, not 0"):
        best_of_n(0)
    with pytest.raises(ConfigError, match="particles must be a whole number"):
        power_sampling(2.5)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="temperature must be a finite number above 0"):
        self_consistency(4, temperature=0)
    with pytest.raises(ConfigError, match="there is no parameter 'beams'"):
        greedy(beams=3)


def test_a_preset_is_a_plain_configuration() -> None:
    assert isinstance(best_of_n(), BeamSearchConfig)


@pytest.mark.parametrize(
    ("name", "values", "field"),
    [
        ("beam_search", {"selection": "resample", "length_penalty": 1.0}, "length_penalty"),
        ("beam_search", {"beam_width": 1, "answer": "vote"}, "answer"),
        ("beam_search", {"beam_width": 1, "vote_by": "score"}, "vote_by"),
        ("beam_search", {"scorer": "judge", "alpha": 2.0}, "alpha"),
        ("beam_search", {"min_beams": 2}, "min_beams"),
        ("greedy", {"scorer": "judge"}, "scorer"),
        ("sample", {"answer": "vote"}, "answer"),
        ("mcmc", {"chains": 3, "min_beams": 2}, "min_beams"),
        ("power_sampling", {"deduplicate": False}, "deduplicate"),
    ],
)
def test_values_without_effect_are_refused(name: str, values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError, match=f"^{field} has no effect here: "):
        make_strategy(name, values)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("beam_search", {"selection": "resample", "alpha": 2.0, "scorer": "power"}),
        ("beam_search", {"scorer": "judge", "alpha": 4.0, "length_penalty": 0.6}),
        ("beam_search", {"on_beam_failure": "drop_beam", "min_beams": 2}),
        ("beam_search", {"beam_width": 1, "n_per_beam": 2, "scorer": "mean_logprob"}),
        ("greedy", {"min_beams": 1, "answer": "best"}),
        ("best_of_n", {"scorer": "mean_logprob"}),
        ("self_consistency", {"by": "score"}),
    ],
)
def test_defaults_and_what_has_an_effect_are_taken(name: str, values: dict[str, Any]) -> None:
    make_strategy(name, values)
