"""A log-probability is at most 0; rounding may leave it a hair above, nothing else may."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.dialects.replay import ask, capture, encode, only
from tests.dialects.strategies import unhurried
from trio_beam.core.block import known
from trio_beam.errors import LogprobsUnavailable, MalformedResponse

if TYPE_CHECKING:
    from trio_beam.core.block import Continuation

#: For each shape of answer: where its second token's log-probability stands.
PLACES: dict[str, tuple[str | int, ...]] = {
    "vllm__completions_logprobs": ("choices", 0, "logprobs", "token_logprobs", 1),
    "xllamacpp__completions_logprobs": ("choices", 0, "logprobs", "content", 1, "logprob"),
    "vllm__chat_logprobs": ("choices", 0, "logprobs", "content", 1, "logprob"),
    "xllamacpp__native_completion": ("completion_probabilities", 1, "logprob"),
}
#: The same for its best alternative's.
TOP: dict[str, tuple[str | int, ...]] = {
    "vllm__completions_logprobs": ("choices", 0, "logprobs", "top_logprobs", 1, " the"),
    **{
        case: (*PLACES[case][:-1], "top_logprobs", 0, "logprob")
        for case in PLACES
        if case != "vllm__completions_logprobs"
    },
}


def _read(case: str, place: tuple[str | int, ...], value: float) -> Continuation:
    recorded = capture(case)
    answer: Any = recorded.answer()
    inner = answer
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return only(ask(recorded, encode(answer)).value)


@pytest.mark.parametrize("case", PLACES)
@unhurried(50)
@given(value=st.floats(-1000, 0) | st.sampled_from([-0.0, 0, -1]))
def test_any_number_that_is_not_above_0(case: str, value: float) -> None:
    continuation = _read(case, PLACES[case], value)
    assert continuation.tokens[1].logprob == value
    assert math.isfinite(known(continuation.logprob))


NONE = st.floats(-1e300, -1000, exclude_max=True) | st.sampled_from([-9999, -9999.0])


@pytest.mark.parametrize("case", TOP)
@unhurried(50)
@given(value=NONE)
def test_a_number_that_stands_for_none_is_bounded_by_the_alternatives(
    case: str, value: float
) -> None:
    """OpenAI's -9999 means "not among the most probable"; llama.cpp itself never sends it."""
    if case.endswith("native_completion"):
        with pytest.raises(LogprobsUnavailable):
            _read(case, PLACES[case], value)
        return
    continuation = _read(case, PLACES[case], value)
    assert -1000 < continuation.tokens[1].logprob <= 0
    assert not continuation.exact


@unhurried(50)
@given(value=NONE)
def test_without_alternatives_there_is_no_score(value: float) -> None:
    recorded = capture("vllm__completions_logprobs")
    answer: Any = recorded.answer()
    logprobs = answer["choices"][0]["logprobs"]
    logprobs["token_logprobs"][1], logprobs["top_logprobs"] = value, None
    with pytest.raises(LogprobsUnavailable):
        ask(recorded, encode(answer))


@pytest.mark.parametrize("case", PLACES)
@unhurried(50)
@given(value=st.floats(0, 1e-3, exclude_min=True, allow_subnormal=False))
def test_a_hair_above_0_is_0(case: str, value: float) -> None:
    assert _read(case, PLACES[case], value).tokens[1].logprob == 0


@pytest.mark.parametrize("case", PLACES)
@unhurried(50)
@given(value=st.floats(0.0011, 1e300))
def test_more_is_malformed(case: str, value: float) -> None:
    """A server that sends probabilities would have all its blocks score alike."""
    with pytest.raises(MalformedResponse):
        _read(case, PLACES[case], value)


@pytest.mark.parametrize("case", TOP)
@unhurried(50)
@given(value=st.floats(0, 1e300, exclude_min=True, allow_subnormal=False))
def test_above_0_is_0_in_an_alternative(case: str, value: float) -> None:
    """It was not sampled, so no score hangs on it; llama.cpp itself never sends it."""
    if case.endswith("native_completion"):
        assume(value > 1e-3)
        with pytest.raises(MalformedResponse):
            _read(case, TOP[case], value)
        return
    top = _read(case, TOP[case], value).tokens[1].top
    assert max(token.logprob for token in top) == 0
