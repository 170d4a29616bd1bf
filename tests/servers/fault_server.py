"""An HTTP/1.1 server on a raw socket that misbehaves as it is told, request by request.

A script says for each request what is done with it: a `Fault`, or `HEALTHY`, which gives the right
answer: one that depends on the prompt and the seed only, so that searches can be compared.
"""

from __future__ import annotations

import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias

import attrs
import trio
from trio.testing import wait_all_tasks_blocked

from tests.servers.mock_server import WORDS, completion
from tests.servers.socket_server import RawServer, http_answer, raw_server, wait_for_disconnect

#: Makes what is sent, in pieces, out of the right answer's body; may be endless.
Pieces: TypeAlias = Callable[[bytes], Iterable[bytes]]


@attrs.frozen
class Request:
    """One request as it came.

    Attributes:
        number: from 0, over all connections.
        path: with its ``/v1``.
        body: its JSON; empty for a GET.
        repeat: how often the same was sent before.
    """

    number: int
    path: str
    body: dict[str, Any]
    repeat: int


@attrs.frozen
class Fault:
    """What is done with one request.

    Attributes:
        pieces: what is sent.
        then: and what becomes of the connection: it goes on, is closed in order, is reset, or
            is left as it is until the peer has gone.
        pause: seconds after each piece.
    """

    pieces: Pieces
    then: Literal["keep", "fin", "rst", "hang"] = "keep"
    pause: float = 0

    async def carry_out(self, stream: trio.SocketStream, right: bytes) -> bool:
        """Do it; whether the connection goes on."""
        for piece in self.pieces(right):
            await stream.send_all(piece)
            if self.pause:
                await trio.sleep(self.pause)
        if self.then == "hang":
            await wait_for_disconnect(stream)
        if self.then == "rst":
            reset(stream)
        return self.then == "keep"


#: The right answer.
HEALTHY = Fault(lambda right: [http_answer(right)])

Script: TypeAlias = Callable[[Request], Fault]


def always(fault: Fault) -> Script:
    return lambda request: fault


def once(fault: Fault, number: int = 0) -> Script:
    """Only for the request of that number."""
    return lambda request: fault if request.number == number else HEALTHY


def saying(data: bytes, then: Literal["keep", "fin", "rst", "hang"] = "keep") -> Fault:
    """Send these bytes, whatever was asked."""
    return Fault(lambda right: [data] if data else [], then)


def answering(body: Any, status: str = "200 OK", headers: str = "") -> Fault:
    """Send this answer, whatever was asked."""
    return saying(http_answer(body, status=status, headers=headers))


def chunked(*chunks: bytes) -> bytes:
    """Chunks, without the last one, which is empty."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)


def reset(stream: trio.SocketStream) -> None:
    """Close with RST instead of FIN."""
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@attrs.frozen
class FaultServer:
    """Where it is, and what it was asked."""

    raw: RawServer
    requests: list[Request] = attrs.field(factory=list)

    @property
    def url(self) -> str:
        return self.raw.url

    async def left(self) -> None:
        """Wait until every connection has ended."""
        if self.raw.connections:
            await self.raw.empty.wait()
        await wait_all_tasks_blocked()
        assert self.raw.open == 0


@asynccontextmanager
async def fault_server(script: Script) -> AsyncIterator[FaultServer]:
    """Serve by a script while the block runs."""
    seen: Counter[str] = Counter()
    requests: list[Request] = []

    async def serve(stream: trio.SocketStream, number: int) -> None:
        going = True
        while going:
            path, body = await _read_request(stream)
            same = f"{path} {json.dumps(body)}"
            request = Request(len(requests), path, body, seen[same])
            seen[same] += 1
            requests.append(request)
            if "max_completion_tokens" in body:  # tried where a refusal named no field
                body = {"max_tokens": body["max_completion_tokens"], **body}
            going = await script(request).carry_out(stream, right_answer(path, body))

    async with raw_server(serve) as raw:
        yield FaultServer(raw, requests)


async def _read_request(stream: trio.SocketStream) -> tuple[str, dict[str, Any]]:
    """(path, JSON); `trio.BrokenResourceError` if the peer has gone."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += await _some(stream)
    first, *lines = data[:end].decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    total = end + 4 + int(headers.get("content-length", 0))
    while len(data) < total:
        data += await _some(stream)
    return first.split(" ")[1], json.loads(data[end + 4 :] or b"{}")


async def _some(stream: trio.SocketStream) -> bytes:
    data = await stream.receive_some()
    if not data:
        raise trio.BrokenResourceError
    return bytes(data)


# -- right answers


def right_answer(path: str, body: dict[str, Any]) -> bytes:
    """What a server in order says."""
    answers: dict[str, Callable[[dict[str, Any]], Any]] = {
        "/v1/models": lambda _: {"data": [{"id": "m"}]},
        "/v1/completions": completion,
        "/v1/chat/completions": _chat,
        "/completion": _native,
        "/apply-template": lambda body: {"prompt": json.dumps(body["messages"])},
        "/tokenize": lambda body: {"tokens": [len(WORDS) + byte for byte in b"prompt"]},
        "/props": lambda _: {"total_slots": 4},
    }
    return json.dumps(answers[path](body)).encode()


def _chat(body: dict[str, Any]) -> dict[str, Any]:
    answer = completion({**body, "prompt": json.dumps(body["messages"])})
    for choice in answer["choices"]:
        choice["message"] = {"role": "assistant", "content": choice.pop("text")}
        choice["logprobs"] = {"content": _entries(choice["logprobs"])}
    return answer


def _native(body: dict[str, Any]) -> list[dict[str, Any]] | dict[str, Any]:
    asked = {"max_tokens": body["n_predict"], "n": body.get("n_cmpl", 1)}
    answer = completion({**body, **asked, "prompt": json.dumps(body["prompt"])})
    rows = [
        {
            "index": choice["index"],
            "tokens": [WORDS.index(word) for word in choice["logprobs"]["tokens"]],
            "completion_probabilities": _entries(choice["logprobs"]),
            "stop_type": "limit",
            "truncated": False,
            "tokens_evaluated": 7,
        }
        for choice in answer["choices"]
    ]
    return rows if "n_cmpl" in body else rows[0]


def _entries(logprobs: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"id": WORDS.index(word), "token": word, "bytes": list(word.encode()), "logprob": value}
        for word, value in zip(logprobs["tokens"], logprobs["token_logprobs"], strict=True)
    ]
