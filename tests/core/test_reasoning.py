"""What is thinking and what is answer, in every shape, however the text was cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from trio_beam import BeamSearchConfig, search
from trio_beam.answers import Vote
from trio_beam.core import stop
from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, STOP, Continuation
from trio_beam.core.reasoning import Thinking, opening_tag, split
from trio_beam.testing import ScriptedModel

SHAPES = [
    ("<think>a</think>b", "a", "b"),
    ("\n<think>\na\n</think>\n\n  b\n", "a", "  b\n"),
    ("<THINK>a</Think>b", "a", "b"),
    ("<think></think>b", "", "b"),
    ("<think>a", "a", ""),
    ("<think>a</think>", "a", ""),
    ("a</think>b", "a", "b"),
    ("<think>a</think>\n<think>c</think>b", "a\nc", "b"),
    ("[THINK]a[/THINK]b", "a", "b"),
    ("◁think▷a◁/think▷b", "a", "b"),
    ("<seed:think>a</seed:think>b", "a", "b"),
    ("<|START_THINKING|>a<|END_THINKING|>b", "a", "b"),
    (
        "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b",
        "a",
        "b",
    ),
    ("<reasoning>a</reasoning>b", "a", "b"),
    # an answer about tags is no thinking
    ("b", "", "b"),
    ("  b", "", "  b"),
    ("Write <think>a</think> here", "", "Write <think>a</think> here"),
    ("x</reasoning>y", "", "x</reasoning>y"),
    ("<thinker>", "", "<thinker>"),
]


def beam_of(text: str, cuts: list[int], thinking: Thinking = "auto") -> Beam:
    """A beam in blocks that end at these bytes."""
    data = text.encode()
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    beam = Beam(thinking=thinking)
    for start, end in pairwise(places):
        beam = beam.extend(Continuation(tokens=(), data=data[start:end], keys=[start]))
    return beam


@pytest.mark.parametrize(("text", "reasoning", "answer"), SHAPES)
@given(cuts=st.lists(st.integers(0, 99), max_size=5))
def test_no_cut_changes_what_is_thinking(
    text: str, reasoning: str, answer: str, cuts: list[int]
) -> None:
    beam = beam_of(text, cuts)
    assert (beam.reasoning, beam.text, beam.full_text) == (reasoning, answer, text)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("a</think>b", "a", "b"),
        ("a</reasoning>b", "a", "b"),
        ("a", "a", ""),
        ("<think>a</think>b", "a", "b"),
    ],
)
def test_a_template_that_opens_the_thinking(text: str, reasoning: str, answer: str) -> None:
    beam = beam_of(text, [], "opened")
    assert (beam.reasoning, beam.text) == (reasoning, answer)


@given(text=st.text(), thinking=st.sampled_from(["auto", "opened", "off"]))
def test_any_text_is_split_within_its_bounds(text: str, thinking: Thinking) -> None:
    reasoning, start = split(text, thinking)
    assert 0 <= start <= len(text)
    assert len(reasoning) <= start
    if thinking == "off":
        assert (reasoning, start) == ("", 0)


@pytest.mark.parametrize(
    ("prompt", "opens"),
    [
        ("<|im_start|>assistant\n<think>\n", True),
        ("x<|START_THINKING|>", True),
        ("<think>a</think>\n", False),
        ("<think>\n\n</think>\n\n", False),
        ("Once", False),
    ],
)
def test_the_end_of_a_prompt_says_whether_it_opens_thinking(prompt: str, opens: bool) -> None:
    assert bool(opening_tag(prompt)) is opens


def test_an_answer_that_never_came() -> None:
    assert beam_of("<think>a", []).unanswered
    assert beam_of("<think>a</think>\n", []).unanswered
    assert not beam_of("<think>a</think>b", []).unanswered
    assert not beam_of("", []).unanswered  # nothing was thought: an empty answer
    apart = Beam().extend(Continuation(tokens=(), data=b"", keys=[1], reasoning="a"))
    assert (apart.unanswered, apart.reasoning, apart.text) == (True, "a", "")
    hidden = Beam().extend(Continuation(tokens=(), data=b"", keys=[1], reasoning=""))
    assert (hidden.unanswered, hidden.reasoning) == (True, "")


def test_no_answer_casts_no_vote() -> None:
    beams = [beam_of("<think>7", []), beam_of("<think>8", []), beam_of("<think>7</think>9", [])]
    order, votes = Vote().choose(beams)
    assert votes == (("9", 1.0),)
    assert order[0] is beams[2]
    assert Vote(r"\d").choose(beams[:2])[1] == ()


@given(cuts=st.lists(st.integers(0, 60), max_size=4))
def test_stop_strings_see_the_answer_only(cuts: list[int]) -> None:
    data = "<think>é END a</think>b é END c".encode()
    places = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
    beam = Beam()
    for start, end in pairwise(places):
        block = Continuation(tokens=(), data=data[start:end], keys=[start], finish_reason=LENGTH)
        beam = stop.extend(beam, block, ("END",))
        if beam.ended:
            break
    assert (beam.text, beam.reasoning, beam.finish_reason) == ("b é ", "é END a", STOP)


@pytest.mark.parametrize("selection", ["top_k", "subtrees"])
async def test_texts_that_ended_in_their_thinking_take_no_place_of_an_answer(
    selection: str, autojump_clock: MockClock
) -> None:
    """They are more probable, and as many as are kept."""
    thoughts = [("<think> a", -0.1), ("<think> b", -0.2)]
    answers = [("<think> c </think> 7 and so on", -9.0), ("<think> d </think> 8 and so on", -8.0)]
    model = ScriptedModel([*thoughts, *answers])
    strategy = BeamSearchConfig(selection=selection, tokens_per_step=3, max_tokens=20)
    result = await search(model, "How many?", strategy)
    assert result.text == " 8 and so on"
    assert result.stop_reason == "finished"
