"""Errors in OpenAI's shape."""

from __future__ import annotations

from typing import Any

import attrs

from trio_beam.core.export import result_to_dict
from trio_beam.core.result import SearchFailed, SearchResult
from trio_beam.errors import (
    AttemptTimeout,
    ConfigError,
    ContextOverflow,
    LogprobsUnavailable,
    RateLimited,
    RequestRejected,
    RequestTooLarge,
    TrioBeamError,
)

#: The `type` of an error by its status, where it is not ``"server_error"``.
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


@attrs.frozen(kw_only=True)
class ApiError(Exception):
    """A request that is not answered.

    Attributes:
        status: the HTTP status.
        message: what was wrong, and what to do.
        param: the field it is about; None if it is about none.
        code: for programs; None if there is none.
        retry_after: seconds; None: do not say.
        partial: the best so far of a search that failed; None if there was none.
    """

    status: int
    message: str
    param: str | None = None
    code: str | None = None
    retry_after: float | None = None
    partial: SearchResult | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the response."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {
            "message": self.message,
            "type": _TYPES.get(self.status, kind),
            "param": self.param,
            "code": self.code,
        }
        if self.partial is None:
            return {"error": error}
        return {"error": error, "trio_beam": {"partial": result_to_dict(self.partial)}}

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response besides those of any."""
        if self.retry_after is None:
            return {}
        return {"retry-after": str(max(1, round(self.retry_after)))}


def invalid(param: str, message: str, code: str | None = None) -> ApiError:
    """Return the error about a field that the client must change."""
    return ApiError(status=400, message=message, param=param, code=code)


def of_config(error: ConfigError, param: str | None = None) -> ApiError:
    """Return the error about a field of a request in the words of JSON.

    Args:
        error: the error.
        param: where the client wrote the field; None: under its own name.
    """
    param = param or error.field
    head, message = f"{error.field} must be {error.bound}", str(error)
    value = message.removeprefix(head) if message.startswith(head) else ""
    words = message.removesuffix(value).replace(" or None", "").replace("a mapping", "an object")
    if words.startswith(error.field):  # under the name that the client knows
        words = param.rpartition(".")[2] + words.removeprefix(error.field)
    code = None
    if words.startswith("there is no parameter"):
        code = "unknown_parameter"
    elif error.bound == "given":
        code = "missing_required_parameter"
        words, value = f"{param} is missing", ""
    return invalid(param, words + value, code)


def of_library(error: TrioBeamError) -> ApiError:
    """Return the error that says what an error of the library says.

    The client's fault is a 4xx; the model server's, or that of whoever set the gateway up, a 5xx.
    """
    if isinstance(error, ConfigError):
        return of_config(error)
    if not isinstance(error, SearchFailed):
        return _of_cause(error, str(error), None)
    causes = [failure.error for failure in error.failures]
    partial = error.partial if error.partial.beams else None
    return _of_cause(causes[-1] if causes else error, str(error), partial)


def _of_cause(cause: TrioBeamError, message: str, partial: SearchResult | None) -> ApiError:
    status, code, retry_after = 502, "model_server_error", None
    match cause:
        case ContextOverflow():
            status, code = 400, "context_length_exceeded"
        case LogprobsUnavailable():
            status, code = 400, "logprobs_unavailable"
        case RequestRejected(status=400 | 413 | 422):
            status, code = 400, "refused_by_model_server"
        case RequestTooLarge():
            status, code = 400, "request_too_large"
        case RateLimited():
            status, code, retry_after = 429, "rate_limit_exceeded", cause.retry_after or 1.0
        case AttemptTimeout():
            status, code = 504, "model_server_timeout"
    return ApiError(
        status=status, message=message, code=code, retry_after=retry_after, partial=partial
    )
