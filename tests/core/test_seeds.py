"""Every sample of a search has a seed of its own."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import answer, block
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.seeds import base_seed, sample_number
from trio_beam.core.steps import Round

SIZES = st.integers(1, 5)


def seeds_of(config: BeamSearchConfig) -> list[list[int]]:
    """The seeds of all samples of a search whose beams never end, round by round."""
    state = BeamSearchMachine(config)
    rounds = []
    while isinstance(step := state.step(), Round):
        seeds = []
        for expansion in step.expansions:
            assert expansion.seed is not None
            # Choice k of a request has its seed plus k, and a part of a request that begins at
            # choice k is sent with that seed: the split makes no difference.
            seeds += [expansion.seed + sample for sample in range(expansion.n)]
            texts = [f"{expansion.rank}.{sample} " for sample in range(expansion.n)]
            state.receive(answer(expansion.rank, *map(block, texts)))
        rounds.append(seeds)
    return rounds


@given(seed=st.integers(0, 2**80), width=SIZES, n=SIZES, rounds=SIZES)
def test_no_two_samples_of_a_search_share_a_seed(
    seed: int, width: int, n: int, rounds: int
) -> None:
    config = BeamSearchConfig(
        seed=seed, beam_width=width, n_per_beam=n, tokens_per_step=1, max_tokens=rounds
    )
    seeds = [one for samples in seeds_of(config) for one in samples]
    assert len(seeds) == len(set(seeds)) == rounds * width * n
    assert all(0 <= one < 2**31 for one in seeds)


@given(width=SIZES, n=SIZES, rounds=SIZES)
def test_samples_are_numbered_without_gaps(width: int, n: int, rounds: int) -> None:
    numbers = [
        sample_number(number, beam, sample, width=width, n=n)
        for number, beam, sample in product(range(1, rounds + 1), range(width), range(n))
    ]
    assert numbers == list(range(rounds * width * n))
    # Round 1 expands one beam for all.
    first = [sample_number(1, 0, sample, width=width, n=n) for sample in range(width * n)]
    assert first == numbers[: width * n]


@given(seed=st.integers(0))
def test_there_is_room_for_a_thousand_million_samples(seed: int) -> None:
    assert 0 <= base_seed(seed) < 2**30


@pytest.mark.parametrize(
    ("seed", "base"),
    [(0, 715857710), (1, 1006654041), (42, 399466598), (2**64, 309399101)],
)
def test_the_seeds_never_change(seed: int, base: int) -> None:
    # A result that someone wrote down with its seed must be found again by every later version.
    assert base_seed(seed) == base


def test_the_seeds_of_a_whole_search_never_change() -> None:
    config = BeamSearchConfig(seed=42, beam_width=2, n_per_beam=2, tokens_per_step=1, max_tokens=2)
    base = base_seed(42)
    assert seeds_of(config) == [
        [base, base + 1, base + 2, base + 3],
        [base + 4, base + 5, base + 6, base + 7],
    ]


def test_other_search_seeds_give_other_seeds() -> None:
    def all_seeds(seed: int) -> set[int]:
        config = BeamSearchConfig(seed=seed, tokens_per_step=1, max_tokens=8)
        return {one for samples in seeds_of(config) for one in samples}

    sets = [all_seeds(seed) for seed in range(100)]
    assert len(set.union(*sets)) == sum(map(len, sets))


def test_without_a_seed_the_server_is_left_its_own_randomness() -> None:
    step = BeamSearchMachine(BeamSearchConfig()).step()
    assert isinstance(step, Round)
    assert step.expansions[0].seed is None
