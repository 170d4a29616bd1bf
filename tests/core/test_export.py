"""A result as plain data."""

from __future__ import annotations

import json

import attrs

from tests.core.builders import answer, block, block_of, failed, opened
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.block import Token
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.export import result_to_dict
from trio_beam.core.result import SearchResult
from trio_beam.errors import RateLimited

CONFIG = BeamSearchConfig(tokens_per_step=2, max_tokens=4, on_beam_failure="drop_beam")


def result() -> SearchResult:
    state = BeamSearchMachine(CONFIG)
    opened(state)
    shown = Token("é", -1.0, id=7, bytes="é".encode(), top=(Token("e", -0.5),))
    state.receive(answer(0, block_of([shown], "stop"), block("b", logprob=-2.0)))
    opened(state)
    state.receive(failed(0, RateLimited("slow down", url="http://host/v1", attempts=4)))
    return state.result("deadline")


def test_it_has_every_field_of_the_result() -> None:
    fields = {field.name for field in attrs.fields(SearchResult)}
    assert set(result_to_dict(result())) == fields | {"effective_answers"}


def test_it_goes_through_json_unchanged() -> None:
    plain = result_to_dict(result())
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_its_beams_and_tokens() -> None:
    best = result_to_dict(result())["beams"][0]
    assert (best["text"], best["finished"], best["finish_reason"]) == ("é", True, "stop")
    assert best["tokens"] == [
        {
            "text": "é",
            "logprob": -1.0,
            "id": 7,
            "bytes": [0xC3, 0xA9],
            "top": [{"text": "e", "logprob": -0.5, "id": None, "bytes": None}],
        }
    ]


def test_its_failures() -> None:
    assert result_to_dict(result())["failures"] == [
        {
            "round": 2,
            "beam": "b",
            "error": "RateLimited",
            "message": "http://host/v1: slow down (after 4 attempts)",
            "attempts": 4,
        }
    ]


def test_a_score_of_minus_infinity_becomes_nothing() -> None:
    # JSON has no infinity.
    plain = result_to_dict(BeamSearchMachine(CONFIG).result("deadline"))
    assert (plain["score"], plain["text"], plain["beams"]) == (None, "", [])

    state = BeamSearchMachine(CONFIG)
    opened(state)
    state.receive(answer(0, block(reason="stop")))
    assert [beam["score"] for beam in result_to_dict(state.result("deadline"))["beams"]] == [None]


def test_confidence_is_shown_where_there_is_any() -> None:
    plain = result().beams[0]
    assert "confidence" not in result_to_dict(result())["beams"][0]
    beam = plain.replace(confidence=1.5, confident=False)
    shown = result_to_dict(attrs.evolve(result(), beams=(beam,)))["beams"][0]
    assert (shown["confidence"], shown["confident"]) == (1.5, False)
