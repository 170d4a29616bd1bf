"""What is settled is never taken back, whatever the strategy, the texts and their cuts."""

from __future__ import annotations

import random
from typing import Any, Literal

import pytest
import trio

from tests.core.builders import block, bytes_block, chain
from tests.gateway.nasty_model import STOP_STRINGS, NastyModel
from trio_beam import Beam, Event, RoundFinished, RoundStarted, SearchFailed, search_within
from trio_beam.core.block import STOP
from trio_beam.gateway.settled import Parts, Settling
from trio_beam.strategies import STRATEGIES, make_strategy

#: Besides each strategy's defaults.
MORE: list[tuple[str, dict[str, Any]]] = [
    ("beam_search", {"beam_width": 3, "early_stopping": False}),
    ("beam_search", {"selection": "subtrees", "beam_width": 3}),
    ("beam_search", {"selection": "resample", "beam_width": 4, "n_per_beam": 2}),
    ("beam_search", {"selection": "resample", "beam_width": 4, "moves": 2}),
    ("beam_search", {"block": "steps", "beam_width": 3, "deduplicate": False}),
    ("beam_search", {"beam_width": 1, "n_per_beam": 1}),
    ("beam_search", {"answer": "vote", "beam_width": 4, "early_stopping": False}),
    ("power_sampling", {"particles": 4, "lookahead_tokens": 3, "lookahead_rollouts": 2}),
]
CASES = [*((name, {}) for name in STRATEGIES.names()), *MORE]


def word(case: object) -> str:
    return str(case).replace(" ", "")


@pytest.mark.parametrize(("name", "given"), CASES, ids=word)
async def test_it_is_never_taken_back(
    name: str, given: dict[str, Any], autojump_clock: trio.abc.Clock
) -> None:
    early = 0
    for seed in range(30):
        early += await settles(name, given, seed)
    moves = given.get("moves", 0) > 0  # which change what was sampled
    blocks = make_strategy(name, given).rounds > 1 and name != "mcmc" and not moves
    assert (early > 0) == blocks  # those of a single block settle at the end


async def settles(name: str, given: dict[str, Any], seed: int) -> bool:
    """Whether a random search settled something before its end; fails if it took something back."""
    source = random.Random(seed)
    apart: Literal["first", "always", "never"] = source.choice(["never", "never", "first"])
    model = NastyModel(seed, apart, failing=source.choice([0, 0.1]), latency=1.0)
    blocks = {"tokens_per_step": source.randint(2, 6)}
    if name in ("greedy", "sample", "best_of_n", "self_consistency"):
        blocks = {}  # of a single block
    values = {
        "max_tokens": 30,
        "stop": source.choice([(), STOP_STRINGS]),
        "reasoning": source.choice(["auto", "opened", "off"]),
        "on_beam_failure": source.choice(["cancel_siblings", "drop_beam"]),
        "seed": seed,
        **blocks,
        **given,
    }
    if name == "beam_search" and not given and values["reasoning"] != "off":
        values["reasoning_budget"] = source.choice([None, 5])
    strategy = make_strategy(name, values)
    settling = Settling(strategy.stop)
    seen = [Parts()]
    early = []

    def watch(event: Event) -> None:
        early.append(isinstance(event, RoundStarted) and any(settling.parts))
        settling(event)
        now = settling.parts
        assert now.reasoning.startswith(seen[-1].reasoning)
        assert now.content.startswith(seen[-1].content)
        seen.append(now)

    seconds = source.choice([3.0, 1e6])
    try:
        result = await search_within(seconds, model, "a", strategy, observers=[watch])
    except SearchFailed as failed:
        result = failed.partial
    for beam in result.beams:
        final = settling.final(beam)
        assert final.reasoning.startswith(settling.parts.reasoning), (final, settling.parts)
        assert final.content.startswith(settling.parts.content), (final, settling.parts)
        assert beam.full_text.endswith(final.content)
    return any(early)


def living(*beams: Beam) -> RoundFinished:
    return RoundFinished(
        round=1,
        rounds=9,
        candidates=2,
        active=2,
        ended=0,
        best_score=0.0,
        completion_tokens=2,
        living=beams,
    )


def settled(*beams: Beam, stop: tuple[str, ...] = ()) -> Parts:
    settling = Settling(stop)
    settling(living(*beams))
    return settling.parts


def text(*pieces: str, reason: str = "length") -> Beam:
    *first, last = [block(piece) for piece in pieces[:-1]] + [block(pieces[-1], reason=reason)]
    return chain([*first, last])


@pytest.mark.parametrize(
    ("beams", "wanted"),
    [
        ([text("The cat"), text("The dog")], Parts("", "The ")),
        ([text("The", " cat"), text("The cat sat")], Parts("", "The cat")),
        ([text("A"), text("B")], Parts()),
        ([text("The cat"), text("", reason=STOP)], Parts()),
        ([text("<th"), text("<think>a")], Parts()),
        ([text("<think>Let me "), text("<think>Let us")], Parts("Let ")),
        ([text("<think>ab</thi"), text("<think>ab c")], Parts("ab")),
        ([text("<think>a</think>\n\nYes"), text("<think>a</think>Yes, it")], Parts("a", "Yes")),
        ([text("<think>a</think>Yes"), text("<think>b</think>Yes")], Parts()),
        ([text("<think>a</think>Yes"), text("<think>a")], Parts("a")),
        ([text("Yes, END of"), text("Yes, EN")], Parts("", "Yes, ")),
        ([text("Yes, EN", reason=STOP), text("Yes, EN")], Parts("", "Yes, ")),
        ([chain([bytes_block(b"ab\xe2\x97")])], Parts("", "ab")),
    ],
)
def test_what_is_settled(beams: list[Beam], wanted: Parts) -> None:
    assert settled(*beams, stop=("END",)) == wanted


def test_an_answer_that_was_settled_stays_one_although_a_lone_closing_tag_comes() -> None:
    settling = Settling(())
    settling(living(text("Okay, so"), text("Okay, then")))
    assert settling.parts == Parts("", "Okay, ")
    end = text("Okay, so", "</think>42", reason=STOP)
    settling(living(end))
    assert settling.parts == settling.final(end) == Parts("", "Okay, so</think>42")


def test_a_lone_closing_tag_in_time_is_thinking() -> None:
    end = text("Okay, so</think>42", reason=STOP)
    assert Settling(()).final(end) == Parts("Okay, so", "42")
