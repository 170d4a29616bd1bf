"""Errors in OpenAI's shape."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from trio_beam.core.export import result_to_dict
from trio_beam.core.result import SearchFailed, SearchResult
from trio_beam.errors import (
    AttemptTimeout,
    ConfigError,
    ContextOverflow,
    LogprobsUnavailable,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    RequestTooLarge,
    TrioBeamError,
)

#: The `type` of an error by its status, where it is not ``"server_error"``.
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}

_BODY = "extra_body"
#: What was given, in the words of JSON.
_IN_JSON = {", not None": ", not null", ", not True": ", not true", ", not False": ", not false"}
NO_FIELDS: Mapping[str, str] = MappingProxyType({})


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
        found = {}
        if self.retry_after is not None:
            found["retry-after"] = str(max(1, round(self.retry_after)))
        if self.status == 504:  # OpenAI's clients would have the whole search done twice more
            found["x-should-retry"] = "false"
        return found


def invalid(param: str, message: str, code: str | None = None) -> ApiError:
    """Return the error about a field that the client must change."""
    return ApiError(status=400, message=message, param=param, code=code)


def of_config(
    error: ConfigError, param: str | None = None, passed: Collection[str] = ()
) -> ApiError:
    """Return the error about a field of a request in the words of JSON.

    Args:
        error: the error.
        param: where the client wrote the field; None: under its own name.
        passed: the fields for the model's server, which a strategy has in its ``extra_body``.
    """
    if passed and error.field in (_BODY, "api"):
        param = _named_in(f"{error.bound} {error}", passed) or next(iter(passed))
        words = str(error).replace(f"{_BODY} cannot have {param!r}", f"{param} cannot be used")
        hint = " (such as MODEL@best-8 or MODEL@greedy)" if "one block" in words else ""
        return invalid(param, words + hint, "unsupported_here")
    param = param or error.field
    head, message = f"{error.field} must be {error.bound}", str(error)
    value = message.removeprefix(head) if message.startswith(head) else ""
    words = message.removesuffix(value).replace(" or None", "").replace("a mapping", "an object")
    words = words.replace("one of True, False", "true or false")
    if words.startswith(error.field):  # under the name that the client knows
        words = param.removeprefix("search.") + words.removeprefix(error.field)
    code = None
    if "there is no parameter" in words:
        code = "unknown_parameter"
    elif error.bound == "given":
        code = "missing_required_parameter"
        words, value = f"{param} is missing", ""
    return invalid(param, words + _IN_JSON.get(value, value), code)


def of_library(
    error: TrioBeamError, passed: Collection[str] = (), fields: Mapping[str, str] = NO_FIELDS
) -> ApiError:
    """Return the error that says what an error of the library says.

    The client's fault is a 4xx; the model server's, or that of whoever set the gateway up, a 5xx.

    Args:
        error: the error.
        passed: the fields for the model's server.
        fields: of the request, by the parameters of its strategy that they give.
    """
    if isinstance(error, ConfigError):
        return of_config(error, fields.get(error.field), passed)
    if not isinstance(error, SearchFailed):
        return _of_cause(error, str(error), None, passed)
    causes = [failure.error for failure in error.failures]
    partial = error.partial if error.partial.beams else None
    return _of_cause(causes[-1] if causes else error, str(error), partial, passed)


def _of_cause(
    cause: TrioBeamError, message: str, partial: SearchResult | None, passed: Collection[str]
) -> ApiError:
    status, code, retry_after = 502, "model_server_error", None
    param: str | None = None
    match cause:
        case ContextOverflow():
            status, code = 400, "context_length_exceeded"
        case RequestRejected(status=200, code=reason) if reason:  # the text was withheld
            status, code = 400, "content_filter"
        case LogprobsUnavailable():
            status, code = 400, "logprobs_unavailable"
        case RequestRejected(status=400 | 413 | 422):
            status, code = 400, "refused_by_model_server"
            param = _named_in(f"{' '.join(cause.fields)} {cause.message}", passed)
        case MalformedResponse() if param := _named_in(cause.message, passed):
            status, code = 400, "unsupported_by_model"  # such as a tool_choice
        case RequestTooLarge():
            status, code = 400, "request_too_large"
        case RateLimited():
            status, code, retry_after = 429, "rate_limit_exceeded", cause.retry_after or 1.0
        case AttemptTimeout():
            status, code = 504, "model_server_timeout"
    return ApiError(
        status=status,
        message=message,
        param=param,
        code=code,
        retry_after=retry_after,
        partial=partial,
    )


def _named_in(text: str, passed: Collection[str]) -> str | None:
    """Return the first field for the model's server that a message is about."""
    return next((name for name in passed if re.search(rf"\b{name}\b", text)), None)
