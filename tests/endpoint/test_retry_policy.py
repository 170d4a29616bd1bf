"""What is worth another attempt, and after how long."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.core.builders import subclasses
from trio_beam.dialects.common.waits import asked_wait
from trio_beam.endpoint.retry import GiveUp, RetryIn, RetryPolicy, decide, is_transient
from trio_beam.errors import (
    AttemptTimeout,
    BeamTimeout,
    ConfigError,
    ConnectionFailed,
    ContextOverflow,
    EndpointClosed,
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    RequestTooLarge,
    ServerError,
)

pytestmark = pytest.mark.promise(4)

#: What another attempt may mend.
TRANSIENT = [
    ConnectionFailed("reset"),
    AttemptTimeout("slow"),
    RateLimited("slow down"),
    *(ServerError("down", status=status) for status in (500, 502, 503, 504, 529)),
    *(RequestRejected("not now", status=status) for status in (408, 409, 425)),
    MalformedResponse("cut short", transient=True),
]
#: What it cannot.
LASTING = [
    EndpointError("anything else"),
    BeamTimeout("all its time is over"),
    *(ServerError("never", status=status) for status in (501, 505)),
    *(RequestRejected("no", status=status) for status in (302, 400, 401, 403, 404, 405, 413, 422)),
    ContextOverflow("too long", status=400),
    MalformedResponse("of the wrong shape"),
    LogprobsUnavailable("no log-probabilities"),
    EndpointClosed("never entered"),
    RequestTooLarge("more than a minute has"),
]


@pytest.mark.parametrize("error", TRANSIENT)
def test_another_attempt_may_mend(error: EndpointError) -> None:
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING)
def test_another_attempt_cannot_mend(error: EndpointError) -> None:
    assert not is_transient(error)


@pytest.mark.parametrize("kind", [EndpointError, *subclasses(EndpointError)])
def test_no_error_is_left_unclassified(kind: type[EndpointError]) -> None:
    assert any(type(error) is kind for error in TRANSIENT + LASTING)


# -- the wait

SECONDS = st.one_of(st.just(0.0), st.floats(0.001, 1000))
POLICIES = st.builds(
    lambda attempts, first, more: RetryPolicy(
        attempts=attempts, wait_initial=first, wait_max=first + more
    ),
    st.integers(1, 200),
    SECONDS,
    SECONDS,
)
ERRORS = st.one_of(
    st.sampled_from([*TRANSIENT, *LASTING]),
    st.builds(lambda wait: RateLimited("", retry_after=wait), st.none() | SECONDS),
    st.builds(lambda wait: ServerError("", status=503, retry_after=wait), st.none() | SECONDS),
)


@given(
    error=ERRORS,
    attempt=st.integers(1, 2000),
    policy=POLICIES,
    jitter=st.floats(0, 1),
    remaining=st.one_of(st.just(math.inf), st.floats(-1, 2000)),
)
def test_every_decision_keeps_its_bounds(
    error: EndpointError, attempt: int, policy: RetryPolicy, jitter: float, remaining: float
) -> None:
    decision = decide(error, attempt, policy, jitter=jitter, remaining=remaining)
    ceiling = min(policy.wait_max, policy.wait_initial * 2.0 ** min(attempt - 1, 50))
    asked = getattr(error, "retry_after", None) or 0.0
    if isinstance(decision, RetryIn):
        assert is_transient(error)
        assert attempt < policy.attempts
        assert max(ceiling / 2, asked) <= decision.seconds <= max(ceiling, asked)
        assert decision.seconds < remaining
    else:
        assert decision.reason
        assert (
            not is_transient(error)
            or attempt >= policy.attempts
            or max(ceiling, asked) >= remaining
        )


def wait(error: EndpointError, attempt: int, jitter: float) -> float:
    policy = RetryPolicy(attempts=99, wait_initial=1.0, wait_max=10.0)
    decision = decide(error, attempt, policy, jitter=jitter, remaining=math.inf)
    assert isinstance(decision, RetryIn)
    return decision.seconds


def test_the_wait_doubles_up_to_its_greatest() -> None:
    error = ConnectionFailed("reset")
    assert [wait(error, attempt, 1.0) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert [wait(error, attempt, 0.0) for attempt in range(1, 7)] == [0.5, 1, 2, 4, 5, 5]
    assert wait(error, 1, 0.5) == 0.75


@pytest.mark.parametrize(
    ("asked", "seconds"), [(None, 2.0), (0.0, 2.0), (1.5, 2.0), (3.0, 3.0), (60.0, 60.0)]
)
def test_a_server_that_asks_for_more_gets_it(asked: float | None, seconds: float) -> None:
    assert wait(RateLimited("", retry_after=asked), 2, 1.0) == seconds
    assert wait(ServerError("", status=503, retry_after=asked), 2, 1.0) == seconds


def test_a_wait_that_would_outlast_the_beam_is_not_begun() -> None:
    error = RateLimited("", retry_after=30.0)
    policy = RetryPolicy()
    assert isinstance(decide(error, 1, policy, jitter=0, remaining=30.0), GiveUp)
    assert decide(error, 1, policy, jitter=0, remaining=30.5) == RetryIn(30.0)


@pytest.mark.parametrize("attempts", [1, 2, 7])
def test_there_are_no_more_attempts_than_the_policy_has(attempts: int) -> None:
    policy = RetryPolicy(attempts=attempts)
    sent = 1
    while isinstance(
        decide(AttemptTimeout(""), sent, policy, jitter=1, remaining=math.inf), RetryIn
    ):
        sent += 1
    assert sent == attempts


# -- Retry-After

NOW = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110


@pytest.fixture(params=["UTC", "Asia/Tokyo"])
def timezone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0.0), ("120", 120.0), (" 7 ", 7.0), ("1.5", 1.5)]
)
def test_retry_after_in_seconds(value: str, seconds: float) -> None:
    assert asked_wait({"retry-after": value}, None, NOW) == seconds


@pytest.mark.parametrize(
    "date",
    [
        pytest.param("Sun, 06 Nov 1994 08:49:47 GMT", id="preferred"),
        pytest.param("Sunday, 06-Nov-94 08:49:47 GMT", id="rfc 850"),
        pytest.param("Sun Nov  6 08:49:47 1994", id="asctime"),
    ],
)
def test_retry_after_as_a_date_in_each_form_that_a_client_must_know(
    timezone: str, date: str
) -> None:
    # RFC 9110, 5.6.7: all three are in GMT, wherever the client is.
    assert asked_wait({"retry-after": date}, None, NOW) == 10.0


def test_a_date_is_read_by_the_servers_own_clock() -> None:
    # The server is an hour ahead of us.
    headers = {"retry-after": formatdate(NOW + 3610, usegmt=True)}
    assert asked_wait(headers, None, NOW) == 3610.0
    headers["date"] = formatdate(NOW + 3600, usegmt=True)
    assert asked_wait(headers, None, NOW) == 10.0
    headers["date"] = "some day"
    assert asked_wait(headers, None, NOW) == 3610.0


def test_a_date_that_is_past_asks_for_no_wait() -> None:
    assert asked_wait({"retry-after": formatdate(NOW - 10, usegmt=True)}, None, NOW) == 0.0


@pytest.mark.parametrize("value", ["", " ", "soon", "-5", "1e3", "inf", "nan", ".", "1.2.3", "٣"])
def test_what_cannot_be_read_asks_for_nothing(value: str) -> None:
    assert asked_wait({"retry-after": value}, None, NOW) is None
    assert asked_wait({}, None, NOW) is None


@given(value=st.one_of(st.text(), st.text("SunNovGMT0123456789 ,:-+.")), date=st.text())
@example(value="Mon, 01 Jan 0000 00:00:00 GMT", date="")
@example(value="Mon, 01 Jan 9999999 00:00:00 +9999", date="")
@example(value="Mon, 01 Jan 99999999999999 00:00:00 GMT", date="")
@example(value="9" * 5000, date="9" * 5000)
def test_no_header_breaks_it(value: str, date: str) -> None:
    seconds = asked_wait({"retry-after": value, "date": date}, None, NOW)
    assert seconds is None or seconds >= 0


# -- the policy


@pytest.mark.parametrize(
    ("values", "field"),
    [
        *(({"attempts": bad}, "attempts") for bad in (0, -1, 1.0, True, "4", None, math.nan)),
        *(
            ({name: bad}, name)
            for name in ("wait_initial", "wait_max")
            for bad in (-0.1, math.nan, math.inf, True, "1", None)
        ),
        ({"wait_initial": 31.0}, "wait_max"),
        ({"wait_initial": 2.0, "wait_max": 1.0}, "wait_max"),
    ],
)
def test_a_policy_out_of_bounds(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as caught:
        RetryPolicy(**values)
    assert caught.value.field == field
    assert caught.value.bound in str(caught.value)


@pytest.mark.parametrize(
    "values", [{}, {"attempts": 1}, {"wait_initial": 0}, {"wait_initial": 0, "wait_max": 0.0}]
)
def test_a_policy_within_bounds(values: dict[str, Any]) -> None:
    policy = RetryPolicy(**values)
    assert {name: getattr(policy, name) for name in values} == values
