"""What a server may do to one request, and what is to become of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from tests.servers.fault_server import (
    HEALTHY,
    Fault,
    answering,
    chunked,
    saying,
)
from tests.servers.socket_server import (
    http_answer,
)
from trio_beam import (
    AttemptTimeout,
    ConnectionFailed,
    EndpointError,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    ServerError,
)


@attrs.frozen
class Case:
    """A fault, and what is to become of it.

    Attributes:
        fault: what the server does.
        kind: the class of the error.
        words: what its message must say.
        transient: whether it is worth a retry.
        silent: whether on a kept connection it looks as if it had been closed while idle, and is
            repeated without being counted.
        slow: whether it ends by the ``attempt_timeout``.
        full: whether, behind a longer beam, it may mean that the context is full.
        explained: whether it then says so by itself.
        spellings: how often it is sent if the server has not taken its fields before: a field that the
            refusal does not name may be to blame.
    """

    fault: Fault
    kind: type[EndpointError]
    words: str
    transient: bool = True
    silent: bool = False
    slow: bool = False
    full: bool = False
    explained: bool = False
    spellings: int = 1


def cut(share: float, fault: Fault = HEALTHY) -> Callable[[bytes], list[bytes]]:
    """Only the first part of what would be sent."""

    def pieces(right: bytes) -> list[bytes]:
        whole = b"".join(fault.pieces(right))
        return [whole[: int(len(whole) * share)]]

    return pieces


def head_only(right: bytes) -> list[bytes]:
    return [http_answer(right)[: -len(right)]]


def claiming(length: Callable[[int], int]) -> Callable[[bytes], list[bytes]]:
    """A body behind a content-length that is not its own."""
    head = "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n"
    return lambda right: [head.format(length(len(right))).encode() + right]


CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def in_chunks(right: bytes, end: bytes = b"0\r\n\r\n") -> list[bytes]:
    half = len(right) // 2
    return [CHUNKED_HEAD + chunked(right[:half], right[half:]) + end]


def bytewise(
    right: bytes, first: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n{"
) -> Any:
    """A beginning, and then a blank at a time without end."""
    yield first
    while True:
        yield b" "


def refusing(status: int, words: str = "no such luck", headers: str = "") -> Fault:
    body = {"error": {"message": f"{words} {status}"}}
    return answering(body, status=f"{status} Whatever", headers=headers)


def status_cases() -> dict[str, Case]:
    """Statuses that carry the server's words."""
    cases: dict[str, Case] = {}
    for status in (408, 409, 425):
        cases[str(status)] = Case(refusing(status), RequestRejected, f"HTTP {status}: no such luck")
    for status in (400, 401, 403, 404, 405, 413, 418, 422):
        words = f"HTTP {status}: no such luck {status}"
        cases[str(status)] = Case(
            refusing(status),
            RequestRejected,
            words,
            transient=False,
            full=status in (400, 413, 422),
            explained=status == 413,
            spellings=8 if status in (400, 422) else 1,
        )
    for status in (500, 502, 503, 504, 520, 529, 599):
        words = f"HTTP {status}: no such luck {status}"
        cases[str(status)] = Case(refusing(status), ServerError, words)
    for status in (501, 505):
        words = f"HTTP {status}: no such luck {status}"
        spellings = 8 if status == 501 else 1
        cases[str(status)] = Case(
            refusing(status), ServerError, words, transient=False, spellings=spellings
        )
    for status in (301, 302, 303, 307, 308):
        moved = answering(b"", status=f"{status} Moved", headers="location: /other/place\r\n")
        words = (
            rf"HTTP {status}: redirects to http://127.0.0.1:\d+/other/place; is the base URL right"
        )
        cases[str(status)] = Case(moved, RequestRejected, words, transient=False)
    return cases


NOTHING = "empty|no body|nothing"
STATUSES = status_cases() | {
    "200 with an error": Case(
        answering({"error": {"message": "overloaded, sorry"}}),
        ServerError,
        "HTTP 503: overloaded, sorry",
    ),
    "204": Case(saying(b"HTTP/1.1 204 No Content\r\n\r\n"), MalformedResponse, NOTHING),
    "304": Case(
        saying(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        RequestRejected,
        r"HTTP 304(?!.*redirect)",
        transient=False,
    ),
    "307 to nowhere": Case(
        answering(b"", status="307 Moved"), RequestRejected, "HTTP 307", transient=False
    ),
    "307 to what is no URL": Case(
        answering(b"", status="307 Moved", headers="location: http://[::1/v2\r\n"),
        RequestRejected,
        "HTTP 307",
        transient=False,
    ),
    "429": Case(refusing(429), RateLimited, "HTTP 429: no such luck 429"),
    "429 with Retry-After": Case(
        refusing(429, headers="retry-after: 0.02\r\n"), RateLimited, "HTTP 429: no such luck 429"
    ),
    "429 with a date that has passed": Case(
        refusing(429, headers="retry-after: Wed, 21 Oct 2015 07:28:00 GMT\r\n"),
        RateLimited,
        "HTTP 429",
    ),
    "429 with a Retry-After that says nothing": Case(
        refusing(429, headers="retry-after: -soon\r\n"), RateLimited, "HTTP 429"
    ),
    "503 with Retry-After": Case(
        refusing(503, headers="retry-after: 0.02\r\n"), ServerError, "HTTP 503: no such luck 503"
    ),
    "500 without a word": Case(
        answering(b"", status="500 Oops"), ServerError, "HTTP 500 without a word"
    ),
}

CUT_SHORT = r"[1-9]\d+ (of|bytes, expected) \d+"
CUTS = {
    "reset before the head": Case(
        saying(b"", "rst"), ConnectionFailed, "Connection reset by peer", silent=True
    ),
    "closed before the head": Case(
        saying(b"", "fin"), ConnectionFailed, "closed the connection without an answer", silent=True
    ),
    "reset in the head": Case(
        Fault(cut(0.02), "rst"), ConnectionFailed, "Connection reset by peer"
    ),
    "closed in the head": Case(Fault(cut(0.02), "fin"), ConnectionFailed, "connection lost: "),
    "reset behind the head": Case(
        Fault(head_only, "rst"), ConnectionFailed, "Connection reset by peer"
    ),
    "closed behind the head": Case(
        Fault(head_only, "fin"), ConnectionFailed, r"\b0 (of|bytes, expected) \d+"
    ),
    "reset in the body": Case(Fault(cut(0.8), "rst"), ConnectionFailed, "Connection reset by peer"),
    "closed in the body": Case(Fault(cut(0.8), "fin"), ConnectionFailed, CUT_SHORT),
    "closed in a chunk": Case(
        Fault(cut(0.8, Fault(in_chunks)), "fin"), ConnectionFailed, "incomplete chunked read"
    ),
    "closed before the last chunk": Case(
        Fault(lambda right: in_chunks(right, b""), "fin"),
        ConnectionFailed,
        "incomplete chunked read",
    ),
    "closed in a body without a length": Case(
        Fault(lambda right: [b"HTTP/1.1 200 OK\r\n\r\n" + right[:-9]], "fin"),
        MalformedResponse,
        'not JSON: {"choices"',
    ),
}

BODIES = {
    "a content-length that is too long": Case(
        Fault(claiming(lambda length: length + 7), "fin"),
        ConnectionFailed,
        CUT_SHORT,
    ),
    "a content-length that is too short": Case(
        Fault(claiming(lambda length: length - 7)), MalformedResponse, 'not JSON: {"choices"'
    ),
    "a chunk longer than it says": Case(
        Fault(lambda right: [CHUNKED_HEAD + b"5\r\n" + right + b"\r\n0\r\n\r\n"]),
        ConnectionFailed,
        "chunk",
    ),
    "a chunk without a length": Case(
        Fault(lambda right: [CHUNKED_HEAD + b"many\r\n" + right + b"\r\n0\r\n\r\n"]),
        ConnectionFailed,
        "chunk header",
    ),
    "not JSON": Case(answering(b"hello there"), MalformedResponse, "not JSON: hello there"),
    "half of the JSON": Case(
        Fault(lambda right: [http_answer(right[:-9])]), MalformedResponse, 'not JSON: {"choices"'
    ),
    "JSON of another shape": Case(
        answering({"object": "list", "data": []}),
        MalformedResponse,
        r"missing required field `choices`: {\"object\"",
        transient=False,
    ),
    "an empty body": Case(answering(b""), MalformedResponse, NOTHING),
    "a page of HTML": Case(
        answering(b"<html><h1>Welcome to nginx", headers="content-type: text/html\r\n"),
        MalformedResponse,
        "not JSON: <html><h1>Welcome to nginx",
        transient=False,
    ),
    "not HTTP": Case(
        saying(b"220 smtp.example.org ESMTP\r\n\r\n"), ConnectionFailed, "status line"
    ),
}

TIMED_OUT = "no answer within attempt_timeout="
SLOW = {
    "no answer ever": Case(saying(b"", "hang"), AttemptTimeout, TIMED_OUT, slow=True),
    "half a body and no more": Case(Fault(cut(0.8), "hang"), AttemptTimeout, TIMED_OUT, slow=True),
    "a byte at a time": Case(Fault(bytewise, pause=0.02), AttemptTimeout, TIMED_OUT, slow=True),
    "a byte of the head at a time": Case(
        Fault(lambda right: bytewise(right, b"HTTP/1.1 200 OK\r\nx: "), pause=0.02),
        AttemptTimeout,
        TIMED_OUT,
        slow=True,
    ),
}

QUICK = STATUSES | CUTS | BODIES
FAULTS = QUICK | SLOW
#: Some servers close the connection for a field that they cannot take.
FAULTS |= {
    name: attrs.evolve(case, spellings=2)
    for name, case in FAULTS.items()
    if case.kind is ConnectionFailed
}
TRANSIENT = {name: case for name, case in FAULTS.items() if case.transient}
PASSING_QUICKLY = {name: case for name, case in QUICK.items() if case.transient}
PERMANENT = {name: case for name, case in FAULTS.items() if not case.transient and not case.full}
FULL = {name: case for name, case in FAULTS.items() if case.full}
UNEXPLAINED = {name: case for name, case in FULL.items() if not case.explained}

#: What a server may do without a search noticing.
HARMLESS = {
    "closed behind the body": Fault(HEALTHY.pieces, "fin"),
    "reset behind the body": Fault(HEALTHY.pieces, "rst"),
    "closed behind the last chunk": Fault(in_chunks, "fin"),
    "a body without a length": Fault(lambda right: [b"HTTP/1.1 200 OK\r\n\r\n" + right], "fin"),
    "connection: close": Fault(
        lambda right: [http_answer(right, headers="connection: close\r\n")], "fin"
    ),
    "connection: close, and left open": Fault(
        lambda right: [http_answer(right, headers="connection: close\r\n")], "hang"
    ),
    "a length and chunks": Fault(
        lambda right: [in_chunks(right)[0].replace(b"\r\n", b"\r\ncontent-length: 5\r\n", 1)]
    ),
    "the same length twice": Fault(
        lambda right: [http_answer(right, headers=f"content-length: {len(right)}\r\n")]
    ),
    "no reason": Fault(lambda right: [http_answer(right).replace(b" OK", b"", 1)]),
    "odd case and blanks": Fault(
        lambda right: [http_answer(right).replace(b"content-length: ", b"CONTENT-length:\t  ", 1)]
    ),
    "HTTP/1.0": Fault(lambda right: [b"HTTP/1.0 200 OK\r\n\r\n" + right], "fin"),
    "bytes behind the body": Fault(lambda right: [http_answer(right) + b"\r\nand more"]),
}
