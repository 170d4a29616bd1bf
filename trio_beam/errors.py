"""The tree of all errors that trio_beam raises.

::

    TrioBeamError
    ├── ConfigError                 (also a ValueError)  the caller gave a value out of bounds
    ├── EndpointError                                    one request could not be answered
    │   ├── ConnectionFailed        network   refused, reset, cut short, no such host
    │   ├── AttemptTimeout          network   no response within the time allowed
    │   │   └── BeamTimeout                   ... within the beam's timeout, retries included
    │   ├── RateLimited             server    429; ``retry_after`` in seconds, if the server said so
    │   ├── ServerError             server    5xx; ``status``
    │   ├── RequestRejected         caller    any other refusal (400, 401, 404, ...); ``status``
    │   │   └── ContextOverflow     caller    prompt and beam are longer than the model's context
    │   ├── MalformedResponse       server    a response that violates its protocol
    │   ├── LogprobsUnavailable     server    a response without the log-probabilities that a score needs
    │   ├── RequestTooLarge         caller    a request may cost more tokens than the endpoint's rate has
    │   └── EndpointClosed          caller    the endpoint was not entered, or was closed during a search
    ├── CacheUnusable               caller    the folder of a cache cannot be used
    ├── LocalModelError             caller    the embedded model is not installed or did not start
    ├── BudgetExhausted             internal  a request would exceed the search's budget; ends the search
    ├── ScorerError                 caller    a scorer raised, or did not return a number per candidate
    ├── VoteError                   caller    a vote's key raised, or returned an unhashable value
    ├── TraceUnreadable             caller    a file that is no trace, or one of a later version
    ├── ReplayError                 caller    a replay asks for what the trace does not have
    └── SearchFailed                          the search as a whole; ``failures``, ``partial``

    ``trio_beam.endpoint.retry`` alone decides which errors are worth a retry.
"""

from __future__ import annotations

from collections.abc import Sequence


class TrioBeamError(Exception):
    """Base class of all errors that this library raises on purpose."""


class ConfigError(TrioBeamError, ValueError):
    """A value is out of bounds: the caller's fault, found before anything is sent.

    Attributes:
        field: the name of the field or argument.
        bound: what it must be, in words.
    """

    def __init__(self, field: str, bound: str, value: object) -> None:
        super().__init__(f"{field} must be {bound}, not {value!r}")
        self.field = field
        self.bound = bound


class EndpointError(TrioBeamError):
    """A request to an endpoint failed.

    Attributes:
        message: what happened, with the server's own message if there was one.
        url: URL of the request, without credentials.
        attempts: number of attempts; 0 if it was never sent.
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
    """No connection could be made, or it broke before the response was complete.

    Attributes:
        never_sent: whether there was no connection at all, so that the server did nothing.
        lasting: whether another attempt would fail the same way, as with an untrusted certificate.
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
    """No complete response within the time allowed for one attempt."""


class BeamTimeout(AttemptTimeout):
    """A beam exceeded its ``beam_timeout``, including retries and the waits between them."""


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
        fields: request fields that the refusal names explicitly.
        code: the server's machine-readable code; "" if there is none.
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
    """The prompt followed by the beam does not fit into the model's context.

    Attributes:
        explained: whether the server said so, rather than only refusing a longer beam.
    """

    explained = True


class MalformedResponse(EndpointError):
    """A response that is not JSON, or not in the shape its protocol prescribes.

    Attributes:
        transient: whether the body was broken, so that a retry may help, rather than complete but of the
            wrong shape.
    """

    def __init__(
        self, message: str, *, url: str = "", attempts: int = 0, transient: bool = False
    ) -> None:
        super().__init__(message, url=url, attempts=attempts)
        self.transient = transient


#: What to do where log-probabilities are needed and there are none.
WITHOUT_LOGPROBS = (
    "this search scores by log-probabilities. What works without: a vote (self_consistency), or a scorer that"
    " reads the texts (a function of your own, as in best_of_n(scorer=...)), or scorer='equal', which"
    " compares nothing"
)


class LogprobsUnavailable(EndpointError):
    """The response has no log-probabilities, so nothing can be scored.

    Attributes:
        by_chance: whether another sample may have them.
    """

    def __init__(
        self, message: str, *, url: str = "", attempts: int = 0, by_chance: bool = False
    ) -> None:
        super().__init__(message, url=url, attempts=attempts)
        self.by_chance = by_chance


def one_block_only() -> RequestRejected:
    """Return the error of a search in several blocks where thinking is not part of the text."""
    return RequestRejected(
        "this server sends the model's thinking apart from its answer, or hides it, so no text can be"
        " continued. What works: a search in a single block (tokens_per_step >= max_tokens, as in best_of_n"
        " and self_consistency), or a server that leaves the thinking in the text (vLLM, SGLang and llama.cpp"
        " do in their own dialects)",
        status=400,
    )


class RequestTooLarge(EndpointError):
    """A request was not sent, since it may cost more than the endpoint's ``tokens_per_minute``."""


class EndpointClosed(EndpointError):
    """A request was made outside ``async with Endpoint(...)``."""


class CacheUnusable(TrioBeamError):
    """The folder of a cache cannot be made, read or written, or is another program's; says why."""


class LocalModelError(TrioBeamError):
    """The embedded model cannot run; the message says what to install, or has its last output."""


class BudgetExhausted(TrioBeamError):
    """A request was not sent because it would exceed the search's budget.

    A `LanguageModel` may raise it; it ends the search (``stop_reason="budget"``) and never leaves it.
    """


class ScorerError(TrioBeamError):
    """A scorer raised, or did not return a number for each candidate.

    Attributes:
        scorer: its name.
    """

    def __init__(self, scorer: str, what: str) -> None:
        super().__init__(f"the scorer {scorer!r} {what}")
        self.scorer = scorer


class TraceUnreadable(TrioBeamError):
    """The file is no trace, or one of a later version, or cannot be read."""


class ReplayError(TrioBeamError):
    """A recorded search cannot be decided again: the message names what the trace lacks."""


class VoteError(TrioBeamError):
    """A vote's key raised, or returned an unhashable value.

    Attributes:
        key: its name.
    """

    def __init__(self, key: str, what: str) -> None:
        super().__init__(f"the key {key!r} of the vote failed: {what}")
        self.key = key
