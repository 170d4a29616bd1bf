"""Turn error responses, from an HTTP status or inside a 200, into typed errors for all dialects.

The server's words are kept whole: secrets are removed from them before they are shortened (`http.words`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

import msgspec

from trio_beam.dialects.common.waits import asked_wait
from trio_beam.errors import (
    ContextOverflow,
    EndpointError,
    RateLimited,
    RequestRejected,
    ServerError,
)

#: Bytes of a body of the wrong shape that become a part of a message. More than are shown: what is cut here
#: could be a half of a secret.
_DESCRIBED = 8192
_CONTEXT_CODES = frozenset({"exceed_context_size_error", "context_length_exceeded"})
_TOO_OFTEN = re.compile(r"rate.?limit|too.?many.?requests|throttl", re.IGNORECASE)
_CONTEXT_WORDS = re.compile(
    r"maximum context length|context (size|length|window)|input_tokens|maximum prompt length"
    r"|max_new_tokens. must be <=|prompt is too long|too many tokens|exceeds? .{0,40}\btokens\b"
    r"|tokens\) is too large to process",  # llama.cpp, of what it reads in one batch, with status 500
    re.IGNORECASE,
)
#: Members that hold the words of an error.
_WORD_NAMES = ("message", "detail", "error", "errors", "error_message", "error_msg", "msg")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HINTS = {
    401: "is the API key right?",
    403: "is the API key allowed to do this?",
    404: "is the base URL right (it usually ends in /v1), and the model's name?",
    405: "is the base URL right? It usually ends in /v1",
}
#: Statuses implied by the words of an error that carries none.
_STATUS_WORDS = (
    (re.compile(r"rate.?limit|too.?many.?requests|quota.?exceeded|throttl", re.IGNORECASE), 429),
    (re.compile(r"overloaded|unavailable|capacity|busy", re.IGNORECASE), 503),
    (re.compile(r"timeout|timed.?out", re.IGNORECASE), 504),
    (re.compile(r"authentication|invalid.?api.?key|unauthor", re.IGNORECASE), 401),
    (re.compile(r"permission|forbidden", re.IGNORECASE), 403),
    (re.compile(r"not.?found|unexpected endpoint", re.IGNORECASE), 404),
    (re.compile(r"invalid|bad.?request|unsupported|validation", re.IGNORECASE), 400),
)


def error_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    url: str,
    path: str = "",
    now: float,
) -> EndpointError:
    """Return the error for a response with an error status, including the server's message.

    Args:
        status: HTTP status other than 2xx.
        headers: lower-case names.
        body: raw.
        url: of the request.
        path: the part of the URL after the base URL.
        now: seconds since 1970, for a date in ``Retry-After``.
    """
    if status in _REDIRECTS:
        message = f"HTTP {status}: {_redirect(headers.get('location', ''), url, path)}"
        return RequestRejected(message, url=url, status=status)
    try:
        return _error(status, headers, msgspec.json.decode(body), url=url, now=now)
    except (
        msgspec.DecodeError,
        UnicodeDecodeError,
        RecursionError,
    ):  # RecursionError: deep nesting
        return _error(status, headers, describe(body), url=url, now=now)


def error_inside(failure: Any, status: int | None = None) -> EndpointError:
    """Return the error for one inside a 200 response or inside a choice.

    Args:
        failure: the value of ``error``, of any shape.
        status: if known; else the error's own code, or one inferred from its words.
    """
    return _error(status or _status_in(failure), {}, {"error": failure}, url="", now=0.0)


def hidden_error(body: bytes) -> EndpointError | None:
    """The error that a response speaks of which says 200 and has not the shape that was asked for."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if not isinstance(answer, dict):
        return None
    says = any(isinstance(answer.get(name), str) for name in _WORD_NAMES)
    failure = answer.get("error") or answer.get("errors")
    return error_inside(failure or answer) if says or failure else None


def _status_in(failure: Any) -> int:
    details = failure if isinstance(failure, dict) else {}
    for name in ("code", "status", "status_code", "http_status"):
        code = details.get(name)
        if isinstance(code, str) and len(code) == 3 and code.isdecimal():  # not thousands of digits
            code = int(code)
        if isinstance(code, int) and not isinstance(code, bool) and 400 <= code < 600:
            return code
    if details.get("code") in _CONTEXT_CODES or is_about_context(_message_of(failure)):
        return 400
    said = " ".join(str(details.get(name, "")) for name in ("code", "type", "status"))
    for text in (said, _message_of(failure)):
        for pattern, status in _STATUS_WORDS:
            if pattern.search(text):
                return status
    return 500


def _error(
    status: int, headers: Mapping[str, str], response: Any, *, url: str, now: float
) -> EndpointError:
    words, codes, fields = _message_of(response), _codes_of(response), tuple(_fields_of(response))
    message = f"HTTP {status}: {words}" if words else f"HTTP {status} without a word"
    said = " ".join((*codes, words))
    if status == 429 or (status in (400, 403) and _TOO_OFTEN.search(said)):
        return RateLimited(message, url=url, retry_after=asked_wait(headers, response, now))
    if status >= 500:
        wait = asked_wait(headers, response, now)
        return ServerError(message, url=url, status=status, retry_after=wait)
    code = next(iter(codes), "")
    too_long = status in (400, 413, 422) and is_about_context(words)
    if set(codes) & _CONTEXT_CODES or too_long:
        return ContextOverflow(message, url=url, status=status, fields=fields, code=code)
    if status in _HINTS:
        message += f" ({_HINTS[status]})"
    return RequestRejected(message, url=url, status=status, fields=fields, code=code)


def is_about_context(words: str) -> bool:
    """Whether an error speaks of a full context."""
    return _CONTEXT_WORDS.search(words) is not None


def _redirect(location: str, url: str, path: str) -> str:
    """Describe where a redirect leads and which base URL to set."""
    if not location:
        return "redirects without a location"
    try:
        target = urljoin(url, location)
    except ValueError:
        return f"redirects to {location}, which is not a URL"
    base = target.partition("?")[0].removesuffix(path)
    if path and base != target.partition("?")[0]:
        return f"redirects to {target}; set the base URL to {base}"
    return f"redirects to {target}; is the base URL right?"


def describe(body: bytes) -> str:
    """Return the beginning of an unexpected body, with single blanks for white space."""
    more = "..." if len(body) > _DESCRIBED else ""
    return " ".join(body[:_DESCRIBED].decode("utf-8", "replace").split()) + more


def _error_member(response: Any) -> Any:
    """Return the part of a response that describes the error, in any common shape."""
    if isinstance(response, list) and response and isinstance(response[0], dict):
        return _error_member(response[0])
    if isinstance(response, dict):
        error = response.get("error")
        return error if isinstance(error, dict) else response
    return response


def _message_of(response: Any) -> str:
    error = _error_member(response)
    if not isinstance(error, dict):
        return _spelt(error)
    for name in _WORD_NAMES:
        found = error.get(name)
        if found:
            return _message_of(found) if isinstance(found, dict) else _spelt(found)
    return _spelt(error)


def _codes_of(response: Any) -> list[str]:
    """Return its machine-readable codes, most specific first."""
    error = _error_member(response)
    details = error if isinstance(error, dict) else {}
    return [str(details[key]) for key in ("code", "type") if details.get(key) is not None]


def _fields_of(response: Any) -> Iterator[str]:
    """Yield the request fields that a refusal names in ``param`` or in a validation error's ``loc``."""
    if isinstance(response, dict):
        for name, value in response.items():
            if name == "param" and isinstance(value, str):
                yield value.removeprefix("body.")
            elif name == "loc" and isinstance(value, list):
                yield from (part for part in value if isinstance(part, str) and part != "body")
            else:
                yield from _fields_of(value)
    elif isinstance(response, list):
        for value in response:
            yield from _fields_of(value)


def _spelt(words: Any) -> str:
    return words if isinstance(words, str) else msgspec.json.encode(words).decode()
