"""How probable tokens were at another temperature, from what a server shows of the vocabulary."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.core.builders import block_of
from trio_beam.core.block import Token
from trio_beam.dialects.common.temperature import estimated, log_q, reported
from trio_beam.errors import LogprobsUnavailable

TEMPERATURES = st.floats(0.1, 4)
LOGITS = st.lists(st.floats(-12, 12), min_size=2, max_size=40)


def softmax(logits: list[float]) -> list[float]:
    highest = max(logits)
    total = highest + math.log(math.fsum(math.exp(value - highest) for value in logits))
    return [value - total for value in logits]


def shown(logprobs: list[float], sampled: int, count: int) -> Token:
    """The token as a server shows it, beside the most probable ones."""
    best = sorted(range(len(logprobs)), key=lambda number: -logprobs[number])[:count]
    top = tuple(Token(str(number), logprobs[number], number) for number in best)
    return Token(str(sampled), logprobs[sampled], sampled, top=top)


@given(LOGITS, TEMPERATURES, st.data())
def test_with_the_whole_vocabulary_it_is_exact(
    logits: list[float], temperature: float, data: Any
) -> None:
    logprobs = softmax(logits)
    tempered = softmax([value / temperature for value in logprobs])
    sampled = data.draw(st.sampled_from(range(len(logits))))
    found = log_q(shown(logprobs, sampled, len(logits)), temperature)
    assert found == pytest.approx(tempered[sampled], abs=1e-6)


@given(LOGITS, TEMPERATURES, st.integers(1, 10), st.data())
def test_with_a_part_of_it_the_truth_is_within_the_bounds(
    logits: list[float], temperature: float, count: int, data: Any
) -> None:
    logprobs = softmax(logits)
    truth = softmax([value / temperature for value in logprobs])
    sampled = data.draw(st.sampled_from(range(len(logits))))
    token = shown(logprobs, sampled, count)
    seen = {one.id for one in token.top} | {sampled}
    assume(len(seen) < len(logits))
    found = log_q(token, temperature)
    power = 1 / temperature
    known = math.fsum(math.exp(power * logprobs[number]) for number in seen if number is not None)
    rest = 1 - math.fsum(math.exp(logprobs[number]) for number in seen if number is not None)
    # A sampled token that is not listed may be less probable than hidden ones.
    least = min(one.logprob for one in token.top)
    hidden = rest * math.exp((power - 1) * least)
    mine = power * logprobs[sampled]
    assume(known > 1e-300)
    bounds = sorted((mine - math.log(known), mine - math.log(known + hidden)))
    if temperature < 1:
        assert bounds[0] - 1e-6 <= truth[sampled] <= bounds[1] + 1e-6
        assert bounds[0] - 1e-6 <= found <= bounds[1] + 1e-6
    else:
        assert found <= bounds[0] + 1e-6  # the hidden part is at least so large
        assert truth[sampled] <= bounds[0] + 1e-6 or logprobs[sampled] < least


@given(LOGITS, st.floats(-1e-6, 1e-6), st.integers(1, 10), st.data())
def test_at_temperature_1_there_is_no_jump(
    logits: list[float], change: float, count: int, data: Any
) -> None:
    logprobs = softmax(logits)
    sampled = data.draw(st.sampled_from(range(len(logits))))
    found = log_q(shown(logprobs, sampled, count), 1 + change)
    assert found == pytest.approx(logprobs[sampled], abs=1e-3)


#: Root mean square error of log q in nats, rounded up, in the contexts of `distributions.json`, which
#: scripts/measure_temperatures.py has recorded. docs/search.md has this table.
ERRORS = {
    "embedded": {0.25: 0.001, 0.5: 0.014, 0.8: 0.03, 0.99: 0.003, 1.2: 0.07, 1.5: 0.25, 2.0: 0.6},
    "gemma3-270m-q4_k_m": {
        0.25: 0.002,
        0.5: 0.004,
        0.8: 0.02,
        0.99: 0.003,
        1.2: 0.08,
        1.5: 0.26,
        2.0: 0.6,
    },
}


@pytest.mark.parametrize("model", ERRORS)
def test_the_error_on_whole_distributions_of_real_models_is_what_the_docs_say(model: str) -> None:
    rows = json.loads((Path(__file__).parent / "distributions.json").read_text())[model]
    for temperature, expected in ERRORS[model].items():
        squares = []
        for row in rows:
            top = tuple(Token(str(rank), value, rank) for rank, value in enumerate(row["top"]))
            found = log_q(Token("0", top[0].logprob, 0, top=top), temperature)
            truth = top[0].logprob / temperature - row["log_z"][str(temperature)]
            squares.append((found - truth) ** 2)
        error = math.sqrt(math.fsum(squares) / len(squares))
        assert expected / 2 < error <= expected, (temperature, error)


def test_alternatives_without_ids_are_told_apart_by_their_bytes() -> None:
    """vLLM gives the sampled token an id, and its alternatives none."""
    logprobs = softmax([2.0, 1.0, 0.0])
    token = shown(logprobs, 0, 3)
    bare = token._replace(top=tuple(one._replace(id=None) for one in token.top))
    assert log_q(bare, 0.5) == pytest.approx(log_q(token, 0.5))


def test_a_sampled_token_less_probable_than_hidden_ones_bounds_nothing() -> None:
    logprobs = softmax([5.0, *[0.0] * 50, -20.0])
    token = shown(logprobs, 51, 1)
    truth = softmax([value / 0.5 for value in logprobs])[51]
    assert log_q(token, 0.5) == pytest.approx(truth, abs=1.0)


@pytest.mark.parametrize("temperature", [0.5, 1.5])
def test_a_number_that_stands_for_none_is_none(temperature: float) -> None:
    with pytest.raises(LogprobsUnavailable):
        log_q(Token("a", -9999.0, top=(Token("b", -0.1),)), temperature)


def test_no_alternatives_are_no_answer() -> None:
    with pytest.raises(LogprobsUnavailable, match="no alternatives"):
        log_q(Token("a", -1.0), 0.5)


def tokens() -> list[Token]:
    logprobs = softmax([2.0, 1.0, 0.0])
    return [shown(logprobs, number, 3) for number in (0, 1, 2)]


def test_an_estimated_block_is_inexact_and_shows_what_was_asked_for() -> None:
    block = estimated(block_of(tokens()), 0.5, 1)
    assert not block.exact
    assert [len(token.top) for token in block.tokens] == [1, 1, 1]
    assert block.proposal == [log_q(token, 0.5) for token in tokens()]


@pytest.mark.parametrize(
    ("ids", "probabilities", "taken"),
    [
        ([0, 1, 2], [0.5, 0.25, 0.125], 3),
        ([0, 2, 2], [0.5, 0.25, 0.125], 1),
        ([0, 1], [0.5, 0.25], 2),
        ([0, 1, 2], [0.5, 0.0, 0.125], 2),
        ([0, 1, 2], [0.5, 0.25], 0),
        ([], [], 0),
    ],
)
def test_what_was_reported_counts_as_far_as_the_tokens_are_the_same(
    ids: list[int], probabilities: list[float], taken: int
) -> None:
    values, whole = reported(block_of(tokens()), ids, probabilities, 0.5)
    assert whole == (taken == 3)
    said = [value for value in values if value in {math.log(p) for p in probabilities if p}]
    assert len(said) == taken
    other = [value for value in values if value not in said]
    assert set(other) <= {log_q(token, 0.5) for token in tokens()}
