"""A budget for thinking: its end is forced, the forced tokens are marked and not scored."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from hypothesis import assume, given
from hypothesis import strategies as st
from trio.testing import MockClock

from tests.core.thinker import Thinker, sampled, words_of
from trio_beam import BeamSearchConfig, McmcConfig, SearchFailed, Steps, search
from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, STOP, Continuation, Token, forced_token
from trio_beam.core.events import BeamExpanded
from trio_beam.core.export import result_to_dict
from trio_beam.core.thinking_budget import end_thinking, forced_end, thinking_room
from trio_beam.errors import BudgetExhausted, ConfigError, ServerError
from trio_beam.strategies import (
    best_of_n,
    greedy,
    make_strategy,
    power_sampling,
    sample,
    self_consistency,
)
from trio_beam.testing import FakeEndpoint, Reply, ScriptedModel

CLOSING = "\n</think>\n\n"
ANSWER = " 42."


def by_length(beams: Any, config: BeamSearchConfig) -> list[float]:
    return [float(len(beam.text)) for beam in beams]


STRATEGIES = {
    "beam_search": lambda **more: BeamSearchConfig(tokens_per_step=4, **more),
    "one_block": lambda **more: BeamSearchConfig(tokens_per_step=40, **more),
    "one_token": lambda **more: BeamSearchConfig(tokens_per_step=1, **more),
    "subtrees": lambda **more: BeamSearchConfig(tokens_per_step=4, selection="subtrees", **more),
    "steps": lambda **more: BeamSearchConfig(tokens_per_step=9, block=Steps("2"), **more),
    "scorer": lambda **more: BeamSearchConfig(tokens_per_step=4, scorer=by_length, **more),
    "best_of_n": lambda **more: best_of_n(3, **more),
    "self_consistency": lambda **more: self_consistency(3, r"\d+", **more),
    "power_sampling": lambda **more: power_sampling(4, tokens_per_step=4, **more),
    "greedy": greedy,
    "sample": sample,
}


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("opening", [(), ("<think>",), ("<", "think", ">")])
async def test_every_strategy_ends_thinking_at_the_budget(
    name: str, opening: tuple[str, ...], autojump_clock: MockClock
) -> None:
    model = Thinker(opening)
    strategy = STRATEGIES[name](reasoning_budget=7, max_tokens=40, seed=1)
    events: list[Any] = []
    result = await search(model, "How many?", strategy, observers=[events.append])
    assert result.stop_reason == "finished"
    assert set(model.forced) == {CLOSING}
    for beam in result.beams:
        assert (beam.text, beam.finished, beam.unanswered) == (ANSWER, True, False)
        assert (words_of(beam), beam.forced) == (7 - len(opening), 2)
        assert beam.length == beam.sampled_length + 2
        # Nothing was generated in vain: the blocks end where the budget does.
        assert beam.sampled_length == 7 + 4
    assert result.exact
    assert sum(event.forced for event in events if isinstance(event, BeamExpanded)) > 0
    assert result.usage.discarded_tokens == 0 or name == "steps"
    if name == "self_consistency":
        assert result.votes == (("42", 1.0),)


async def test_forced_tokens_are_marked_and_not_scored(autojump_clock: MockClock) -> None:
    strategy = BeamSearchConfig(tokens_per_step=40, max_tokens=40, reasoning_budget=5)
    result = await search(Thinker(), "How many?", strategy)
    beam = result.beams[0]
    forced = [token for token in beam.tokens if token.forced]
    assert [(token.id, token.logprob, token.top) for token in forced] == [
        (900, 0.0, ()),
        (901, 0.0, ()),
    ]
    assert "".join(token.text for token in forced) == CLOSING
    assert beam.logprob == sum(token.logprob for token in sampled(beam)) == -5 - 4 * 0.5
    assert beam.score == pytest.approx(4 * beam.logprob / 9**0.6)
    shown = result_to_dict(result)["beams"][0]
    assert shown["forced_tokens"] == 2
    assert [token["logprob"] for token in shown["tokens"] if token.get("forced")] == [None, None]


async def test_mean_logprob_divides_by_the_sampled_tokens(autojump_clock: MockClock) -> None:
    strategy = best_of_n(2, scorer="mean_logprob", max_tokens=40, reasoning_budget=5)
    result = await search(Thinker(), "How many?", strategy)
    assert result.score == pytest.approx((-5 - 4 * 0.5) / 9)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
async def test_forced_tokens_change_no_weight(
    temperature: float, autojump_clock: MockClock
) -> None:
    class Weighted(Thinker):
        """Its samples are as probable at any temperature."""

        def _block(self, request: Any, sample: int) -> Continuation:
            block = Thinker._block(self, request, sample)
            values = [token.logprob for token in block.tokens]
            object.__setattr__(block, "proposal", values if request.proposal_logprobs else None)
            return block

    strategy = power_sampling(
        4,
        2.0,
        tokens_per_step=4,
        max_tokens=40,
        reasoning_budget=6,
        proposal_temperature=temperature,
        seed=3,
    )
    result = await search(Weighted(), "How many?", strategy)
    for beam in result.beams:
        logprob = -6 - 4 * 0.5
        assert beam.log_weight == pytest.approx((2.0 - 1.0) * logprob)
        assert beam.weight == pytest.approx(1 / len(result.beams))
    assert result.log_evidence == pytest.approx(logprob)


async def test_thinking_that_ends_by_itself_is_left_alone(autojump_clock: MockClock) -> None:
    model = Thinker(closes_after=5)
    result = await search(model, "How many?", best_of_n(2, max_tokens=40, reasoning_budget=9))
    assert [(beam.text, words_of(beam), beam.forced) for beam in result.beams] == [
        (ANSWER, 5, 0),
        (ANSWER, 5, 0),
    ]
    assert not model.forced


async def test_without_log_probabilities_the_ids_are_enough(autojump_clock: MockClock) -> None:
    model = Thinker(shows_tokens=False)
    strategy = self_consistency(2, max_tokens=40, reasoning_budget=5)
    result = await search(model, "How many?", strategy)
    beam = result.beams[0]
    assert (beam.text, beam.forced, beam.logprob, beam.exact) == (ANSWER, 2, None, True)
    blocks = [one.continuation for one in beam.lineage() if one.continuation is not None]
    assert [key for block in blocks for key in block.keys][5:7] == [900, 901]
    assert not any(request.shows_tokens for request in model.requests)


async def test_a_model_without_ids_gets_the_text(autojump_clock: MockClock) -> None:
    pieces = ("<think>", " a", " b", " c", CLOSING, "the", " answer")
    model = ScriptedModel([Reply(tokens=[Token(piece, -1.0) for piece in pieces])])
    strategy = sample(max_tokens=20, reasoning_budget=4, scorer="equal")
    result = await search(model, "How many?", strategy)
    assert (result.text, result.beams[0].reasoning) == ("the answer", "a b c")


async def test_next_tokens_that_are_enumerated(autojump_clock: MockClock) -> None:
    strategy = BeamSearchConfig(
        proposal="enumerate",
        tokens_per_step=1,
        reasoning="opened",
        reasoning_budget=3,
        max_tokens=6,
        early_stopping=False,
    )
    result = await search(FakeEndpoint(), "How many?", strategy)
    assert all(len(beam.reasoning.split()) <= 3 for beam in result.beams)
    forced = [beam for beam in result.beams if beam.forced]
    assert forced
    for beam in forced:
        assert [token.forced for token in beam.tokens[:5]] == [False] * 3 + [True, False]
        assert beam.logprob == pytest.approx(sum(token.logprob for token in sampled(beam)))


async def test_without_a_request_left_for_its_end_the_thinking_is_kept(
    autojump_clock: MockClock,
) -> None:
    class Poor(Thinker):
        """Its budget is used up when the tokens of the closing tag are asked for."""

        async def force(self, text: str, context: Any) -> list[Token]:
            await Thinker.force(self, text, context)
            raise BudgetExhausted

    strategy = best_of_n(2, max_tokens=40, reasoning_budget=5)
    result = await search(Poor(), "How many?", strategy)
    assert result.stop_reason == "budget"
    assert [(words_of(beam), beam.unanswered) for beam in result.beams] == [(5, True)] * 2


async def test_a_failed_request_for_its_end_is_a_failure_of_the_beam(
    autojump_clock: MockClock,
) -> None:
    class Broken(Thinker):
        """It cannot say which tokens close the thinking."""

        async def force(self, text: str, context: Any) -> list[Token]:
            await Thinker.force(self, text, context)
            raise ServerError("broken", status=500)

    with pytest.raises(SearchFailed, match="broken"):
        await search(Broken(), "How many?", best_of_n(2, max_tokens=40, reasoning_budget=5))


async def test_a_request_for_its_end_that_hangs_ends_at_the_beams_timeout(
    autojump_clock: MockClock,
) -> None:
    class Hanging(Thinker):
        """It never says which tokens close the thinking."""

        async def force(self, text: str, context: Any) -> list[Token]:
            await trio.sleep_forever()
            raise AssertionError

    strategy = best_of_n(2, max_tokens=40, reasoning_budget=5, beam_timeout=60)
    with pytest.raises(SearchFailed, match="60"):
        await search(Hanging(), "How many?", strategy)


def test_what_goes_together_badly() -> None:
    for bad in (0, -1, 2.0, True, "3"):
        with pytest.raises(ConfigError, match="reasoning_budget"):
            BeamSearchConfig(reasoning_budget=bad)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"below max_tokens \(10\)"):
        BeamSearchConfig(max_tokens=10, reasoning_budget=10)
    with pytest.raises(ConfigError, match="reasoning='off'"):
        BeamSearchConfig(reasoning="off", reasoning_budget=10)
    with pytest.raises(ConfigError, match="chains"):
        McmcConfig(reasoning_budget=10)
    made = make_strategy("self_consistency", {"reasoning_budget": 10, "max_tokens": 20})
    assert (made.reasoning_budget, made.rounds, made.several_blocks) == (10, 2, False)


# -- where a block ends


def words(*texts: str, reason: str = LENGTH, start: int = 0) -> Continuation:
    tokens = tuple(Token(text, -1.0, start + place) for place, text in enumerate(texts))
    data = b"".join(token.data for token in tokens)
    return Continuation(tokens=tokens, data=data, finish_reason=reason)


@given(
    size=st.integers(1, 9),
    budget=st.integers(1, 12),
    tag=st.sampled_from([(), ("<think>",), ("<th", "ink>")]),
    words_of_thinking=st.lists(st.sampled_from([" a", " é", "\n\n", " <", " b>"]), max_size=14),
)
def test_blocks_of_any_length_end_at_the_same_token(
    size: int, budget: int, tag: tuple[str, ...], words_of_thinking: list[str]
) -> None:
    """Whatever the blocks, the thinking ends after `budget` tokens, unless the model ends it before.

    Where the opening tag alone is longer and nothing follows it, the model's own end may come first.
    """
    assume(words_of_thinking or budget >= len(tag))
    whole = [*tag, *words_of_thinking, "</think>", "9"]
    beam = Beam(thinking="auto" if tag else "opened")
    place = 0
    while place < len(whole) and not beam.forced:
        room = thinking_room(beam, budget)
        block = words(*whole[place : place + min(size, room or size)], start=place)
        end = forced_end(beam, block, budget, CLOSING)
        if end is not None:
            block = end_thinking(block, end.kept, [forced_token(end.closing, 99)])
        beam = beam.extend(block)
        place += block.sampled
    thought = len(tag) + len(words_of_thinking)
    if thought < budget:
        assert beam.full_text == "".join(whole)
    else:
        kept = max(budget, len(tag))  # no tag is cut
        assert beam.sampled_length == kept
        assert beam.full_text == "".join(whole[:kept]) + CLOSING
    assert beam.logprob == -float(beam.sampled_length)


def test_thinking_that_is_opened_anew_is_cut_inside_a_block() -> None:
    beam = Beam().extend(words("<think>", "a", "b", "</think>", "\n"))
    block = words("<think>", "c", "d", "e", "</think>", "9")
    end = forced_end(beam, block, 5, CLOSING)
    assert end == (3, CLOSING)
    cut = end_thinking(block, end.kept, [forced_token(CLOSING, 99)])
    assert (cut.sampled, cut.forced, cut.discarded, cut.generated) == (3, 1, 3, 6)
    assert cut.data.decode() == "<think>cd" + CLOSING
    assert list(cut.keys) == [0, 1, 2, 99]
    child = beam.extend(cut)
    assert (child.reasoning, child.text) == ("ab\ncd", "")
    # In time, it is left alone.
    assert forced_end(beam, block, 6, CLOSING) is None


def test_a_model_that_ends_its_text_in_its_thinking_is_asked_for_the_answer() -> None:
    block = attrs_stop(words("<think>", "a", "b"))
    end = forced_end(Beam(), block, 3, CLOSING)
    assert end == (3, CLOSING)
    ended = end_thinking(block, end.kept, [forced_token(CLOSING)])
    assert (ended.finish_reason, ended.sampled, ended.discarded) == (LENGTH, 3, 1)
    assert forced_end(Beam(), block, 9, CLOSING) is None


def attrs_stop(block: Continuation) -> Continuation:
    tokens = (*block.tokens, Token("", -1.0, 7, b""))
    return Continuation(tokens=tokens, data=block.data, finish_reason=STOP)


def test_each_family_has_its_own_closing_tag() -> None:
    for opening, closing in [
        ("[THINK]", "[/THINK]"),
        ("<seed:think>", "\n</seed:think>\n\n"),
        (
            "<|channel|>analysis<|message|>",
            "<|end|><|start|>assistant<|channel|>final<|message|>",
        ),
    ]:
        end = forced_end(Beam(), words(opening, "a", "b"), 3, CLOSING)
        assert end == (3, closing)
        beam = Beam().extend(end_thinking(words(opening, "a", "b"), 3, [forced_token(end.closing)]))
        assert (beam.reasoning, beam.text, beam.unanswered) == ("ab", "", True)
        assert beam.extend(words("9")).text == "9"


def test_blocks_without_texts_of_tokens_are_counted_by_their_ids() -> None:
    block = Continuation(tokens=(), data=b"<think>abcd", keys=[1, 2, 3, 4], logprob=None)
    assert forced_end(Beam(), block, 5, CLOSING) is None
    end = forced_end(Beam(), block, 4, CLOSING)
    assert end is not None
    cut = end_thinking(block, end.kept, [forced_token(CLOSING, 9)])
    assert (list(cut.keys), cut.logprob, cut.tokens) == ([1, 2, 3, 4, 9], None, ())
    assert not math.isnan(Beam().extend(cut).length)
