"""Where model code runs, and what else must not be trusted with an answer. Linux only.

What is guaranteed while a job runs, and after it, whatever the code does:

- **Time, memory, processes, files.** `Limits` holds; what exceeds it is killed, with everything that it
  has started, in whichever session or group that is. Nothing of it is left running when `Sandbox.run`
  returns, raises or is cancelled, or when this process is killed.
- **The machine's files** can be neither changed nor deleted. In a room (see below) only the interpreter
  and the system's libraries can be read at all.
- **Other processes** cannot be signalled, traced or starved of processes; there is no network.
- **The environment** of this process is not handed on, nor are its open files; output is dropped.

Two ways to confine, the first that the machine allows. A *room*: namespaces of its own, a read-only root,
a folder in memory, and a user who owns nothing. It needs root, or user namespaces. Elsewhere (a container
with the usual settings, say) a *filter*: the kernel refuses all system calls but those to compute and to
read. There, no process or thread can be started, and reading is left to the kernel's Landlock: without it
(before Linux 5.13), all that this user may read can be read. Where there is neither, nothing is run: a
`BenchmarkError` says so.

What is not guaranteed: that a job judges itself honestly. The tests of a program run in its own process,
so code that looks for them can pass without being right. Bugs of the kernel are beyond this, too.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import attrs
import trio

from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.jail.limits import Limits

__all__ = ["JobFailed", "Limits", "Sandbox"]

#: The libraries of the jobs would start a thread for each core, of which a fork has none.
_ENVIRONMENT = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
#: Seconds for the keeper's own start, with its imports, on a slow and busy machine.
_START = 120.0
#: Seconds that a keeper may take to end what it has started before it is killed itself.
_PATIENCE = 2.0
_WAYS = ("room", "filter")


class JobFailed(Exception):
    """The job in the sandbox did not return.

    Attributes:
        detail: why, in a line: ``AssertionError: ...``, ``timed out after 10 s``, ``killed by SIGSEGV``.
    """

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@attrs.define(eq=False)
class _Keeper:
    """A child process that confines others: see `jail.keeper`."""

    process: trio.Process
    log: IO[bytes]
    unread: bytes = b""

    async def ask(self, request: bytes) -> bytes:
        """Send a line, and return the line that answers it; b"" if the keeper is gone."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with contextlib.suppress(trio.BrokenResourceError):
            await self.process.stdin.send_all(request)
        while b"\n" not in self.unread:
            data = await self.process.stdout.receive_some()
            if not data:
                return b""
            self.unread += data
        line, _, self.unread = self.unread.partition(b"\n")
        return line

    def last_words(self) -> str:
        """The last line that it has written to standard error."""
        self.log.seek(0)
        lines = self.log.read().decode("utf-8", "replace").strip().split("\n")
        return lines[-1]

    async def end(self) -> None:
        """End it and all that it has started."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with trio.move_on_after(_PATIENCE, shield=True):
            await self.process.stdin.aclose()
            await self.process.wait()
        with contextlib.suppress(ProcessLookupError):
            if self.process.returncode is None:
                os.killpg(self.process.pid, signal.SIGKILL)
        with trio.move_on_after(_PATIENCE, shield=True):
            await self.process.wait()
            await self.process.stdout.aclose()
        self.log.close()


@attrs.define(eq=False)
class Sandbox:
    """Does jobs in confinement. What it promises is in the module's docstring.

    A job is one of `jail.jobs`. Each has a confined process to itself, forked from a keeper that has
    done the imports; there are as many keepers as cores, started when they are needed. It belongs to
    one Trio run; `aclose` ends the keepers.

    Attributes:
        imports: modules that the jobs need.
        limits: what a job may use.
        ways: the ways to confine that may be tried, the best first.
    """

    imports: tuple[str, ...] = ()
    limits: Limits = attrs.field(factory=Limits)
    ways: tuple[str, ...] = attrs.field(
        default=_WAYS,
        validator=attrs.validators.deep_iterable(attrs.validators.in_(_WAYS)),
    )
    _idle: list[_Keeper] = attrs.field(factory=list, init=False)
    _places: trio.CapacityLimiter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._places = trio.CapacityLimiter(os.cpu_count() or 1)

    async def run(self, job: str, argument: dict[str, Any]) -> Any:
        """Do a job and return what it does, as JSON has it.

        Raises:
            JobFailed: it raised, was killed, or ended its process.
            BenchmarkError: nothing can be confined on this machine.
        """
        request = self._request(job, argument)
        async with self._places:
            keeper = self._idle.pop() if self._idle else await self._start()
            answer, words = b"", ""
            try:
                with trio.move_on_after(self.limits.seconds + _START):
                    answer = await keeper.ask(request)
                if answer:
                    self._idle.append(keeper)
            finally:
                if not answer:
                    words = keeper.last_words()
                    await keeper.end()  # noqa: ASYNC102  # it is shielded, and limited, in there
        return self._value(answer, words)

    def run_sync(self, job: str, argument: dict[str, Any]) -> Any:
        """The same for where there is no event loop; with a keeper of its own, which it ends."""
        with self._keeper_sync() as (stdin, stdout):
            stdin.write(self._request(job, argument))
            stdin.flush()
            answer = stdout.readline()
        return self._value(answer)

    async def aclose(self) -> None:
        """End the keepers. Jobs must have ended before."""
        while self._idle:
            await self._idle.pop().end()
        await trio.lowlevel.checkpoint()

    def _command(self) -> list[str]:
        start = Path(__file__).parents[1] / "jail" / "_start.py"
        return [sys.executable, "-I", str(start), ",".join(self.ways), *self.imports]

    def _request(self, job: str, argument: dict[str, Any]) -> bytes:
        request = {"job": job, "argument": argument, "limits": self.limits}
        return json.dumps(request).encode() + b"\n"

    async def _start(self) -> _Keeper:
        log = tempfile.TemporaryFile()  # noqa: SIM115  # the keeper closes it
        try:
            process = await trio.lowlevel.open_process(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                env=_ENVIRONMENT,
            )
        except BaseException:
            log.close()
            raise
        return _Keeper(process, log)

    @contextlib.contextmanager
    def _keeper_sync(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        process = subprocess.Popen(  # noqa: S603  # our own words
            self._command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=_ENVIRONMENT,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        with process:
            yield process.stdin, process.stdout

    def _value(self, line: bytes, words: str = "") -> Any:
        if not line:
            raise BenchmarkError(f"the sandbox ended by itself, or did not start: {words}")
        answer = json.loads(line)
        if answer["outcome"] == "unavailable":
            raise BenchmarkError(
                f"what a model writes cannot be confined on this machine ({answer['detail']}), so it "
                "is not run; it takes Linux on x86-64 or arm64, where a container will do"
            )
        if answer["outcome"] == "done":
            return answer["value"]
        raise JobFailed(self._detail(answer))

    def _detail(self, answer: dict[str, Any]) -> str:
        reasons: dict[str, Callable[[], str]] = {
            "late": lambda: f"timed out after {self.limits.seconds:g} s",
            "loud": lambda: f"reported more than {self.limits.answer} bytes",
        }
        reason = reasons.get(answer["outcome"])
        return reason() if reason else str(answer["detail"])
