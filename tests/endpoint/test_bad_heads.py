"""Heads without end and without sense, and headers that do not matter."""

from __future__ import annotations

import pytest
import trio

from tests.endpoint.bad_peer import (
    CHUNKED,
    LONG,
    MEGABYTE,
    OK,
    at_most,
    bad_peer,
    check_recovery,
    endless,
)
from tests.servers.fault_server import (
    Fault,
    saying,
)
from trio_beam import (
    ConnectionFailed,
    SearchResult,
)

ENDLESS = {
    "status line": endless(b"HTTP/1.1 200 ", LONG),
    "no line at all": endless(b"", LONG),
    "empty lines": endless(b"", b"\r\n" * 1000),
    "header line": endless(OK + b"x: ", LONG),
    "header name": endless(OK, LONG),
    "headers": endless(OK, b"x: y\r\n" * 1000),
    "folded header": endless(OK + b"x: y\r\n", b" y\r\n" * 1000),
    "1xx answers": endless(b"", b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n" * 100),
    "100 Continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "chunk header": endless(CHUNKED, b"1" * 65536),
    "chunk extension": endless(CHUNKED + b"5;x=", LONG),
    "trailers": endless(CHUNKED + b"0\r\n", b"x: y\r\n" * 1000),
}


@pytest.mark.parametrize("fault", ENDLESS.values(), ids=ENDLESS)
async def test_a_head_without_end(fault: Fault) -> None:
    """Cut off by its length: the time allowed to an attempt, here 300 s, is not used up for it."""
    async with bad_peer(lambda request: fault) as peer:
        with trio.fail_after(20), at_most(4 * MEGABYTE):
            error = await peer.error()
        assert type(error) is ConnectionFailed
        assert error.attempts == 2
        await check_recovery(peer)


def with_length(value: bytes) -> Fault:
    return Fault(lambda right: [OK + b"content-length: " + value + b"\r\n\r\n" + right], "fin")


NONSENSE = {
    "a length that is no number": with_length(b"many"),
    "a negative length": with_length(b"-1"),
    "a length with a sign": with_length(b"+5"),
    "a length beyond all measure": with_length(b"9" * 5000),
    "a blank before the colon": saying(OK + b"content-length : 5\r\n\r\n", "fin"),
    "two lengths": with_length(b"5\r\ncontent-length: 6"),
    "an unknown transfer coding": saying(OK + b"transfer-encoding: gzip\r\n\r\n", "fin"),
    "a header without a name": saying(OK + b": x\r\n\r\n", "fin"),
    "a header without a colon": saying(OK + b"hello\r\n\r\n", "fin"),
    "a NUL in a header": saying(OK + b"x: a\0b\r\n\r\n", "fin"),
    "a status of two digits": saying(b"HTTP/1.1 20 OK\r\n\r\n", "fin"),
    "a status below 100": saying(b"HTTP/1.1 099 OK\r\n\r\n", "fin"),
    "another protocol": saying(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\n\r\n", "fin"),
    "HTTP/2": saying(b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0d\0\4\0\x10\0\0\0\6\0\0@\0", "fin"),
    "TLS": saying(b"\x15\x03\x01\x00\x02\x02\x16", "fin"),
}


@pytest.mark.parametrize("fault", NONSENSE.values(), ids=NONSENSE)
async def test_a_head_without_sense(fault: Fault) -> None:
    """It says what is wrong with it, not that nothing had come."""
    async with bad_peer(lambda request: fault) as peer:
        error = await peer.error()
        assert type(error) is ConnectionFailed
        assert error.attempts == 2
        assert "without an answer" not in error.message
        await check_recovery(peer)


ODD_HEADERS = {
    "bytes that are no text": b"x-\xffodd: \x80\xff\r\n",
    "a value that is no text": b"x-odd: \x80\xff\xc3\x28\r\n",
    "no text in the content type": b"content-type: \xff; charset=\xff\r\n",
    "an unknown charset": b"content-type: application/json; charset=klingon\r\n",
    "an unknown encoding": b"content-encoding: klingon\r\n",
    "no text in the encoding": b"content-encoding: \xff\xfe\r\n",
    "a wait that is none": b"retry-after: \xff\r\nretry-after: nan\r\n",
    "bare line feeds": b"x: y\nz: w\n",
    "a thousand of them": b"x: y\r\n" * 1000,
}


@pytest.mark.parametrize("headers", ODD_HEADERS.values(), ids=ODD_HEADERS)
async def test_headers_that_do_not_matter(headers: bytes) -> None:
    def pieces(right: bytes) -> list[bytes]:
        return [OK + headers + b"content-length: %d\r\n\r\n" % len(right) + right]

    # A header name that is not ASCII is not HTTP.
    refused = headers.startswith(b"x-\xff")
    async with bad_peer(lambda request: Fault(pieces)) as peer:
        outcome = await peer.search()
        assert type(outcome) is (ConnectionFailed if refused else SearchResult)
        await check_recovery(peer)
