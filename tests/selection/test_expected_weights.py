"""The expected weight of every text is its target, exactly: over every way that chance may take."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from tests.core import exhaustive
from tests.core.exhaustive import Fate, all_ways, block, decided_by, sample, texts, tokens_of
from tests.core.language import LOST
from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.beam_search.phases import Phase
from trio_beam.core.config import BeamSearchConfig, Lookahead
from trio_beam.core.result import SearchResult
from trio_beam.core.steps import Finished, Outcome, Round
from trio_beam.selection import Resample


def searched(
    fate: Fate, config: BeamSearchConfig, patch: pytest.MonkeyPatch
) -> tuple[BeamSearchMachine, SearchResult]:
    """A search along one way; with drop_beam, a third of the moves fail."""
    decided_by(fate, patch)
    machine = BeamSearchMachine(config)
    while isinstance(step := machine.step(), Round):
        for one in step.expansions:
            fails = step.purpose == "move" and config.on_beam_failure == "drop_beam"
            if fails and fate.choose([2 / 3, 1 / 3]):
                machine.receive(Outcome(rank=one.rank, errors=(LOST,)))
                continue
            blocks = {
                index: sample(fate, one.beam, one.max_tokens, config.proposal_temperature)
                for index in range(one.n)
            }
            machine.receive(Outcome(rank=one.rank, continuations=blocks))
    return machine, machine.result(step.stop_reason if isinstance(step, Finished) else "failed")


def expected_weights(config: BeamSearchConfig, patch: pytest.MonkeyPatch) -> dict[Any, float]:
    """The expected share of each text in the mean weight."""
    found: defaultdict[Any, float] = defaultdict(float)
    total = 0.0
    for probability, (machine, result) in all_ways(lambda fate: searched(fate, config, patch)):
        total += probability
        if machine.phase is Phase.FAILED:  # no text has a weight
            assert config.scorer is forbids
            continue
        assert result.log_evidence is not None
        found["all"] += probability * math.exp(result.log_evidence)
        for beam in [*machine._ended, *machine._active]:
            share = math.exp(beam.log_weight) / config.beam_width
            found[tokens_of(beam)] += probability * share
    assert total == pytest.approx(1, abs=1e-9)
    return {text: value for text, value in found.items() if value > 0}


def config(longest: int, selection: Resample, **changes: Any) -> BeamSearchConfig:
    values: dict[str, Any] = {
        "selection": selection,
        "alpha": 3.0,
        "beam_width": 2,
        "n_per_beam": 1,
        "tokens_per_step": 1,
        "max_tokens": longest,
    }
    return BeamSearchConfig(**(values | changes))


def rewards(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    """Something that differs from text to text, and from its beginnings."""
    del config
    return [1.5 * beam.text.count("b") - 0.7 * beam.length for beam in beams]


def forbids(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    """The same, but no text may begin by b."""
    return [
        -math.inf if beam.text.startswith("b") else value
        for beam, value in zip(beams, rewards(beams, config), strict=True)
    ]


REWARDED: dict[str, Any] = {"scorer": rewards, "beta": 0.8}


@pytest.mark.parametrize(
    "wanted",
    [
        config(3, Resample(1.0)),
        config(3, Resample(0.8), alpha=0.4),
        config(2, Resample(1.0, alpha_ramp_tokens=0), beam_width=3),
        config(3, Resample(1.0), beam_width=1, n_per_beam=2),
        config(3, Resample(1.0, alpha_ramp_tokens=2), proposal_temperature=0.7),
        config(2, Resample(1.0, Lookahead(1, 1))),
        config(3, Resample(1.0), tokens_per_step=2),
        config(3, Resample(1.0), **REWARDED),
        config(3, Resample(1.0, alpha_ramp_tokens=0), reward_at="end", **REWARDED),
        config(3, Resample(1.0), beam_width=1, n_per_beam=2, **REWARDED),
        config(2, Resample(1.0, Lookahead(1, 1)), **REWARDED),
        config(3, Resample(0.8), scorer=forbids, reward_at="end"),
        config(2, Resample(1.0, moves=1), beam_width=1),
        config(2, Resample(0.5, moves=1), beam_width=1, proposal_temperature=0.7),
        config(2, Resample(0.5, moves=1, alpha_ramp_tokens=0), beam_width=1, **REWARDED),
        config(2, Resample(0.5, moves=1), beam_width=1, scorer=rewards, reward_at="end"),
    ],
)
def test_it_is_the_target(wanted: BeamSearchConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """p^alpha, or p^alpha * exp(beta * reward)."""
    check(wanted, monkeypatch)


def test_it_is_so_when_particles_move_and_are_resampled(monkeypatch: pytest.MonkeyPatch) -> None:
    """With two particles, in a language with only one letter, so that there are fewer ways."""
    monkeypatch.setattr(exhaustive, "NEXT", {None: (0.6, 0.0, 0.4), 0: (0.3, 0.0, 0.7)})
    check(config(2, Resample(0.9, moves=1)), monkeypatch)


def test_it_is_so_when_moves_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = config(2, Resample(moves=1), beam_width=1, on_beam_failure="drop_beam")
    monkeypatch.setattr(exhaustive, "NEXT", {None: (0.6, 0.0, 0.4), 0: (0.3, 0.0, 0.7)})
    check(wanted, monkeypatch)


def check(wanted: BeamSearchConfig, patch: pytest.MonkeyPatch) -> None:
    """Compare the expected weights of a search with its target."""
    found = expected_weights(wanted, patch)
    exact = {}
    for text, value in texts(wanted.max_tokens).items():
        log_weight = wanted.alpha * value
        if wanted.scorer != "power":
            [reward] = wanted.scorer([Beam().extend(block((), text))], wanted)  # type: ignore[operator,misc]
            log_weight += wanted.beta * reward
        if log_weight > -math.inf:
            exact[text] = math.exp(log_weight)
    assert found == pytest.approx(exact | {"all": sum(exact.values())}, rel=1e-9)
