"""The lines of a trace about requests, and about what holds them up."""

from __future__ import annotations

from trio_beam.traces.line import Line
from trio_beam.traces.parts import Error


class RequestLine(Line, kw_only=True):
    """The base of lines about a request.

    Attributes:
        request: its number in the search, from 1.
        round: for which it is; 0 before the first.
        purpose: "prepare", or as in a "samples" line.
        rank: of the beam in the round, from 0.
        sample: number of its first sample.
    """

    request: int
    round: int = 0
    purpose: str = "prepare"
    rank: int = 0
    sample: int = 0


class Waiting(RequestLine, kw_only=True, tag="waiting"):
    """A request waits for a slot, or for the end of a pause.

    Attributes:
        paused: whether it waits for the end of a pause.
    """

    paused: bool = False


class Sent(RequestLine, kw_only=True, tag="sent"):
    """An attempt was sent.

    Attributes:
        attempt: its number, from 1; hedges count.
        hedge: whether an earlier attempt is still under way.
        waited: seconds that it waited for a slot or a pause.
        path: of the URL.
    """

    attempt: int = 1
    hedge: bool = False
    waited: float = 0.0
    path: str = ""


class Ended(RequestLine, kw_only=True, tag="ended"):
    """An attempt has ended.

    Attributes:
        attempt: its number.
        outcome: "response", "error" or "cancelled".
        seconds: since it was sent.
        error: the error, if that is how it ended.
    """

    attempt: int = 1
    outcome: str = "response"
    seconds: float = 0.0
    error: Error | None = None


class Retried(RequestLine, kw_only=True, tag="retried"):
    """A request will be sent again.

    Attributes:
        error: of the attempt.
        attempt: its number.
        attempts: maximum number of attempts.
        wait: seconds before the next.
    """

    error: Error
    attempt: int
    attempts: int
    wait: float


class Hedged(RequestLine, kw_only=True, tag="hedged"):
    """A request was sent again, while the first attempt goes on.

    Attributes:
        after: seconds after the first.
    """

    after: float


class Paused(Line, kw_only=True, tag="paused"):
    """A server asked for a pause.

    Attributes:
        seconds: its length.
        error: by which it asked.
    """

    seconds: float
    error: Error


class RateKept(Line, kw_only=True, tag="rate"):
    """Requests of the search wait, paused for the rate.

    Attributes:
        seconds: until the next request of the endpoint, if nothing changes.
        limit: the limit per minute that is reached: ``"requests"`` or ``"tokens"``.
    """

    seconds: float
    limit: str


class Limited(Line, kw_only=True, tag="limit"):
    """The endpoint has changed its limit.

    Attributes:
        limit: maximum number of requests in flight now.
        before: and before.
    """

    limit: int
    before: int
