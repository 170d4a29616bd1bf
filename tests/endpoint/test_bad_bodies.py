"""Bodies and words without bounds: what is read, unpacked and shown of them is bounded."""

from __future__ import annotations

import gzip
import zlib
from functools import cache

import pytest

from tests.endpoint.bad_peer import (
    CHUNKED,
    LONG,
    MEGABYTE,
    OK,
    Spoil,
    at_most,
    bad_peer,
    check_recovery,
    endless,
)
from tests.servers.fault_server import (
    Fault,
    answering,
    chunked,
    saying,
)
from tests.servers.socket_server import http_answer
from trio_beam import (
    ConnectionFailed,
    MalformedResponse,
    RequestRejected,
)

LIMIT = MEGABYTE


def told(length: int) -> bytes:
    return OK + b"content-length: %d\r\n\r\n" % length


TOO_LONG = {
    "2 GiB, sent": endless(told(2**31), LONG),
    "a length of 18 digits, sent": endless(told(10**18 - 1), LONG),
    "chunks without end": endless(CHUNKED, chunked(LONG)),
    "no length and no end": endless(OK + b"\r\n", LONG),
    "2 GiB as one chunk": endless(CHUNKED + b"80000000\r\n", LONG),
    "one byte too many": saying(told(LIMIT + 1) + b" " * (LIMIT + 1)),
}


@pytest.mark.parametrize("fault", TOO_LONG.values(), ids=TOO_LONG)
async def test_a_body_longer_than_the_limit(fault: Fault) -> None:
    async with bad_peer(lambda request: fault, max_answer_bytes=LIMIT) as peer:
        with at_most(4 * LIMIT):
            error = await peer.error()
        assert type(error) is MalformedResponse
        assert f"longer than {LIMIT} bytes" in error.message
        assert error.attempts == len(peer.server.requests) == 1
        await check_recovery(peer)


async def test_a_length_beyond_the_limit_is_not_waited_for() -> None:
    """With the limit that the request justifies; nothing follows the head."""
    fault = saying(told(2**31), "hang")
    async with bad_peer(lambda request: fault, attempt_timeout=0.3) as peer:
        with at_most(MEGABYTE):
            error = await peer.error()
        assert type(error) is MalformedResponse
        assert "more than its request justifies" in error.message
        await check_recovery(peer)


async def test_a_length_within_the_limit_is_not_allocated_before_it_comes() -> None:
    fault = Fault(lambda right: [told(MEGABYTE) + right], "fin")
    async with bad_peer(lambda request: fault) as peer:
        with at_most(MEGABYTE // 2):
            error = await peer.error()
        assert type(error) is ConnectionFailed
        await check_recovery(peer)


async def test_a_body_that_is_just_as_long_as_the_limit() -> None:
    def pieces(right: bytes) -> list[bytes]:
        return [http_answer(right.ljust(LIMIT))]

    async with bad_peer(lambda request: Fault(pieces), max_answer_bytes=LIMIT) as peer:
        await peer.result()
        await check_recovery(peer)


async def test_a_body_in_tiny_chunks_costs_what_it_is_long() -> None:
    limit = 60_000
    fault = endless(CHUNKED, chunked(b"xy") * 2000)
    async with bad_peer(lambda request: fault, max_answer_bytes=limit) as peer:
        with at_most(10 * limit):
            error = await peer.error()
        assert f"longer than {limit} bytes" in error.message
        await check_recovery(peer)


@cache
def bomb(encoding: str) -> bytes:
    """64 MiB of blanks, packed."""
    packers = {
        "gzip": lambda: zlib.compressobj(9, zlib.DEFLATED, 31),
        "deflate": lambda: zlib.compressobj(9),
    }
    packer = packers[encoding.partition(",")[0]]()
    packed = b"".join([packer.compress(b" " * MEGABYTE) for _ in range(64)]) + packer.flush()
    return gzip.compress(packed) if "," in encoding else packed


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip"])
async def test_a_short_body_that_unpacks_to_a_long_one(encoding: str, status: str) -> None:
    headers = f"content-encoding: {encoding}\r\n"
    fault = answering(bomb(encoding), status=status, headers=headers)
    async with bad_peer(lambda request: fault, max_answer_bytes=LIMIT) as peer:
        with at_most(8 * LIMIT):
            error = await peer.error()
        if status == "200 OK":
            assert type(error) is MalformedResponse
            words = "compressed 2 times" if "," in encoding else f"longer than {LIMIT} bytes"
            assert words in error.message
        else:
            assert isinstance(error, (MalformedResponse, RequestRejected))
        await check_recovery(peer)


BAD_PACKING: dict[str, Spoil] = {
    "cut": lambda right: gzip.compress(right)[:-20],
    "a checksum that is wrong": lambda right: gzip.compress(right)[:-8] + b"checksum",
    "not packed": lambda right: right,
    "nothing": lambda right: b"",
}


@pytest.mark.parametrize("spoil", BAD_PACKING.values(), ids=BAD_PACKING)
async def test_a_packed_body_that_is_broken(spoil: Spoil) -> None:
    def pieces(right: bytes) -> list[bytes]:
        return [http_answer(spoil(right), headers="content-encoding: gzip\r\n")]

    async with bad_peer(lambda request: Fault(pieces)) as peer:
        error = await peer.error()
        assert type(error) is MalformedResponse
        assert error.attempts == 2  # a broken body may be whole another time
        await check_recovery(peer)


LONG_WORDS = {
    "a redirect": answering(
        b"", status="307 Moved", headers="location: /" + "x" * 100_000 + "\r\n"
    ),
    "a reason": saying(b"HTTP/1.1 400 " + b"x" * 100_000 + b"\r\ncontent-length: 0\r\n\r\n"),
    "a refusal": answering({"error": {"message": "x" * MEGABYTE}}, status="400 Bad Request"),
    "a code": answering(
        {"error": {"message": "no", "code": "x" * MEGABYTE}}, status="400 Bad Request"
    ),
    "a page": answering(b"x" * MEGABYTE, status="500 Oops"),
    "not JSON": answering(b"x" * MEGABYTE),
    "another shape": answering({"x" * MEGABYTE: 1}),
}


@pytest.mark.parametrize("fault", LONG_WORDS.values(), ids=LONG_WORDS)
async def test_the_servers_words_are_cut(fault: Fault) -> None:
    async with bad_peer(lambda request: fault) as peer:
        assert len(str(await peer.error())) < 2000
        await check_recovery(peer)
