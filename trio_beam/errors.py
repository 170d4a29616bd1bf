"""Everything that trio_beam raises, as one tree.

::

    TrioBeamError
    ├── ConfigError                 (also a ValueError)  the caller gave a value out of bounds
    ├── EndpointError                                    one request could not be answered
    │   ├── ConnectionFailed        network   refused, reset, cut short, no such host
    │   ├── AttemptTimeout          network   no answer within the time allowed
    │   │   └── BeamTimeout                   ... within the time allowed to the beam, retries included
    │   ├── RateLimited             server    429; ``retry_after`` in seconds, if the server said so
    │   ├── ServerError             server    5xx; ``status``
    │   ├── RequestRejected         caller    any other refusal (400, 401, 404, ...); ``status``
    │   │   └── ContextOverflow     caller    prompt and beam are longer than the model's context
    │   ├── MalformedResponse       server    an answer that is not what its protocol says
    │   ├── LogprobsUnavailable     server    a response without the log-probabilities that a score needs
    │   └── EndpointClosed          caller    the endpoint was never entered, or was closed under a search
    ├── LocalModelError             caller    the embedded model is not installed or did not start
    ├── BudgetExhausted             internal  a request would overrun the search's budget; ends the search
    ├── ScorerError             caller    a scorer raised, or gave no number for each candidate
    ├── VoteError               caller    a ``vote_key`` raised, or gave what cannot be counted
    └── SearchFailed                          the search as a whole; ``failures``, ``partial``

What is worth another attempt is decided in one place, ``trio_beam.endpoint.retry``.
"""

from __future__ import annotations

from collections.abc import Sequence


class TrioBeamError(Exception):
    """Base of everything that this library raises on purpose."""


class ConfigError(TrioBeamError, ValueError):
    """A value is outside of its bounds; the caller's fault, found before anything is sent.

    Attributes:
        field: the name of the field or argument.
        bound: what it must be, in words.
    """

    def __init__(self, field: str, bound: str, value: object) -> None:
        super().__init__(f"{field} must be {bound}, not {value!r}")
        self.field = field
        self.bound = bound


class EndpointError(TrioBeamError):
    """One request to an endpoint came to nothing.

    Attributes:
        message: what happened, with the server's own words where it had any.
        url: where the request went (never with credentials).
        attempts: how many times it was sent before this error stood; 0 if it was never sent.
    """

    def __init__(self, message: str, *, url: str = "", attempts: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.url = url
        self.attempts = attempts

    def __str__(self) -> str:
        where = f"{self.url}: " if self.url else ""
        tries = f" (after {self.attempts} attempts)" if self.attempts > 1 else ""
        return f"{where}{self.message}{tries}"


class ConnectionFailed(EndpointError):
    """No connection, or one that broke before the answer was whole.

    Attributes:
        never_sent: whether there was no connection at all, so that the server did nothing.
        lasting: whether another attempt would end the same way, as with a certificate that is not trusted.
    """

    def __init__(
        self,
        message: str,
        *,
        url: str = "",
        attempts: int = 0,
        never_sent: bool = False,
        lasting: bool = False,
    ) -> None:
        super().__init__(message, url=url, attempts=attempts)
        self.never_sent = never_sent
        self.lasting = lasting


class AttemptTimeout(EndpointError):
    """No whole answer within the seconds allowed to one attempt."""


class BeamTimeout(AttemptTimeout):
    """A beam used up its ``beam_timeout``, retries and the waits between them included."""


class RateLimited(EndpointError):
    """HTTP 429.

    Attributes:
        retry_after: seconds that the server asked to wait; None if it did not say.
    """

    def __init__(
        self, message: str, *, url: str = "", attempts: int = 0, retry_after: float | None = None
    ) -> None:
        super().__init__(message, url=url, attempts=attempts)
        self.retry_after = retry_after


class ServerError(EndpointError):
    """HTTP 5xx.

    Attributes:
        status: the HTTP status.
        retry_after: seconds that the server asked to wait; None if it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        url: str = "",
        attempts: int = 0,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, url=url, attempts=attempts)
        self.status = status
        self.retry_after = retry_after


class RequestRejected(EndpointError):
    """The server refused the request and would refuse it again.

    Attributes:
        status: the HTTP status.
        fields: names of the request's fields that the refusal points at, as far as it says so itself.
        code: the server's machine-readable word for it; "" if there is none.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        url: str = "",
        attempts: int = 0,
        fields: Sequence[str] = (),
        code: str = "",
    ) -> None:
        super().__init__(message, url=url, attempts=attempts)
        self.status = status
        self.fields = tuple(fields)
        self.code = code


class ContextOverflow(RequestRejected):
    """The prompt, with the beam behind it, does not fit into the model's context."""


class MalformedResponse(EndpointError):
    """An answer that is not JSON, or not of the shape that its protocol prescribes.

    Attributes:
        transient: whether the body was broken (another attempt may mend it) rather than
            whole but of the wrong shape (another attempt would bring the same).
    """

    def __init__(
        self, message: str, *, url: str = "", attempts: int = 0, transient: bool = False
    ) -> None:
        super().__init__(message, url=url, attempts=attempts)
        self.transient = transient


class LogprobsUnavailable(EndpointError):
    """The server answered without log-probabilities, so nothing can be scored."""


class EndpointClosed(EndpointError):
    """A request was made on an endpoint that is not open: outside of ``async with Endpoint(...)``."""


class LocalModelError(TrioBeamError):
    """The embedded model cannot be run; the message says what to install or what it said."""


class BudgetExhausted(TrioBeamError):
    """A request was not sent, since it would overrun the search's budget.

    A `LanguageModel` may raise it; a search takes it for its end (``stop_reason="budget"``) and never
    lets it out.
    """


class ScorerError(TrioBeamError):
    """A scorer raised, or gave something else than a number for each candidate.

    Attributes:
        scorer: its name.
    """

    def __init__(self, scorer: str, what: str) -> None:
        super().__init__(f"the scorer {scorer!r} {what}")
        self.scorer = scorer


class VoteError(TrioBeamError):
    """A vote's key raised, or returned a value that cannot be compared with others.

    Attributes:
        key: its name.
    """

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"the key {key!r} of the vote failed: {what}")
        self.key = key
