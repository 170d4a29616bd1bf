"""The decision whether a request is worth another attempt, and after how long. Pure."""

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

#: Refusals that another attempt can mend: request timeout, too early, conflict of a lock.
_TRANSIENT_STATUS = frozenset({408, 409, 425})
#: Server errors that it cannot: not implemented, version not supported.
_PERMANENT_STATUS = frozenset({501, 505})


@documented
@attrs.frozen(kw_only=True)
class RetryPolicy:
    """How often a request is sent, and how long is waited in between.

    The wait before attempt k + 1 is drawn evenly from the upper half of
    ``min(wait_max, wait_initial * 2 ** (k - 1))``, or is what the server asked for if that is longer.

    Raises:
        ConfigError: a value is out of its bounds.
    """

    attempts: int = integer(4, minimum=1, help="Most attempts, the first one included.")
    wait_initial: float = number(
        0.5, minimum=0, unit="seconds", help="Wait before the second attempt."
    )
    wait_max: float = number(
        30.0,
        minimum=0,
        unit="seconds",
        help="Longest wait between two attempts (the server may ask for more).",
    )
    wait_total: float = number(
        3600.0,
        minimum=0,
        unit="seconds",
        help="Longest time that a request waits between its attempts, all waits together.",
    )

    def __attrs_post_init__(self) -> None:
        if self.wait_max < self.wait_initial:
            raise ConfigError(
                "wait_max", f"at least wait_initial ({self.wait_initial})", self.wait_max
            )


@attrs.frozen
class RetryIn:
    """Send it again after so many seconds."""

    seconds: float


@attrs.frozen
class GiveUp:
    """Let the error stand."""

    reason: str


def is_transient(error: EndpointError) -> bool:
    """Whether the same request may fare better another time."""
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
    """Decide what to do about an error.

    Args:
        error: what the attempt ended in.
        attempt: its number, from 1.
        policy: the limits.
        jitter: a random number from 0 to 1.
        remaining: seconds that the beam has left; a wait that is longer is not begun.
        waited: seconds that the request has waited between its attempts so far.
    """
    if not is_transient(error):
        return GiveUp("another attempt would end the same way")
    if attempt >= policy.attempts:
        return GiveUp("that was the last attempt")
    ceiling = min(policy.wait_max, policy.wait_initial * 2.0 ** min(attempt - 1, 60))
    wait = ceiling * (0.5 + 0.5 * jitter)
    asked = error.retry_after if isinstance(error, (RateLimited, ServerError)) else None
    wait = max(wait, asked or 0.0)
    if wait >= remaining:
        return GiveUp("the wait would outlast the beam's time")
    if waited + wait > policy.wait_total:
        return GiveUp("the waits would be longer than wait_total")
    return RetryIn(wait)
