"""A recorded search, decided again: bit for bit, or by another strategy from the same samples."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import trio_beam
from tests.traces.searches import Unreliable, facts, replayed, run_recorded
from trio_beam import (
    Beam,
    BeamSearchConfig,
    Judge,
    Lookahead,
    McmcConfig,
    ReplayError,
    Resample,
    RewardModel,
    SearchResult,
    Steps,
    Strategy,
    Vote,
)
from trio_beam.testing import FakeEndpoint, ScriptedModel

FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def length(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    del config
    return [float(len(beam.text)) for beam in beams]


async def awaited_length(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    return length(beams, config)


def rewards(prompt: str, candidates: Sequence[Sequence[str]]) -> list[list[float]]:
    return [[1 / (1 + len(step)) for step in steps] for steps in candidates]


JUDGE = Judge(yes="the", no="a", top_logprobs=8, max_tokens=1)
SCORERS: list[Any] = [
    *("power", "mean_logprob", "equal", length, awaited_length, JUDGE),
    RewardModel(function=rewards, aggregate="mean"),
]
SHARED: dict[str, Any] = {
    "seed": st.none() | st.integers(0, 99),
    "tokens_per_step": st.integers(1, 4),
    "max_tokens": st.integers(1, 10),
    "stop": st.sampled_from([(), (".",), (" ran", "dog sat")]),
    "on_beam_failure": st.sampled_from(["cancel_siblings", "drop_beam"]),
    "max_requests": st.none() | st.integers(1, 30),
    "max_total_tokens": st.none() | st.integers(60, 120),
}
BEAMS = st.builds(
    BeamSearchConfig,
    **SHARED,
    beam_width=st.integers(1, 4),
    n_per_beam=st.integers(1, 3),
    deduplicate=st.booleans(),
    early_stopping=st.sampled_from([True, False]),
    selection=st.sampled_from(["top_k", "subtrees"]),
    scorer=st.sampled_from(SCORERS),
    answer=st.sampled_from(["best", Vote(r"\w+"), Vote(r"\w+", by="score")]),
    block=st.sampled_from([None, Steps(" dog"), Steps((".", " cat"), min_tokens=1)]),
)
PARTICLES = st.builds(
    BeamSearchConfig,
    **SHARED,
    alpha=st.sampled_from([1.0, 4.0]),
    beam_width=st.integers(1, 4),
    n_per_beam=st.integers(1, 3),
    proposal_temperature=st.sampled_from([0.5, 1.0]),
    selection=st.builds(
        Resample,
        ess_threshold=st.sampled_from([0.3, 1.0]),
        lookahead=st.none() | st.builds(Lookahead, tokens=st.integers(1, 3), rollouts=st.just(2)),
    ),
    answer=st.sampled_from(["best", Vote(r"\w+")]),
)
ENUMERATED = st.builds(
    BeamSearchConfig,
    tokens_per_step=st.just(1),
    max_tokens=st.integers(1, 6),
    beam_width=st.integers(1, 4),
    proposal=st.just("enumerate"),
)
CHAINS = st.builds(
    McmcConfig,
    **SHARED,
    alpha=st.sampled_from([1.0, 4.0]),
    steps=st.integers(0, 3),
    chains=st.integers(1, 3),
    proposal_temperature=st.sampled_from([0.5, 1.0]),
)


def check_repeats(
    strategy: Strategy, chance: int, failing: float, within: float, most: int | None
) -> None:
    model = Unreliable(chance, failing, max_per_request=most)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        recorded = run_recorded(path, model, strategy, within=within)
        again = replayed(path)
    assert facts(again) == facts(recorded)


CONDITIONS = {
    "chance": st.integers(0, 10**6),
    "failing": st.sampled_from([0.0, 0.0, 0.1, 0.4]),
    "within": st.sampled_from([float("inf"), float("inf"), 0.05, 0.6, 1.5, 2.5]),
    "most": st.sampled_from([None, 1, 2]),
}


@FEW
@given(strategy=BEAMS, **CONDITIONS)
def test_a_beam_search_repeats(strategy: BeamSearchConfig, **conditions: Any) -> None:
    # No file can hold the function of a vote; patterns can be written.
    check_repeats(strategy, **conditions)


@FEW
@given(strategy=PARTICLES | ENUMERATED, **CONDITIONS)
def test_particles_and_enumeration_repeat(strategy: BeamSearchConfig, **conditions: Any) -> None:
    check_repeats(strategy, **conditions)


@FEW
@given(strategy=CHAINS, **CONDITIONS)
def test_chains_repeat(strategy: McmcConfig, **conditions: Any) -> None:
    check_repeats(strategy, **conditions)
