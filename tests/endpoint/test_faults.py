"""Whole searches against a server on a real socket that fails: once, always, or at random.

A fault that passes must change nothing but the count of retries; one that stays must end the search
with its own class and words; and either way nothing may be left, here or at the server.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import pytest
import trio

from tests.servers.fault_server import (
    HEALTHY,
    Fault,
    FaultServer,
    Request,
    always,
    answering,
    chunked,
    fault_server,
    once,
    reset,
    saying,
)
from tests.servers.mock_server import at_rest
from tests.servers.socket_server import (
    answer_forever,
    http_answer,
    raw_server,
    wait_for_disconnect,
)
from trio_beam import (
    AttemptTimeout,
    BeamSearchConfig,
    ConnectionFailed,
    ContextOverflow,
    Endpoint,
    EndpointError,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    RetryPolicy,
    SearchFailed,
    SearchResult,
    ServerError,
    beam_search,
)
from trio_beam.core.events import Event
from trio_beam.core.request_events import EndpointPaused, RequestRetried

#: Three rounds; in the second and the third two requests at the same time.
CONFIG = BeamSearchConfig(
    beam_width=2, n_per_beam=2, tokens_per_step=3, max_tokens=9, seed=1, early_stopping=False
)
#: One request after the other, so that all go over one connection while it is kept.
NARROW = attrs.evolve(CONFIG, beam_width=1)
DROPPING = attrs.evolve(CONFIG, on_beam_failure="drop_beam")
POLICY = RetryPolicy(attempts=3, wait_initial=0.001, wait_max=0.002)


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
    """

    fault: Fault
    kind: type[EndpointError]
    words: str
    transient: bool = True
    silent: bool = False
    slow: bool = False


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
        cases[str(status)] = Case(refusing(status), RequestRejected, words, transient=False)
    for status in (500, 502, 503, 504, 520, 529, 599):
        words = f"HTTP {status}: no such luck {status}"
        cases[str(status)] = Case(refusing(status), ServerError, words)
    for status in (501, 505):
        words = f"HTTP {status}: no such luck {status}"
        cases[str(status)] = Case(refusing(status), ServerError, words, transient=False)
    for status in (301, 302, 303, 307, 308):
        moved = answering(b"", status=f"{status} Moved", headers="location: /other/place\r\n")
        words = f"HTTP {status}: redirects to /other/place"
        cases[str(status)] = Case(moved, RequestRejected, words, transient=False)
    return cases


NOTHING = "empty|no body|nothing"
STATUSES = status_cases() | {
    "200 with an error": Case(
        answering({"error": {"message": "overloaded, sorry"}}),
        MalformedResponse,
        "overloaded, sorry",
        transient=False,
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
TRANSIENT = {name: case for name, case in FAULTS.items() if case.transient}
PASSING_QUICKLY = {name: case for name, case in QUICK.items() if case.transient}
PERMANENT = {name: case for name, case in FAULTS.items() if not case.transient}

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
    "an answer that nobody asked for": Fault(
        lambda right: [http_answer(right) + http_answer(right.replace(b"alpha", b"wrong"))]
    ),
}


def open_endpoint(url: str, **options: Any) -> Endpoint:
    settings: dict[str, Any] = {"model": "m", "dialect": "openai", "retry": POLICY}
    return Endpoint(url, **settings | options)


@asynccontextmanager
async def searching(
    case: Case, script: Callable[[Request], Fault], *, limit: float = 0.3
) -> AsyncIterator[tuple[Endpoint, FaultServer]]:
    """An endpoint on a faulty server; behind the block nothing may be left of either.

    A slow fault ends after `limit` seconds, in which whatever else is asked for must be answered.
    """
    with trio.fail_after(20):
        async with fault_server(script) as server:
            seconds = limit if case.slow else 10
            async with open_endpoint(server.url, attempt_timeout=seconds) as endpoint:
                yield endpoint, server
                at_rest(endpoint)
            assert endpoint.statistics().open_connections == 0
            await server.left()


async def undisturbed(config: BeamSearchConfig, prompt: str = "p") -> SearchResult:
    with trio.fail_after(20):
        async with fault_server(always(HEALTHY)) as server, open_endpoint(server.url) as endpoint:
            return await beam_search(endpoint, prompt, config)


def found(result: SearchResult) -> list[tuple[str, float]]:
    return [(beam.text, beam.score) for beam in result.beams]


def check_same(result: SearchResult, right: SearchResult, *, retries: int, lost: int = 0) -> None:
    """The same beams at the same cost, but for the requests that were repeated or given up."""
    assert found(result) == found(right)
    assert result.failures == ()
    requests = right.usage.requests + retries
    changed = attrs.evolve(right.usage, requests=requests, retries=retries, cancelled=lost)
    assert result.usage == changed


def check_error(error: EndpointError, case: Case, server: FaultServer, attempts: int) -> None:
    assert type(error) is case.kind
    assert error.url == f"{server.url}/completions"
    assert str(error).startswith(error.url)
    assert re.search(case.words, error.message)
    assert error.attempts == attempts
    assert ("after 3 attempts" in str(error)) == (attempts == 3)


def timeouts(case: Case, count: int) -> int:
    """How many attempts were given up, of so many that met the fault."""
    return count if case.slow else 0


@pytest.mark.parametrize("case", TRANSIENT.values(), ids=TRANSIENT)
async def test_what_happens_once_costs_a_retry(case: Case) -> None:
    right = await undisturbed(CONFIG)
    async with searching(case, once(case.fault)) as (endpoint, server):
        result = await beam_search(endpoint, "p", CONFIG)
        check_same(result, right, retries=1, lost=timeouts(case, 1))
        statistics = endpoint.statistics()
        assert (statistics.attempts, statistics.retries) == (right.usage.requests + 1, 1)
        assert [request.repeat for request in server.requests[:2]] == [0, 1]


@pytest.mark.parametrize("case", PASSING_QUICKLY.values(), ids=PASSING_QUICKLY)
async def test_nor_does_it_matter_on_a_kept_connection(case: Case) -> None:
    right = await undisturbed(NARROW)
    async with searching(case, once(case.fault, 1)) as (endpoint, server):
        result = await beam_search(endpoint, "p", NARROW)
        retries = 0 if case.silent else 1
        check_same(result, right, retries=retries, lost=timeouts(case, 1))
        assert [request.repeat for request in server.requests] == [0, 0, 1, 0]


@pytest.mark.parametrize("case", PERMANENT.values(), ids=PERMANENT)
async def test_what_no_retry_can_mend_loses_one_beam(case: Case) -> None:
    async with searching(case, once(case.fault, 1)) as (endpoint, server):
        result = await beam_search(endpoint, "p", DROPPING)
        assert (result.stop_reason, result.rounds) == ("max_tokens", 3)
        assert [beam.length for beam in result.beams] == [9, 9]
        [failure] = result.failures
        check_error(failure.error, case, server, attempts=1)
        assert (failure.round, failure.attempts, failure.beam.length) == (2, 1, 3)
        assert result.usage.retries == endpoint.statistics().retries == 0
        assert result.usage.requests == len(server.requests) == 5


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS)
async def test_what_always_happens_ends_the_search(case: Case) -> None:
    async with searching(case, always(case.fault), limit=0.1) as (endpoint, server):
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", CONFIG)
        attempts = 3 if case.transient else 1
        [failure] = caught.value.failures
        check_error(failure.error, case, server, attempts)
        assert (failure.round, failure.attempts, failure.beam.length) == (1, attempts, 0)
        assert str(failure.error) in str(caught.value)
        assert isinstance(caught.value.__cause__, ExceptionGroup)
        assert caught.value.__cause__.exceptions == (failure.error,)
        partial = caught.value.partial
        assert (partial.beams, partial.stop_reason, partial.rounds) == ((), "failed", 0)
        statistics = endpoint.statistics()
        assert len(server.requests) == statistics.attempts == partial.usage.requests == attempts
        assert statistics.retries == partial.usage.retries == attempts - 1
        assert statistics.cancelled == partial.usage.cancelled == timeouts(case, attempts)
        assert statistics.open_connections is not None
        assert statistics.open_connections <= 1  # an idle one may be kept


@pytest.mark.parametrize("case", QUICK.values(), ids=QUICK)
async def test_what_was_found_before_is_in_the_partial_result(case: Case) -> None:
    """From the second round on everything fails; then the server is well again."""
    well = False

    def script(request: Request) -> Fault:
        return HEALTHY if well or request.number == 0 else case.fault

    async with searching(case, script) as (endpoint, _):
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", NARROW)
        partial = caught.value.partial
        assert [beam.length for beam in partial.beams] == [3]
        assert partial.rounds == 1
        at_rest(endpoint)
        well = True
        assert found(await beam_search(endpoint, "p", NARROW)) == found(await undisturbed(NARROW))


@pytest.mark.parametrize("fault", HARMLESS.values(), ids=HARMLESS)
async def test_what_a_search_does_not_notice(fault: Fault) -> None:
    config = attrs.evolve(CONFIG, beam_width=6, max_tokens=18)
    right = await undisturbed(config)
    case = Case(fault, EndpointError, "")
    async with searching(case, always(fault)) as (endpoint, _):
        for _ in range(2):
            check_same(await beam_search(endpoint, "p", config), right, retries=0)


async def test_a_beam_that_no_longer_fits_is_no_failure() -> None:
    fault = refusing(413, "maximum context length is 8")
    case = Case(fault, ContextOverflow, "maximum context length is 8", transient=False)
    async with searching(case, once(fault, 1)) as (endpoint, _):
        result = await beam_search(endpoint, "p", CONFIG)
        assert result.failures == ()
        assert ("context", 3) in [(beam.finish_reason, beam.length) for beam in result.beams]
    async with searching(case, always(fault)) as (endpoint, server):
        with pytest.raises(SearchFailed) as caught:
            await beam_search(endpoint, "p", CONFIG)
        check_error(caught.value.failures[0].error, case, server, attempts=1)


# -- pauses that a server asks for


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (503, ServerError)])
async def test_retry_after_holds(status: int, kind: type[EndpointError]) -> None:
    fault = refusing(status, headers="retry-after: 0.02\r\n")
    events: list[Event] = []
    async with searching(Case(fault, kind, ""), once(fault)) as (endpoint, _):
        await beam_search(endpoint, "p", CONFIG, observers=[events.append])
    [paused] = [event for event in events if isinstance(event, EndpointPaused)]
    [retried] = [event for event in events if isinstance(event, RequestRetried)]
    assert paused.seconds == 0.02
    assert retried.wait >= 0.02
    assert isinstance(paused.error, (RateLimited, ServerError))
    assert paused.error.retry_after == 0.02


@pytest.mark.parametrize("seconds", ["31536000", "9" * 400], ids=["a year", "for ever"])
async def test_a_pause_beyond_all_measure_is_not_waited_for(seconds: str) -> None:
    """``wait_total`` bounds the waits of a request; its beam is lost, and the others go on."""
    fault = refusing(429, headers=f"retry-after: {seconds}\r\n")
    case = Case(fault, RateLimited, "HTTP 429", transient=False)
    async with searching(case, once(fault, 1)) as (endpoint, server):
        with trio.fail_after(1):
            result = await beam_search(endpoint, "p", DROPPING)
        [failure] = result.failures
        check_error(failure.error, case, server, attempts=1)


# -- before there is a request


async def test_a_server_that_listens_only_at_the_second_attempt() -> None:
    """A port that is bound and not listened on refuses."""
    sock = trio.socket.socket()
    await sock.bind(("127.0.0.1", 0))
    listening = trio.Event()

    def listen(event: Event) -> None:
        if isinstance(event, RequestRetried):
            assert isinstance(event.error, ConnectionFailed)
            assert event.error.never_sent
            sock.listen()
            listening.set()

    async def answer(stream: trio.SocketStream) -> None:
        with suppress(trio.BrokenResourceError):
            await answer_forever(stream, 0)

    async def serve() -> None:
        await listening.wait()
        await trio.serve_listeners(answer, [trio.SocketListener(sock)])

    right = await undisturbed(NARROW)
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
            async with open_endpoint(url) as endpoint:
                result = await beam_search(endpoint, "p", NARROW, observers=[listen])
                check_same(result, right, retries=1)
                at_rest(endpoint)
            nursery.cancel_scope.cancel()


async def test_a_server_that_never_listens() -> None:
    sock = trio.socket.socket()
    await sock.bind(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
    with sock, trio.fail_after(20):
        async with open_endpoint(url) as endpoint:
            with pytest.raises(SearchFailed, match="cannot connect: Connection refused") as caught:
                await beam_search(endpoint, "p", CONFIG)
            at_rest(endpoint)
            statistics = endpoint.statistics()
            assert (statistics.attempts, statistics.retries) == (3, 2)
            assert statistics.open_connections == 0
        [failure] = caught.value.failures
        assert type(failure.error) is ConnectionFailed
        assert failure.error.never_sent
        assert failure.attempts == 3


# -- while the request is sent: longer than what the buffers of both sides take

LONG_PROMPT = "x" * (8 * 2**20)
ONE_ROUND = attrs.evolve(CONFIG, max_tokens=3)


async def test_a_server_that_never_reads() -> None:
    released = trio.Event()

    async def never_read(stream: trio.SocketStream, number: int) -> None:
        await released.wait()
        await wait_for_disconnect(stream)

    with trio.fail_after(20):
        async with raw_server(never_read) as server:
            async with open_endpoint(
                server.url, attempt_timeout=0.3, retry=attrs.evolve(POLICY, attempts=2)
            ) as endpoint:
                with pytest.raises(SearchFailed, match=TIMED_OUT) as caught:
                    await beam_search(endpoint, LONG_PROMPT, ONE_ROUND)
                at_rest(endpoint)
                statistics = endpoint.statistics()
                assert (statistics.attempts, statistics.cancelled) == (2, 2)
                assert statistics.open_connections == 0
            released.set()
            await server.empty.wait()
    [failure] = caught.value.failures
    assert type(failure.error) is AttemptTimeout


@pytest.mark.parametrize("then", ["fin", "rst"])
async def test_a_server_that_refuses_before_it_has_read_all(then: str) -> None:
    async def refuse(stream: trio.SocketStream, number: int) -> None:
        await stream.receive_some()
        await stream.send_all(http_answer({"error": "far too long"}, status="413 Too Large"))
        if then == "rst":
            reset(stream)

    with trio.fail_after(20):
        async with raw_server(refuse) as server:
            async with open_endpoint(server.url) as endpoint:
                with pytest.raises(SearchFailed, match="HTTP 413: far too long") as caught:
                    await beam_search(endpoint, LONG_PROMPT, ONE_ROUND)
                at_rest(endpoint)
            await server.empty.wait()
            assert server.connections == 1
    [failure] = caught.value.failures
    assert type(failure.error) is RequestRejected


# -- many at the same time, at random

WIDE = attrs.evolve(CONFIG, beam_width=5, max_tokens=15, on_beam_failure="drop_beam")


def at_random(seed: int, cases: list[Case], share: float = 0.3) -> Callable[[Request], Fault]:
    """Faults for that share of the requests, whatever the order in which they come."""

    def script(request: Request) -> Fault:
        source = random.Random(f"{seed}|{request.body}|{request.repeat}")
        if source.random() >= share:
            return HEALTHY
        return source.choice(cases).fault

    return script


@pytest.mark.parametrize("seed", range(4))
async def test_faults_at_random_that_pass(seed: int) -> None:
    cases = list(TRANSIENT.values())
    right = await undisturbed(WIDE)
    with trio.fail_after(20):
        async with fault_server(at_random(seed, cases)) as server:
            async with open_endpoint(
                server.url,
                attempt_timeout=0.2,
                retry=attrs.evolve(POLICY, attempts=12),
                max_n=1,
            ) as endpoint:
                result = await beam_search(endpoint, "p", WIDE)
                assert found(result) == found(right)
                assert (result.failures, result.stop_reason) == ((), "max_tokens")
                assert result.usage.completion_tokens == right.usage.completion_tokens
                statistics = endpoint.statistics()
                # The silent repetitions on kept connections are no attempts.
                assert len(server.requests) >= statistics.attempts == result.usage.requests
                assert statistics.retries == result.usage.retries > 5
                at_rest(endpoint)
            await server.left()


async def ended(search: Awaitable[SearchResult]) -> SearchResult:
    """What it found, or what it had found until it failed."""
    try:
        return await search
    except SearchFailed as error:
        return error.partial


@pytest.mark.parametrize("seed", range(8))
async def test_faults_of_all_kinds_at_random(seed: int) -> None:
    """Either it ends with as many beams as were asked for, or it says why it could not."""
    kinds = {case.kind for case in FAULTS.values()}
    with trio.fail_after(20):
        async with fault_server(at_random(seed, list(FAULTS.values()))) as server:
            async with open_endpoint(server.url, attempt_timeout=0.2) as endpoint:
                result = await ended(beam_search(endpoint, "p", WIDE))
                if result.stop_reason == "failed":
                    assert result.failures
                else:
                    assert (result.stop_reason, result.rounds) == ("max_tokens", 5)
                    assert [beam.length for beam in result.beams] == [15] * 5
                assert {type(failure.error) for failure in result.failures} <= kinds
                assert result.usage.retries == endpoint.statistics().retries
                assert math.isfinite(sum(beam.score for beam in result.beams))
                at_rest(endpoint)
            assert endpoint.statistics().open_connections == 0
            await server.left()
