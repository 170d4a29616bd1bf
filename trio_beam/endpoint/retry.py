"""Decide whether and when to retry a request. Pure."""

from __future__ import annotations

import attrs

from trio_beam.core.validation import documented, integer, number
from trio_beam.errors import (
    AttemptTimeout,
    BeamTimeout,
    ConfigError,
    ConnectionFailed,
    EndpointError,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    ServerError,
)

#: Refusals worth a retry: request timeout, lock conflict, too early.
_TRANSIENT_STATUS = frozenset({408, 409, 425})
#: Server errors not worth a retry: not implemented, version not supported.
_PERMANENT_STATUS = frozenset({501, 505})


@documented
@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often to send a request, and how long to wait between attempts.

    The wait before attempt k + 1 is drawn uniformly from the upper half of
    ``min(wait_max, wait_initial * 2 ** (k - 1))``; a longer wait that the server asks for takes precedence.

    Raises:
        ConfigError: a value is out of bounds.
    """

    attempts: int = integer(4, minimum=1, help="Maximum number of attempts, including the first.")
    wait_initial: float = number(
        0.5, minimum=0, unit="seconds", help="Wait before the second attempt."
    )
    wait_max: float = number(
        30.0,
        minimum=0,
        unit="seconds",
        help="Maximum wait between two attempts (the server may ask for more).",
    )
    wait_total: float = number(
        3600.0,
        minimum=0,
        unit="seconds",
        help="Maximum total of a request's waits between attempts.",
    )

    def __attrs_post_init__(self) -> None:
        if self.wait_max < self.wait_initial:
            raise ConfigError(
                "wait_max", f"at least wait_initial ({self.wait_initial})", self.wait_max
            )


@attrs.frozen
class RetryIn:
    """Retry after `seconds`."""

    seconds: float


@attrs.frozen
class GiveUp:
    """Raise the error."""

    reason: str


#: Refusals that every other request would meet too: wrong key, model or address.
_HOPELESS_STATUS = frozenset({401, 403, 404})


def is_hopeless(error: EndpointError) -> bool:
    """Return whether a request for any other prompt would fail in the same way, now."""
    match error:
        case RequestRejected(status=status):
            return status in _HOPELESS_STATUS
        case ConnectionFailed(never_sent=never_sent):
            return never_sent
        case _:
            return False


def is_transient(error: EndpointError) -> bool:
    """Return whether the same request may succeed another time."""
    match error:
        case BeamTimeout() | ConnectionFailed(lasting=True):
            return False
        case ConnectionFailed() | AttemptTimeout() | RateLimited():
            return True
        case ServerError(status=status):
            return status not in _PERMANENT_STATUS
        case RequestRejected(status=status):
            return status in _TRANSIENT_STATUS
        case MalformedResponse(transient=transient):
            return transient
        case _:
            return False


def decide(
    error: EndpointError,
    attempt: int,
    policy: RetryPolicy,
    *,
    jitter: float,
    remaining: float,
    waited: float = 0.0,
) -> RetryIn | GiveUp:
    """Decide whether to retry after an error.

    Args:
        error: the failed attempt's error.
        attempt: number of the attempt, from 1.
        policy: the retry policy.
        jitter: a random number from 0 to 1.
        remaining: seconds until the beam's deadline; a longer wait is not started.
        waited: seconds that the request has already waited between attempts.
    """
    if not is_transient(error):
        return GiveUp("a retry would fail the same way")
    if attempt >= policy.attempts:
        return GiveUp("that was the last attempt")
    ceiling = min(policy.wait_max, policy.wait_initial * 2.0 ** min(attempt - 1, 60))
    wait = ceiling * (0.5 + 0.5 * jitter)
    asked = error.retry_after if isinstance(error, (RateLimited, ServerError)) else None
    wait = max(wait, asked or 0.0)
    if wait >= remaining:
        return GiveUp("the wait would exceed the beam's timeout")
    if waited + wait > policy.wait_total:
        return GiveUp("the waits would exceed wait_total")
    return RetryIn(wait)
