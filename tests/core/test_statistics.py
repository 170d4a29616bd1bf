"""Errors and intervals: against their definitions, and how often they hold."""

from __future__ import annotations

import math
import random
from statistics import fmean, variance

import pytest

from tests.core.builders import answer, block, opened
from tests.core.language import powers, search
from trio_beam.answers.vote import Vote
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.result import SearchResult
from trio_beam.core.statistics import mean_log_evidence, split_r_hat, wilson_interval
from trio_beam.errors import ConfigError


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    [(81 / 263, 263, 0.2553, 0.3662), (15 / 148, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611)],
)
def test_wilson(share: float, count: float, low: float, high: float) -> None:
    assert wilson_interval(share, count) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("count", [8, 32])
def test_the_interval_holds_as_often_as_it_says(share: float, count: int) -> None:
    """Exactly, over all counts: on average 95 %, nowhere here less than 89 %."""
    held = sum(
        math.comb(count, hits) * share**hits * (1 - share) ** (count - hits)
        for hits in range(count + 1)
        if wilson_interval(hits / count, count)[0]
        <= share
        <= wilson_interval(hits / count, count)[1]
    )
    assert held > 0.89


def test_r_hat_is_that_of_the_definition() -> None:
    source = random.Random(1)
    traces = [[source.gauss(0, 1) for _ in range(10)] for _ in range(3)]
    halves = [half for one in traces for half in (one[:5], one[5:])]
    within = fmean(map(variance, halves))
    between = 5 * variance([fmean(half) for half in halves])
    expected = math.sqrt((4 / 5 * within + between / 5) / within)
    assert split_r_hat(traces) == pytest.approx(expected)


def test_r_hat_tells_chains_that_agree_from_those_that_do_not() -> None:
    source = random.Random(2)
    same = [[source.gauss(0, 1) for _ in range(200)] for _ in range(4)]
    apart = [[value + 5 * number for value in one] for number, one in enumerate(same)]
    near, far = split_r_hat(same), split_r_hat(apart)
    assert near is not None
    assert far is not None
    assert near < 1.05 < 2 < far
    assert split_r_hat([[1.0] * 8, [2.0] * 8]) == math.inf
    assert split_r_hat([[1.0] * 8, [1.0] * 8]) is None
    assert split_r_hat([[1.0, 2.0, 3.0]]) is None
    assert split_r_hat([]) is None


def test_the_evidence_of_many_searches_has_its_error() -> None:
    """20 groups of 12 searches: their errors' mean square is that of what they are off, within a factor of 2.

    For 20 normal errors that is so in 99.8 % of all sets of seeds; this is one.
    """
    config = BeamSearchConfig(
        selection="resample", alpha=2.0, beam_width=8, n_per_beam=1, tokens_per_step=1, max_tokens=4
    )
    truth = math.log(sum(powers(2.0).values()))
    off, errors = [], []
    for group in range(20):
        values = []
        for run in range(12):
            found = search(config, 1000 * group + run)[0].log_evidence
            assert found is not None
            values.append(found)
        combined = mean_log_evidence(values)
        assert combined.searches == 12
        off.append((combined.value - truth) ** 2)
        errors.append(combined.error**2)
    assert 0.5 < fmean(off) / fmean(errors) < 2


def test_evidence_without_weights() -> None:
    assert mean_log_evidence([-math.inf, 0.0]).value == pytest.approx(math.log(0.5))
    nothing = mean_log_evidence([-math.inf, -math.inf])
    assert (nothing.value, nothing.error) == (-math.inf, math.inf)
    for wrong in ([0.0], [], [0.0, math.nan], [0.0, math.inf]):
        with pytest.raises(ConfigError, match="at least two"):
            mean_log_evidence(wrong)


def voted(selection: str, *logprobs: float, by: str = "count") -> SearchResult:
    """A search whose texts a, b, c, ... have these log-probabilities; a and c give the same answer."""
    config = BeamSearchConfig(
        selection=selection,
        alpha=2.0,
        beam_width=len(logprobs),
        n_per_beam=1,
        tokens_per_step=1,
        max_tokens=1,
        scorer="mean_logprob" if selection == "top_k" else "power",
        answer=Vote(lambda text: "x" if text in "ac" else text, by),  # type: ignore[arg-type]
    )
    machine = BeamSearchMachine(config)
    opened(machine)
    blocks = [block(text, logprob=value) for text, value in zip("abcd", logprobs, strict=False)]
    machine.receive(answer(0, *blocks))
    machine.step()
    return machine.result("max_tokens")


def test_a_vote_has_an_interval_for_each_share() -> None:
    result = voted("top_k", -1.0, -1.0, -1.0, -1.0)
    assert result.effective_votes == 4
    assert result.vote_intervals == tuple(wilson_interval(share, 4) for share in (0.5, 0.25, 0.25))
    assert result.effective_answers == pytest.approx(1 / (0.25 + 2 * 0.0625))


def test_unequal_votes_count_less() -> None:
    result = voted("resample", -1.0, -2.0, -3.0)
    weights = [math.exp(-value) for value in (1.0, 2.0, 3.0)]
    effective = sum(weights) ** 2 / sum(value * value for value in weights)
    assert result.effective_votes == pytest.approx(effective)
    assert result.effective_sample_size == pytest.approx(effective)
    assert len(result.vote_intervals) == len(result.votes) == 2


def test_without_a_vote_there_is_none() -> None:
    config = BeamSearchConfig(beam_width=1, n_per_beam=1, tokens_per_step=1, max_tokens=1)
    machine = BeamSearchMachine(config)
    opened(machine)
    machine.receive(answer(0, block("a")))
    machine.step()
    result = machine.result("max_tokens")
    assert (
        result.effective_votes is result.effective_answers is result.effective_sample_size is None
    )
    everything = (result.vote_intervals, result.particle_rounds, result.acceptance_rates)
    assert not any(everything)


def test_each_round_says_what_its_weights_were() -> None:
    config = BeamSearchConfig(
        selection="resample", alpha=3.0, beam_width=8, n_per_beam=1, tokens_per_step=1, max_tokens=4
    )
    rounds = [one for seed in range(5) for one in search(config, seed)[0].particle_rounds]
    assert {one.round for one in rounds} == {1, 2, 3, 4}
    for one in rounds:
        assert 1 <= one.effective_sample_size <= 8 + 1e-9
        assert one.resampled <= (one.effective_sample_size < 4)
        if one.resampled:
            assert one.exponent == 1 + 2 * one.round / 4
    assert any(one.resampled for one in rounds)
