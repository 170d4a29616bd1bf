"""Limits of a server are learnt from the wording of its refusals."""

from __future__ import annotations

import json

import pytest

from trio_beam.dialects.common.error_responses import error_of
from trio_beam.dialects.common.limits import Limits
from trio_beam.errors import EndpointError, RequestRejected

LLAMA_CPP = "Field 'n_cmpl': Value must be between 1 <= value <= 4, but got 6"
LLAMA_CPP_N = "Field 'n': Value must be between 1 <= value <= 8, but got 9"
VLLM_LOGPROBS = "Requested sample logprobs of 21, which is greater than max allowed: 20"
OPENAI = "Invalid 'n': integer above maximum value. Expected a value <= 128, but got {} instead."


def refusal(message: str, status: int = 400) -> RequestRejected:
    return RequestRejected(message, status=status)


def as_received(message: str, status: int = 400) -> EndpointError:
    """The error as it is made of the server's answer."""
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()
    return error_of(status, {}, body, url="http://host/v1/completions", now=0.0)


@pytest.mark.parametrize(
    ("message", "asked", "limit"),
    [
        (LLAMA_CPP, 6, 4),
        (LLAMA_CPP_N, 9, 8),
        (OPENAI.format(200), 200, 128),
        ("n must be at most 16, got 64.", 64, 16),
        ("best_of is limited to 20", 25, 20),
        ("Only one completion choice is allowed: parameter 'n' is not supported", 4, 1),
    ],
)
def test_the_limit_of_choices(message: str, asked: int, limit: int) -> None:
    limits = Limits()
    assert limits.learn(refusal(message), n=asked, logprobs=0)
    assert (limits.n, limits.logprobs) == (limit, None)


@pytest.mark.parametrize(
    ("message", "asked", "limit"),
    [
        (VLLM_LOGPROBS, 21, 20),
        ("'top_logprobs' must be between 0 and 5", 20, 5),
        ("log_probs: too many", 20, 1),
    ],
)
def test_the_limit_of_logprobs(message: str, asked: int, limit: int) -> None:
    limits = Limits()
    assert limits.learn(refusal(message), n=4, logprobs=asked)
    assert (limits.n, limits.logprobs) == (None, limit)


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("asked", [130, 200, 401, 423, 600, 5000])
def test_one_refusal_is_enough(status: int, asked: int) -> None:
    # The HTTP status stands in the message too, and is not the server's limit.
    error = as_received(OPENAI.format(asked), status)
    assert isinstance(error, RequestRejected)
    limits = Limits()
    assert limits.learn(error, n=asked, logprobs=0)
    assert limits.n == 128


@pytest.mark.parametrize(
    ("error", "n", "logprobs"),
    [
        pytest.param(refusal("model 'x' does not exist", 404), 4, 5, id="of another status"),
        pytest.param(refusal(LLAMA_CPP, 403), 6, 5, id="not allowed at all"),
        pytest.param(refusal("temperature must be at most 2"), 4, 5, id="of another field"),
        pytest.param(refusal("invalid JSON in line 1"), 4, 5, id="of no field"),
        pytest.param(refusal(LLAMA_CPP), 1, 0, id="when one was asked for"),
        pytest.param(refusal(VLLM_LOGPROBS), 4, 1, id="when one logprob was asked for"),
    ],
)
def test_other_refusals_teach_nothing(error: RequestRejected, n: int, logprobs: int) -> None:
    limits = Limits()
    assert not limits.learn(error, n=n, logprobs=logprobs)
    assert (limits.n, limits.logprobs) == (None, None)


@pytest.mark.parametrize("asked", [2, 3, 4, 9, 128, 1000])
@pytest.mark.parametrize("message", [LLAMA_CPP, LLAMA_CPP_N, OPENAI.format(200), "'n': no"])
def test_what_is_learnt_is_always_less_than_what_was_refused(message: str, asked: int) -> None:
    # Else the same request would be sent and refused for ever.
    limits = Limits()
    assert limits.learn(refusal(message), n=asked, logprobs=0)
    assert limits.n is not None
    assert 1 <= limits.n < asked


def test_a_request_asks_for_no_more_than_is_known_to_be_allowed() -> None:
    unlimited, limits = Limits(), Limits(n=4, logprobs=20)
    assert [unlimited.cap_n(n) for n in (1, 4, 99)] == [1, 4, 99]
    assert [limits.cap_n(n) for n in (1, 4, 99)] == [1, 4, 4]
    assert [unlimited.cap_logprobs(n) for n in (0, 20, 99)] == [0, 20, 99]
    assert [limits.cap_logprobs(n) for n in (0, 20, 99)] == [0, 20, 20]
