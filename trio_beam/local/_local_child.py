"""The process that runs the embedded model; started by `local.server`, never by hand.

It imports nothing of trio_beam, so that it starts fast. The first line of its input is its key, the first
line of its output its address. It ends when its input ends, which also happens if its parent is killed.

llama.cpp answers on a socket in a folder of this process alone; here its requests are let in. It would
answer to any ``Host``, and so to a page that has its own name point here; nor does it look at ``Origin``.
"""

import argparse
import os
import re
import signal
import socket
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import trio

#: What `Host` may say; None: anything.
Hosts: TypeAlias = set[bytes] | None

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_LONGEST_HEAD = 1 << 16
_PIECE = 1 << 18
#: A header as every reader reads it: nothing before the colon, no line that goes on in the next.
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")


def main() -> None:
    """Serve until standard input ends."""
    # Started in a session of its own, but that is not everywhere enough: the parent ends this.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = argparse.ArgumentParser()
    for name in ("--model-file", "--alias", "--host", "--keys"):
        parser.add_argument(name, required=True)
    for name in ("--port", "--slots", "--context", "--threads"):
        parser.add_argument(name, type=int, required=True)
    options = parser.parse_args()
    key = sys.stdin.buffer.readline().decode().strip()
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    try:
        listener = socket.create_server((options.host, options.port), family=family, backlog=1024)
    except OSError as error:
        sys.exit(f"cannot listen on port {options.port} of {options.host}: {error.strerror}")
    port = listener.getsockname()[1]
    file = Path(options.keys) / f"{port}.key"
    file.unlink(missing_ok=True)  # of a server that was killed
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        try:
            server = _start(options, key, folder)
            os.write(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), key.encode())
            sys.stdout.write(f"{port}\n")
            sys.stdout.flush()
            trio.run(_serve, listener, server.listening_address, _hosts(options.host, port))
            del server  # stops it
        finally:
            file.unlink(missing_ok=True)


def _start(options: argparse.Namespace, key: str, folder: str) -> Any:
    # Its threads wait for each other many times a token. By spinning, which OpenMP does otherwise, they
    # keep each other from working wherever anything else wants a core: tenfold slower and worse.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

    import xllamacpp  # noqa: PLC0415  # after the arguments: it takes a while

    params = xllamacpp.CommonParams()
    params.model.path = options.model_file
    params.model_alias = {options.alias}
    params.api_keys = [key]
    params.cors_origins, params.cors_origins_explicit = "", True
    # Where trio has no such sockets (Windows), a second port; it wants the key as well.
    unix = hasattr(socket, "AF_UNIX")
    params.hostnames = [str(Path(folder, "llama.sock")) if unix else "127.0.0.1"]
    params.port = 0
    params.n_parallel = options.slots
    # Not unified: every slot has a cache of its own, so a result does not depend on its neighbours.
    params.kv_unified = False
    params.n_ctx = options.context * options.slots
    params.cpuparams.n_threads = options.threads
    params.cpuparams_batch.n_threads = options.threads
    params.endpoint_props = params.endpoint_slots = params.endpoint_metrics = True
    # No cache of prompts besides the slots' own: with it, and requests of several choices, llama.cpp
    # now and then answers from a wrong context (docs/servers.md; tests/e2e/test_exact.py).
    params.cache_ram_mib = 0
    params.ui = False
    params.verbosity = 0
    return xllamacpp.Server(params)


def _hosts(host: str, port: int) -> Hosts:
    """Anything where other machines may ask: by which names is not known here."""
    if host not in _LOOPBACK:
        return None
    names = [f"[{name}]" if ":" in name else name for name in _LOOPBACK]
    return {f"{name}:{port}".encode() for name in names} | (
        {name.encode() for name in names} if port == 80 else set()
    )


async def _serve(listener: socket.socket, address: str, hosts: Hosts) -> None:
    async with trio.open_nursery() as nursery:
        listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(listener))]
        nursery.start_soon(trio.serve_listeners, partial(_relay, address, hosts), listeners)
        # Not waited for if it is all that is left: reading ends with this process.
        await trio.to_thread.run_sync(sys.stdin.buffer.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


async def _relay(address: str, hosts: Hosts, client: trio.SocketStream) -> None:
    """Hand the requests of one connection on; whoever of the two sides ends it ends it for both."""
    try:
        async with client, await _connect(address) as server, trio.open_nursery() as nursery:
            lock = trio.Lock()
            nursery.start_soon(_answers, server, client, lock, nursery.cancel_scope)
            refusal = await _requests(client, server, hosts)
            if refusal:
                async with lock:
                    await client.send_all(refusal)
            nursery.cancel_scope.cancel()
    except* (OSError, trio.BrokenResourceError):
        pass  # one of them is gone


async def _connect(address: str) -> trio.SocketStream:
    if not address.startswith("unix://"):
        host, _, port = address.removeprefix("http://").rpartition(":")
        return await trio.open_tcp_stream(host, int(port))
    while True:
        stream = await trio.open_unix_socket(address.removeprefix("unix://"))
        try:
            stream.socket.getpeername()
        except (
            OSError
        ):  # too many wait to be accepted; Linux says so in a way that trio does not see
            await stream.aclose()
            await trio.sleep(0.01)
        else:
            return stream


async def _answers(
    server: trio.SocketStream, client: trio.SocketStream, lock: trio.Lock, scope: trio.CancelScope
) -> None:
    while data := await server.receive_some(_PIECE):
        async with lock:
            await client.send_all(data)
    scope.cancel()


async def _requests(
    client: trio.SocketStream, server: trio.SocketStream, hosts: Hosts
) -> bytes | None:
    """Hand requests on until one is refused or there are no more; return the refusal."""
    data = b""
    while True:
        while (end := data.find(b"\r\n\r\n")) < 0:
            if len(data) > _LONGEST_HEAD:
                return _refusal(431, "the head of the request is too long")
            if not (more := await client.receive_some(_PIECE)):
                return None
            data += more
        head, data = data[: end + 4], data[end + 4 :]
        length, refusal = check(head, hosts)
        if refusal:
            return refusal
        await server.send_all(head + data[:length])
        length, data = length - len(data[:length]), data[length:]
        while length:
            if not (more := await client.receive_some(min(length, _PIECE))):
                return None
            await server.send_all(more)
            length -= len(more)


def check(head: bytes, hosts: Hosts) -> tuple[int, bytes | None]:
    """Return the length of a request's body, and the response that refuses it (None: it is let in).

    Where another reader might see another request than this one does, it is refused.
    """
    found: dict[bytes, list[bytes]] = {}
    for line in head[:-4].split(b"\r\n")[1:]:
        matched = _HEADER.fullmatch(line)
        if matched is None:
            return 0, _refusal(400, "a header is malformed")
        found.setdefault(matched[1].lower(), []).append(matched[2].lower())
    host, length = found.get(b"host", []), found.get(b"content-length", [b"0"])
    if len(host) != 1 or (hosts is not None and host[0] not in hosts):
        return 0, _refusal(403, "this server is for programs of this machine: foreign Host")
    if any(origin != b"http://" + host[0] for origin in found.get(b"origin", [])):
        return 0, _refusal(403, "this server is not for web pages: foreign Origin")
    if (
        b"transfer-encoding" in found
        or len(length) != 1
        or not re.fullmatch(rb"\d{1,18}", length[0])
    ):
        return 0, _refusal(411, "the body needs a Content-Length")
    return int(length[0]), None


def _refusal(status: int, message: str) -> bytes:
    body = f'{{"error":{{"message":"{message}","type":"invalid_request_error","code":{status}}}}}'
    head = f"HTTP/1.1 {status} Refused\r\ncontent-type: application/json\r\nconnection: close"
    return f"{head}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


if __name__ == "__main__":
    main()
