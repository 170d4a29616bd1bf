"""Things that come one to a file, found by name; and what each of them must do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import trio_beam
from tests.core.builders import block, chain
from trio_beam.core.answer_rule import ANSWERS
from trio_beam.core.beam import Beam
from trio_beam.core.config import SELECTIONS, BeamSearchConfig
from trio_beam.core.population import ScoredRound
from trio_beam.core.registry import Registry
from trio_beam.core.scorer import SCORERS
from trio_beam.core.scoring import call_scorer
from trio_beam.errors import ConfigError

BEAMS = [
    chain([block("a", logprob=-0.5)]),
    chain([block("a", "b"), block("c")]),
    chain([block("d", "e", logprob=-3.0)]),
    Beam(),
]


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    things: Registry[int] = Registry("thing")
    things.register("one")(1)
    things.register("two")(2)
    assert things["two"] == 2
    assert things.names() == ["one", "two"]
    with pytest.raises(ConfigError, match="thing must be one of 'one', 'two', not 'three'"):
        things["three"]


def test_a_name_is_given_once() -> None:
    things: Registry[int] = Registry("thing")
    things.register("one")(1)
    with pytest.raises(ConfigError) as caught:
        things.register("one")(2)
    assert caught.value.field == "thing"
    assert things["one"] == 1


@pytest.mark.parametrize("package", ["answers", "scorers", "selection"])
def test_each_file_is_loaded_and_registers_one_thing(package: str) -> None:
    folder = Path(trio_beam.__file__).parent / package
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    registries: dict[str, Registry[Any]] = {
        "answers": ANSWERS,
        "scorers": SCORERS,
        "selection": SELECTIONS,
    }
    registry = registries[package]
    elsewhere = {"reward_model"} if package == "scorers" else set()  # it does I/O
    assert set(registry.names()) == files | elsewhere


@pytest.mark.parametrize("name", sorted(set(SCORERS.names()) - {"judge", "rating", "reward_model"}))
def test_a_scorer_gives_one_number_for_each_beam_and_favours_the_probable(name: str) -> None:
    scores = call_scorer(SCORERS.part(name), BEAMS, BeamSearchConfig(scorer=name))
    assert len(scores) == len(BEAMS)
    assert not any(map(math.isnan, scores))
    alike = [chain([block("a", logprob=-1.0)]), chain([block("b", logprob=-2.0)])]
    better, worse = call_scorer(SCORERS.part(name), alike, BeamSearchConfig(scorer=name))
    assert better > worse if name != "equal" else better == worse


def scored(beams: Sequence[Beam]) -> ScoredRound:
    return ScoredRound(
        number=2, ended=[], carried=[], groups=[[beam] for beam in beams], chance=lambda _: 0.5
    )


@pytest.mark.parametrize("name", SELECTIONS.names())
@pytest.mark.parametrize("width", [1, 2, 9])
def test_a_selection_keeps_at_most_as_many_as_the_width(name: str, width: int) -> None:
    config = BeamSearchConfig(selection=name, beam_width=width)
    population = SELECTIONS[name]().select(scored(BEAMS[:width]), config)
    chosen = [*population.active, *population.ended]
    assert 1 <= len(chosen) <= 2 * width
    assert all(any(beam.same_tokens(one) for one in BEAMS) for beam in chosen)
    assert all(beam.ended for beam in population.ended)
    assert not any(beam.ended for beam in population.active)
    nothing = SELECTIONS[name]().select(scored([]), config)
    assert not [*nothing.active, *nothing.ended]


def test_top_k_keeps_the_first() -> None:
    kept = SELECTIONS["top_k"]().select(scored(BEAMS), BeamSearchConfig(beam_width=3))
    assert list(kept.active) == BEAMS[:3]
