"""A vote that ends when it is settled: the samples count in their order, whichever arrives first."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.builders import answer, block, failed, opened
from trio_beam import BeamSearchConfig, ConfigError, RequestRejected, Vote
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.result import SearchResult
from trio_beam.core.steps import Failed, Finished, Outcome
from trio_beam.errors import VoteError
from trio_beam.strategies import self_consistency


def vote(n: int, **others: Any) -> BeamSearchConfig:
    given: dict[str, Any] = {"settle": "certain", "ahead": 3, "max_tokens": 4}
    return self_consistency(n, **(given | others))


def sample(rank: int, text: str | None) -> Outcome:
    """A text, or a failure."""
    if text is None:
        return failed(rank, RequestRejected("no", status=400))
    return answer(rank, block(text, reason="stop"))


@attrs.define
class Played:
    """One search to its end."""

    machine: BeamSearchMachine
    begun: set[int] = attrs.field(factory=set)
    cancelled: set[int] = attrs.field(factory=set)

    def play(self, texts: Sequence[str | None], order: random.Random) -> SearchResult:
        """Let the samples under way arrive in random order."""
        current = opened(self.machine)
        assert [expansion.n for expansion in current.expansions] == [1] * len(texts)
        self.begun = set(range(len(texts) - current.held))
        arrived: set[int] = set()
        while waiting := sorted(self.begun - arrived - self.cancelled):
            rank = order.choice(waiting)
            arrived.add(rank)
            reaction = self.machine.receive(sample(rank, texts[rank]))
            self.begun |= {expansion.rank for expansion in reaction.begin}
            self.cancelled |= reaction.cancel
        for rank in self.cancelled:
            self.machine.receive(Outcome(rank=rank, cancelled=True))
        step = self.machine.step()
        assert isinstance(step, Finished)
        return self.machine.result(step.stop_reason)


TEXTS = st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=16)


@given(TEXTS, st.sampled_from(["certain", 0.7, 0.95]), st.integers(1, 20), st.integers(0, 99))
def test_no_order_of_arrival_changes_what_counts(
    texts: list[str | None], settle: Any, ahead: int, order: int
) -> None:
    config = vote(
        len(texts), settle=settle, ahead=ahead, on_beam_failure="drop_beam", deduplicate=False
    )
    if all(text is None for text in texts):
        return
    one = Played(BeamSearchMachine(config))
    other = Played(BeamSearchMachine(attrs.evolve(config, answer=Vote(settle=settle, ahead=1))))
    first = one.play(texts, random.Random(order))
    second = other.play(texts, random.Random(0))  # one by one, so in their order
    assert first.votes == second.votes
    assert (first.text, first.stop_reason) == (second.text, second.stop_reason)
    assert [beam.text for beam in first.beams] == [beam.text for beam in second.beams]
    counted = len(other.begun - other.cancelled)
    if first.stop_reason == "settled":
        assert counted < len(texts)
        assert len(one.begun) <= counted + ahead  # nothing further was ever asked for
    if settle == "certain" and first.votes:
        full = Counter(text for text in texts if text)
        assert first.text == full.most_common(1)[0][0]


def test_the_rest_is_cancelled_when_it_is_settled() -> None:
    machine = BeamSearchMachine(vote(5))
    current = opened(machine)
    assert current.held == 2
    assert not machine.receive(sample(1, "a")).begin  # it waits for sample 0
    reaction = machine.receive(sample(0, "a"))
    assert [expansion.rank for expansion in reaction.begin] == [3, 4]
    assert [expansion.seed for expansion in reaction.begin] == [None, None]
    reaction = machine.receive(sample(2, "a"))
    assert reaction.cancel == {3, 4}
    machine.receive(sample(3, "b"))  # it had arrived before it was cancelled
    machine.receive(Outcome(rank=4, cancelled=True))
    step = machine.step()
    assert isinstance(step, Finished)
    assert step.stop_reason == "settled"
    result = machine.result(step.stop_reason)
    assert result.votes == (("a", 1.0),)
    assert result.usage.completion_tokens == 4  # that of the late one too


def test_the_samples_have_the_seeds_that_they_have_in_one_request() -> None:
    alone = opened(BeamSearchMachine(vote(4, seed=3)))
    together = opened(BeamSearchMachine(vote(4, seed=3, settle=None)))
    [expansion] = together.expansions
    assert expansion.seed is not None
    assert [one.seed for one in alone.expansions] == [expansion.seed + k for k in range(4)]


def test_a_late_failure_does_not_fail_what_is_settled() -> None:
    machine = BeamSearchMachine(vote(4, ahead=4))
    opened(machine)
    for rank in range(3):
        machine.receive(sample(rank, "a"))
    assert not machine.receive(sample(3, None)).cancel
    assert isinstance(machine.step(), Finished)
    assert machine.result("settled").failures == ()


@pytest.mark.parametrize(("min_beams", "end"), [(7, Finished), (8, Failed)])
def test_what_was_cancelled_counts_as_surviving(min_beams: int, end: type) -> None:
    config = vote(8, on_beam_failure="drop_beam", min_beams=min_beams, ahead=8)
    machine = BeamSearchMachine(config)
    opened(machine)
    for rank in range(8):
        machine.receive(sample(rank, None if rank == 0 else "a"))
    assert isinstance(machine.step(), end)
    result = machine.result("settled")
    assert [beam.multiplicity for beam in result.beams] == [
        4
    ]  # certain after five, one of which failed
    assert len(result.failures) == 1


def test_a_key_that_fails_fails_the_vote() -> None:
    def key(text: str) -> str:
        return text if text == "a" else str(1 / 0)

    machine = BeamSearchMachine(vote(3, key=key, ahead=3))
    opened(machine)
    for rank, text in enumerate("baa"):
        machine.receive(sample(rank, text))
    step = machine.step()
    assert isinstance(step, Finished)
    with pytest.raises(VoteError, match="the key 'key' of the vote failed"):
        machine.result(step.stop_reason)


SETTLING = Vote(settle=0.9)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("selection", {"selection": "resample", "scorer": "power"}),
        ("n_per_beam", {"n_per_beam": 2}),
        ("tokens_per_step", {"tokens_per_step": 4}),
        ("block", {"block": "steps"}),
        ("reasoning_budget", {"reasoning_budget": 4}),
        ("proposal", {"proposal": "enumerate", "tokens_per_step": 1, "max_tokens": 1}),
    ],
)
def test_it_needs_one_round_of_samples(name: str, changes: dict[str, Any]) -> None:
    given: dict[str, Any] = {
        "answer": SETTLING,
        "n_per_beam": 1,
        "tokens_per_step": 8,
        "max_tokens": 8,
    }
    BeamSearchConfig(**given)
    with pytest.raises(ConfigError, match=f"{name} must be .*an answer that settles"):
        BeamSearchConfig(**{**given, **changes})


@pytest.mark.parametrize("by", ["score", "reward"])
def test_votes_without_a_bound_cannot_be_settled(by: Any) -> None:
    with pytest.raises(ConfigError, match="settle must be None with by="):
        Vote(by=by, settle=0.9)
    with pytest.raises(ConfigError, match="settle must be None with by="):
        self_consistency(4, by=by, settle="certain")


def test_the_budget_counts_the_prompt_of_each_sample() -> None:
    machine = BeamSearchMachine(vote(4, max_total_tokens=60, max_tokens=10))
    machine.meter.prompt_length = 8
    assert {one.max_tokens for one in opened(machine).expansions} == {7}  # (60 - 4 * 8) / 4
