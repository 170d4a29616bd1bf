"""Beams in the original's form, there and back."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trio_beam import Beam, Continuation, Token
from trio_beam.compat.text_beam import (
    Prefix,
    TextBeam,
    beam_of_prefix,
    extend,
    full,
    text_beam,
)


def block(*tokens: tuple[str, float, int], data: bytes, reason: str = "length") -> Continuation:
    made = tuple(Token(text, logprob, number) for text, logprob, number in tokens)
    return Continuation(tokens=made, data=data, finish_reason=reason)


FIRST = block((" caf", -0.5, 7), ("\ufffd", -0.25, 8), data=b" caf\xc3")
SECOND = block(("\ufffd", -0.125, 9), ("", -1.0, 2), data=b"\xa9", reason="stop")


def test_a_beam_is_the_five_parts_and_keeps_its_ids() -> None:
    beam = Beam().extend(FIRST)
    made = text_beam(beam, 2.0)
    assert made == (" caf\ufffd", [" caf", "\ufffd"], [-0.5, -0.25], [-1.0, -0.5], False)
    assert made.beam is beam
    assert made.logprob == -0.75
    assert made.score == -math.inf
    assert text_beam(made, 2.0) is made


def test_a_character_may_be_cut_between_a_beam_and_a_sample() -> None:
    whole = extend(text_beam(Beam().extend(FIRST), 2.0), text_beam(Beam().extend(SECOND), 2.0))
    assert whole.text == " café"
    assert whole.log_target == [-1.0, -0.5, -0.25, -2.0]
    assert whole.finished
    assert whole.beam is not None
    assert [token.id for token in whole.beam.tokens] == [7, 8, 9, 2]
    assert whole.beam.exact


def test_other_peoples_tuples_become_text() -> None:
    made = text_beam((" yes", [" y", "es"], [-1.0, -2.0], [-3.0, -4.0], True), 1.0)
    assert made.log_target == [-3.0, -4.0]
    assert made.beam is not None
    assert (made.beam.text, made.beam.length, made.beam.logprob) == (" yes", 2, -3.0)
    assert made.beam.finished
    assert not made.beam.exact


def test_a_changed_copy_has_no_beam_and_gets_one() -> None:
    made = text_beam(Beam().extend(FIRST), 1.0)
    changed = made._replace(text=" tea")
    assert changed.beam is None
    again = text_beam(changed, 1.0)
    assert again.beam is not None
    assert again.beam.text == " tea"


@pytest.mark.parametrize("given", [("", [], [], [], False), Beam(), ["", [], [], [], False]])
def test_the_empty_beam_is_empty(given: object) -> None:
    made: Any = text_beam(given, 1.0)
    assert made == ("", [], [], [], False)
    assert made.beam is not None
    assert made.beam.continuation is None


def test_a_text_without_tokens_can_go_on() -> None:
    made = text_beam(("And so", [], [], [], False), 1.0)
    assert made.beam is not None
    assert not made.beam.ended
    more = extend(text_beam(("Well", [], [], [], False), 1.0), made)
    assert more.text == "WellAnd so"
    assert more.beam is not None
    assert not more.beam.ended


def test_an_empty_sample_leaves_the_beam_as_it_is() -> None:
    beam = text_beam(Beam().extend(FIRST), 1.0)
    same: Any = extend(beam, text_beam(("", [], [], [], False), 1.0))
    assert same == beam
    assert same.beam is beam.beam


def test_a_full_beam_has_ended_and_is_not_finished() -> None:
    made = full(text_beam(Beam().extend(FIRST), 1.0))
    assert not made.finished
    assert made.beam is not None
    assert made.beam.ended


def test_unequal_lists_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2"):
        text_beam((" a b", [" a", " b"], [-1.0], [-1.0], False), 1.0)


def test_what_is_no_beam_is_refused() -> None:
    with pytest.raises(AttributeError, match="text"):
        text_beam(7, 1.0)


def test_a_prefix_is_a_string_that_knows_its_beam() -> None:
    beam = text_beam(Beam().extend(FIRST), 1.0)
    prefix = Prefix.of(beam, 5)
    assert prefix == beam.text
    assert isinstance(prefix, str)
    assert prefix.seed == 5
    assert beam_of_prefix(prefix) is beam.beam
    assert beam_of_prefix(prefix + " more").text == beam.text + " more"
    assert beam_of_prefix("").continuation is None


def test_attributes_have_defaults() -> None:
    made = TextBeam("", [], [], [], False)
    assert (made.beam, made.max_tokens, made.seed) == (None, None, None)
