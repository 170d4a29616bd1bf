"""Responses made to exhaust memory: 32 KiB on the wire never cost more than 16 MiB."""

from __future__ import annotations

import gzip
import zlib
from functools import cache

import pytest

from tests.endpoint.bad_peer import MEGABYTE, at_most, bad_peer, check_recovery
from tests.servers.fault_server import Fault, answering
from tests.servers.socket_server import http_answer
from trio_beam import MalformedResponse


def elements(head: bytes, element: bytes, size: int = MEGABYTE) -> bytes:
    return head + element * ((size - len(head)) // len(element))


#: Just as long as a small request may have them; each element is decoded to an object.
DENSE = {
    "choices": elements(b'{"choices":[', b"{},"),
    "entries": elements(b'{"choices":[{"logprobs":{"content":[', b'{"token":""},'),
    "alternatives": elements(b'{"choices":[{"logprobs":{"top_logprobs":[', b'{"a":1},'),
    "lists": elements(b'{"choices":[{"error":[', b"[],"),
    "texts": elements(b'{"choices":[{"logprobs":{"tokens":[', b'"ab",'),
    "comments": elements(b"", b":\n"),
    "events": elements(b"", b"data:{}\n\n"),
    "pieces": elements(b"", b'data:{"choices":[{"index":1}]}\n\n'),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("body", DENSE.values(), ids=DENSE)
async def test_many_small_objects(body: bytes, stream: bool) -> None:
    packed = gzip.compress(body)
    fault = answering(packed, headers="content-encoding: gzip\r\n")
    async with bad_peer(lambda request: fault, stream=stream) as peer:
        with at_most(16 * MEGABYTE):
            error = await peer.error()
        assert type(error) is MalformedResponse
        await check_recovery(peer)


@cache
def long(window: int) -> bytes:
    """24 MiB in 32 KiB or less."""
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return b"".join([packer.compress(b" " * MEGABYTE) for _ in range(24)]) + packer.flush()


LONG = {
    "gzip": ("gzip", 31),
    "x-gzip": ("x-gzip", 31),
    "deflate": ("deflate", 15),
    "deflate without its frame": ("deflate", -15),
}


@pytest.mark.parametrize(("coding", "window"), LONG.values(), ids=LONG)
async def test_a_long_text(coding: str, window: int) -> None:
    fault = answering(long(window), headers=f"content-encoding: {coding}\r\n")
    async with bad_peer(lambda request: fault) as peer:
        with at_most(4 * MEGABYTE):
            error = await peer.error()
        assert "more than its request justifies" in error.message
        await check_recovery(peer)


@pytest.mark.parametrize("coding", ["br", "zstd", "compress"])
async def test_a_coding_that_was_not_asked_for(coding: str) -> None:
    fault = answering(b"\x28\xb5\x2f\xfd" * 8192, headers=f"content-encoding: {coding}\r\n")
    async with bad_peer(lambda request: fault) as peer:
        with at_most(MEGABYTE):
            assert type(await peer.error()) is MalformedResponse
        await check_recovery(peer)


async def test_a_refusal_is_bounded_too() -> None:
    fault = answering(
        gzip.compress(elements(b'{"error":[', b"{},")),
        status="500 Oops",
        headers="content-encoding: gzip\r\n",
    )
    async with bad_peer(lambda request: fault) as peer:
        with at_most(16 * MEGABYTE):
            await peer.error()
        await check_recovery(peer)


async def test_a_right_answer_that_packs_well() -> None:
    """White space is no attack."""

    def pieces(right: bytes) -> list[bytes]:
        packed = gzip.compress(right.ljust(MEGABYTE))
        return [http_answer(packed, headers="content-encoding: gzip\r\n")]

    async with bad_peer(lambda request: Fault(pieces)) as peer:
        await peer.result()
        await check_recovery(peer)
