"""A search with a reference is a step of a Markov chain that leaves the target invariant: exactly."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest
from trio.testing import MockClock

from tests.core import exhaustive
from tests.core.exhaustive import all_ways, block, texts, tokens_of
from tests.selection.test_expected_weights import REWARDED, config, rewards, searched
from trio_beam import BeamSearchConfig, ConfigError, Lookahead, beam_search, beam_search_within
from trio_beam.core.beam import Beam
from trio_beam.core.reference import next_block
from trio_beam.selection import Resample
from trio_beam.testing import FakeEndpoint

Text = tuple[int, ...]


def beam_of(text: Sequence[int], temperature: float = 1.0) -> Beam:
    """A text in blocks of two tokens, whatever those of the search are."""
    beam = Beam()
    for start in range(0, len(text), 2):
        beam = beam.extend(block(text[:start], text[start : start + 2], temperature))
    return beam


def kernel(
    text: Text, longest: int, changes: dict[str, Any], patch: pytest.MonkeyPatch
) -> dict[Text, float]:
    """The probability of each answer of a search from this reference."""
    given = dict(changes)
    selection = given.pop("selection", {"ess_threshold": 1.0})
    reference = beam_of(text, given.get("proposal_temperature", 1.0))
    wanted = config(longest, Resample(**selection, reference=reference), **given)
    found: defaultdict[Text, float] = defaultdict(float)
    for probability, (_, result) in all_ways(lambda fate: searched(fate, wanted, patch)):
        assert result.log_evidence is None
        for beam in result.beams:
            assert beam.weight is not None
            found[tokens_of(beam)] += probability * beam.weight
    assert sum(found.values()) == pytest.approx(1, abs=1e-12)
    return found


@pytest.mark.parametrize(
    ("longest", "changes"),
    [
        (3, {}),
        (3, {"selection": {"ess_threshold": 0.8}}),
        (3, {"selection": {"ess_threshold": 1.0, "alpha_ramp_tokens": 0}}),
        (2, {"beam_width": 3}),
        (3, {"proposal_temperature": 0.7}),
        (3, {"tokens_per_step": 2}),
        (3, REWARDED),
        (2, {"reward_at": "end", **REWARDED}),
        (2, {"selection": {"ess_threshold": 1.0, "lookahead": Lookahead(1, 1)}}),
    ],
)
def test_the_target_is_invariant(
    longest: int, changes: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """pi K = pi to 1e-12, with two or three particles, one of which follows the reference."""
    target: dict[Text, float] = {}
    for text, value in texts(longest).items():
        reward = 0.8 * rewards([beam_of(text)], BeamSearchConfig())[0] if "scorer" in changes else 0
        target[text] = math.exp(3.0 * value + reward)
    total = sum(target.values())
    after: defaultdict[Text, float] = defaultdict(float)
    for text, share in target.items():
        for answer, probability in kernel(text, longest, changes, monkeypatch).items():
            after[answer] += share / total * probability
    assert after == pytest.approx(
        {text: share / total for text, share in target.items()}, abs=1e-12
    )


def test_a_step_is_nearer_to_the_target_than_its_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the least probable text, one step, of two particles, removes a fifth of the distance."""
    powers = {text: math.exp(3.0 * value) for text, value in texts(3).items()}
    total = sum(powers.values())
    worst = min(powers, key=powers.__getitem__)
    found = kernel(worst, 3, {}, monkeypatch)
    distance = sum(abs(found.get(text, 0) - share / total) for text, share in powers.items()) / 2
    assert distance < 0.8 * (1 - powers[worst] / total)


def test_the_next_block_is_that_of_the_text_whatever_its_blocks() -> None:
    text = (0, 1, 1, exhaustive.END)
    beam = beam_of(text)
    for count in (1, 2, 3, 9):
        rebuilt = Beam()
        while not rebuilt.ended:
            rebuilt = rebuilt.extend(next_block(beam, rebuilt.length, count))
        assert rebuilt.same_tokens(beam)
        assert rebuilt.logprob == pytest.approx(beam.logprob)
        assert (rebuilt.text, rebuilt.finish_reason) == (beam.text, beam.finish_reason)


async def test_a_draw_is_the_reference_of_the_next_search() -> None:
    """No request is made for the particle that follows it, and it is among the particles at the end."""
    shared: dict[str, Any] = {
        "beam_width": 4,
        "n_per_beam": 1,
        "tokens_per_step": 2,
        "max_tokens": 6,
        "alpha": 2.0,
    }
    first = await beam_search(
        FakeEndpoint(), "p", BeamSearchConfig(selection="resample", seed=3, **shared)
    )
    reference = first.beams[0]
    for seed in range(5):
        model = FakeEndpoint()
        selection = Resample(reference=reference)
        result = await beam_search(
            model, "p", BeamSearchConfig(selection=selection, seed=seed, **shared)
        )
        assert any(beam.same_tokens(reference) for beam in result.beams)
        assert model.requests[0].n == 3
        assert all(
            sum(request.beam.length == length for request in model.requests) <= 3
            for length in (2, 4)
        )
        reference = result.beams[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_tokens": 4}, "reference must be a text that has ended, or has max_tokens"),
        ({"max_tokens": 1}, "reference must be a text that has ended, or has max_tokens"),
        ({"n_per_beam": 2}, "n_per_beam must be 1 with a reference"),
        ({"beam_width": 1}, "beam_width must be at least 2 with a reference"),
        ({"on_beam_failure": "drop_beam"}, "on_beam_failure must be 'cancel_siblings' with a ref"),
        ({"proposal_temperature": 0.5}, "sampled at the proposal_temperature"),
    ],
)
def test_what_does_not_go_with_a_reference(changes: dict[str, Any], message: str) -> None:
    selection = Resample(reference=beam_of((0, 0, 0)))
    with pytest.raises(ConfigError, match=message):
        config(3, selection, **changes)


@pytest.mark.parametrize("given", [{"moves": 1}, {"reference": beam_of((0, 0, 0))}])
def test_a_reasoning_budget_goes_with_neither(given: dict[str, Any]) -> None:
    with pytest.raises(
        ConfigError, match="reasoning_budget must be None with moves or a reference"
    ):
        config(3, Resample(**given), reasoning_budget=1)


def test_moves_do_not_go_with_a_reference() -> None:
    with pytest.raises(ConfigError, match="moves must be 0 with a reference"):
        config(3, Resample(moves=1, reference=beam_of((0, 0, 0))))


async def test_a_deadline_in_the_first_round_answers_with_nothing(
    autojump_clock: MockClock,
) -> None:
    wanted = config(3, Resample(reference=beam_of((0, 0, 0))))
    result = await beam_search_within(1.0, FakeEndpoint(latency=2.0), "p", wanted)
    assert (result.stop_reason, result.beams) == ("deadline", ())
