"""Limits are learnt from a refusal, once (promise 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.dialects.replay import ask, capture, captures, encode, refused, sent
from trio_beam.dialects.common.error_responses import error_of
from trio_beam.dialects.common.limits import Limits
from trio_beam.errors import LogprobsUnavailable, RequestRejected

pytestmark = pytest.mark.promise(6)

if TYPE_CHECKING:
    from tests.dialects.replay import Capture

TOO_MANY = capture("xllamacpp__completions_n_gt_parallel")
TOO_MANY_LOGPROBS = capture("vllm__completions_logprobs_21")
OPENAI = capture("xllamacpp__completions_n3_seed")
NATIVE = capture("xllamacpp__native_n_cmpl2_fields")
#: Refusals of requests that no smaller number would have mended.
OTHERS = [
    case
    for case in captures("*")
    if capture(case).status != 200 and "logprobs" not in case and "n_gt" not in case
]


def _of_choices(recorded: Capture, count: int) -> bytes:
    """The recorded answer, with its first choice so many times."""
    answer = recorded.answer()
    if isinstance(answer, list):
        return encode([answer[0] | {"index": index} for index in range(count)])
    choices = [answer["choices"][0] | {"index": index} for index in range(count)]
    return encode(answer | {"choices": choices})


@pytest.mark.parametrize(("recorded", "field"), [(OPENAI, "n"), (NATIVE, "n_cmpl")])
def test_the_most_choices(recorded: Capture, field: str) -> None:
    """Recorded on one route; the other refuses by the same words."""
    dialect = recorded.dialect()
    body = _of_choices(recorded, 8)
    replayed = ask(recorded, TOO_MANY.refusal(), body, dialect=dialect, n=9)
    assert [sent(request)[field] for request in replayed.requests] == [9, 8]
    assert len(replayed.value.continuations) == 8
    (request,) = ask(recorded, body, dialect=dialect, n=9).requests
    assert sent(request)[field] == 8


def test_the_rest_of_a_request_stays_as_it_was() -> None:
    first, second = ask(OPENAI, TOO_MANY.refusal(), OPENAI.body, n=9).requests
    assert sent(second) == sent(first) | {"n": 8}


def test_the_most_log_probabilities() -> None:
    recorded = capture("vllm__completions_logprobs_20")
    dialect = recorded.dialect()
    answers = (TOO_MANY_LOGPROBS.refusal(), recorded.body)
    replayed = ask(recorded, *answers, dialect=dialect, top_logprobs=21)
    assert [sent(request)["logprobs"] for request in replayed.requests] == [21, 20]
    assert len(replayed.value.continuations[0].tokens[0].top) == 20
    (request,) = ask(recorded, dialect=dialect, top_logprobs=21).requests
    assert sent(request)["logprobs"] == 20
    assert dialect.limits.n is None


def test_the_most_log_probabilities_of_a_chat() -> None:
    recorded = capture("vllm__chat_logprobs")
    refusal = TOO_MANY_LOGPROBS.refusal()
    requests = ask(recorded, refusal, recorded.body, top_logprobs=21).requests
    assert [sent(request)["top_logprobs"] for request in requests] == [21, 20]


def test_both_limits_in_one_exchange() -> None:
    refusals = (TOO_MANY_LOGPROBS.refusal(), TOO_MANY.refusal())
    requests = ask(OPENAI, *refusals, OPENAI.body, n=9, top_logprobs=21).requests
    bodies = [sent(request) for request in requests]
    assert [(body["n"], body["logprobs"]) for body in bodies] == [(9, 21), (9, 20), (8, 20)]


@pytest.mark.parametrize(
    ("words", "asked", "limit"),
    [
        # Noted of vLLM; not recorded.
        ("n must be 1 when using greedy sampling, got 3.", 3, 1),
        # Of the same shape as what was recorded, with other numbers.
        ("Field 'n': Value must be between 1 <= value <= 4, but got 16", 16, 4),
        ("Field 'n_cmpl': Value must be between 1 <= value <= 2, but got 3", 3, 2),
        ("Field 'n': Value must be between 1 <= value <= 8, but got 500", 500, 8),
    ],
)
def test_the_limit_is_in_the_servers_words(words: str, asked: int, limit: int) -> None:
    """The status is no word of the server's on the number of choices, though it stands beside them."""
    body = encode({"error": {"code": 400, "message": words, "type": "invalid_request_error"}})
    refusal = error_of(400, {}, body, url="http://server", now=0.0)
    requests = ask(OPENAI, refusal, _of_choices(OPENAI, limit), n=asked).requests
    assert [sent(request).get("n", 1) for request in requests] == [asked, limit]


@pytest.mark.parametrize("status", [401, 403, 404, 409, 413])
def test_only_a_bad_request_is_a_lesson(status: int) -> None:
    """The same words behind another status are about something else, a quota for example."""
    limits = Limits()
    error = error_of(status, {}, TOO_MANY.body, url="http://server", now=0.0)
    raised, requests = refused(OPENAI, error, dialect=OPENAI.dialect(limits), n=9)
    assert raised is error
    assert limits.n is None
    assert len(requests) <= 2  # "n" is named, and may be wanted in another way


def test_no_fewer_log_probabilities_than_one() -> None:
    """What is refused even then cannot be had in any number."""
    raised, _ = refused(OPENAI, TOO_MANY_LOGPROBS.refusal(), top_logprobs=1)
    assert type(raised) is LogprobsUnavailable
    assert TOO_MANY_LOGPROBS.refusal().message in raised.message


def test_a_limit_without_a_number_is_one() -> None:
    refusal = RequestRejected("HTTP 400: 'n' is not supported", status=400)
    requests = ask(OPENAI, refusal, _of_choices(OPENAI, 1), n=9).requests
    assert [sent(request).get("n") for request in requests] == [9, None]


@pytest.mark.parametrize("recorded", [OPENAI, NATIVE], ids=["openai", "llama_cpp"])
@pytest.mark.parametrize("case", OTHERS)
def test_other_refusals_teach_nothing(case: str, recorded: Capture) -> None:
    """Whatever was tried meanwhile, the first refusal is the one that is raised, perhaps with advice."""
    error = capture(case).refusal()
    limits = Limits()
    dialect = recorded.dialect(limits)
    raised, requests = refused(recorded, error, dialect=dialect, n=9, top_logprobs=5)
    assert type(raised) is type(error)
    assert raised.message.startswith(error.message)
    assert len(requests) <= 9
    assert (limits.n, limits.logprobs) == (None, None)


@pytest.mark.parametrize("recorded", [OPENAI, NATIVE], ids=["openai", "llama_cpp"])
def test_a_refusal_of_the_least_stands(recorded: Capture) -> None:
    error = TOO_MANY.refusal()
    raised, requests = refused(recorded, error, n=1)
    assert raised is error
    assert len(requests) <= 9
