"""Scorers of one's own: functions, coroutine functions, and what goes wrong with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock

from trio_beam import (
    Beam,
    BeamSearchConfig,
    ConfigError,
    SampleRequest,
    ScorerError,
    SearchFailed,
    ServerError,
    beam_search,
    beam_search_within,
)
from trio_beam.testing import FakeEndpoint

CONFIG = BeamSearchConfig(
    beam_width=2, n_per_beam=3, tokens_per_step=2, max_tokens=6, seed=1, early_stopping=False
)


def cats(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    return [beam.text.count(" cat") - beam.length / 100 for beam in beams]


async def slow_cats(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    await trio.sleep(10)
    return cats(beams, config)


async def search(scorer: Any, **changes: Any) -> Any:
    return await beam_search(FakeEndpoint(), "p", attrs.evolve(CONFIG, scorer=scorer, **changes))


async def test_a_function_decides_what_is_best(autojump_clock: MockClock) -> None:
    usual = await search("power")
    result = await search(cats)
    assert result.text.count(" cat") > usual.text.count(" cat")
    assert result.score == cats(result.beams, CONFIG)[0]
    assert [beam.score for beam in result.beams] == sorted(
        (beam.score for beam in result.beams), reverse=True
    )


async def test_a_coroutine_function_is_awaited_once_a_round(autojump_clock: MockClock) -> None:
    now, later = await search(cats), await search(slow_cats)
    assert trio.current_time() == 3 * 10
    assert later.text == now.text
    assert later.score == now.score
    assert later.usage == now.usage


async def test_all_candidates_of_a_round_are_scored_at_once(autojump_clock: MockClock) -> None:
    seen: list[int] = []

    async def count(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        seen.append(len(beams))
        return [0.0 for _ in beams]

    await search(count, deduplicate=False)
    assert seen[0] == 6
    assert len(seen) == 3


async def test_the_mean_log_probability_favours_no_length() -> None:
    result = await search("mean_logprob")
    for beam in result.beams:
        assert beam.score == pytest.approx(beam.logprob / beam.length)


@pytest.mark.parametrize("in_round", [1, 2])
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (lambda beams: [0.0], "returned 1 scores for 6 candidates"),
        (lambda beams: [math.nan] * len(beams), "returned a score that is not a number"),
        (lambda beams: 7, "did not return a sequence of numbers"),
        (lambda beams: ["x"] * len(beams), "did not return a sequence of numbers"),
        (lambda beams: 1 / 0, "failed: ZeroDivisionError"),
    ],
)
@pytest.mark.parametrize("waits", [False, True])
async def test_a_scorer_that_fails_is_named_and_nothing_is_lost(
    in_round: int, bad: Any, words: str, waits: bool, autojump_clock: MockClock
) -> None:
    rounds = 0

    def picky(beams: Sequence[Beam], config: BeamSearchConfig) -> Any:
        nonlocal rounds
        rounds += 1
        return bad(beams) if rounds == in_round else [0.0 for _ in beams]

    async def picky_later(beams: Sequence[Beam], config: BeamSearchConfig) -> Any:
        await trio.sleep(1)
        return picky(beams, config)

    with pytest.raises(SearchFailed, match=words) as caught:
        await search(picky_later if waits else picky, deduplicate=False)
    (cause,) = caught.value.__cause__.exceptions  # type: ignore[union-attr]
    assert isinstance(cause, ScorerError)
    assert cause.scorer == ("picky_later" if waits else "picky")
    partial = caught.value.partial
    assert partial.rounds == in_round - 1
    assert partial.beams
    assert (partial.score == -math.inf) == (in_round == 1)
    assert partial.usage.completion_tokens > 0


async def test_a_deadline_while_a_scorer_waits_gives_the_best_so_far(
    autojump_clock: MockClock,
) -> None:
    config = attrs.evolve(CONFIG, scorer=slow_cats)
    result = await beam_search_within(15, FakeEndpoint(), "p", config)
    assert trio.current_time() == 15
    assert (result.stop_reason, result.rounds) == ("deadline", 1)
    assert result.beams[0].length == 2


async def test_a_cancelled_scorer_is_cancelled(autojump_clock: MockClock) -> None:
    cancelled = False

    async def hangs(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        nonlocal cancelled
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled = True
            raise

    with trio.move_on_after(5) as scope:
        await search(hangs)
    assert scope.cancelled_caught
    assert cancelled


def test_a_bound_is_only_known_of_power() -> None:
    with pytest.raises(ConfigError, match="early_stopping must be True or False"):
        attrs.evolve(CONFIG, scorer=cats, early_stopping="bound")


async def test_a_scorer_that_needs_all_candidates_hides_no_failure(
    autojump_clock: MockClock,
) -> None:
    def picky(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        if len(beams) < 6:
            raise ZeroDivisionError
        return [0.0 for _ in beams]

    async def one_fails(request: SampleRequest) -> None:
        if request.beam.length and not model.failed:
            model.failed = True
            await trio.sleep(1)
            raise ServerError("broken", status=500)

    class Model(FakeEndpoint):
        failed = False

    model = Model(before=one_fails)
    config = attrs.evolve(CONFIG, scorer=picky, deduplicate=False)
    with pytest.raises(SearchFailed, match="broken") as caught:
        await beam_search(model, "p", config)
    assert caught.value.partial.beams
