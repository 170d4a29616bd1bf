"""Control a process in the sandbox from outside: its start, its messages and its end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack

import attrs
import trio

from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.sandbox.bubblewrap import (
    ENVIRONMENT,
    START_SECONDS,
    Bubblewrap,
    last_line,
    open_filter,
)
from trio_beam.benchmark.sandbox.inside.channel import Message
from trio_beam.benchmark.sandbox.inside.limits import Limits

_CHUNK = 1 << 16
#: Seconds that the kernel may take to set up or tear down a sandbox.
_PATIENCE = 5.0
#: Seconds to wait for the last output of a process that has ended.
_LAST_WORDS = 1.0
_DETAIL = 200  # characters


class ProcessFailed(Exception):
    """A process in the sandbox failed at its job, through its own fault, not the machine's.

    Attributes:
        detail: a one-line reason, such as ``AssertionError: ...`` or ``timed out after 10 s``.
    """

    def __init__(self, detail: str) -> None:
        self.detail = one_line(detail) or "no reason given"
        super().__init__(self.detail)


@attrs.define(eq=False)
class SandboxProcess:
    """A process that plays a role of `inside.start`.

    `aclose` ends it and everything it has started. So does any end of this process.

    Attributes:
        limits: what it may use.
    """

    limits: Limits
    _bwrap: subprocess.Popen[bytes]
    #: File descriptor of the sandbox's first process (pidfd): when that ends, the kernel kills all others
    #: in there. None if the sandbox could not be made.
    _first: int | None
    _input: trio.lowlevel.FdStream
    _output: trio.lowlevel.FdStream
    _errors: trio.lowlevel.FdStream
    _unread: bytes = b""

    @classmethod
    async def start(
        cls, bubblewrap: Bubblewrap, role: Sequence[str], limits: Limits
    ) -> SandboxProcess:
        """Start a process; `ready` waits for its success.

        Raises:
            BenchmarkError: this machine has no files, processes or memory left.
        """
        with ExitStack() as ours, ExitStack() as theirs:
            try:
                their_input, input_ = _pipe(theirs, ours)
                output, their_output = _pipe(ours, theirs)
                errors, their_errors = _pipe(ours, theirs)
                info, their_info = _pipe(ours, theirs)
                their_filter = open_filter(role)
                theirs.callback(os.close, their_filter)
                # Not by Trio, which would start it in a thread that ends when it has been idle for a
                # while: the kernel kills bubblewrap when the thread that started it ends
                # (--die-with-parent, which is PR_SET_PDEATHSIG).
                bwrap = subprocess.Popen(  # noqa: ASYNC220, S603  # a few milliseconds; our own arguments
                    bubblewrap.command(role, limits, filter_from=their_filter, info_to=their_info),
                    stdin=their_input,
                    stdout=their_output,
                    stderr=their_errors,
                    pass_fds=[their_info, their_filter],
                    env=ENVIRONMENT,
                    start_new_session=True,  # keeps the terminal's Ctrl-C away from it
                )
            except OSError as error:
                raise BenchmarkError(
                    f"no process can be started in the sandbox: {error}"
                ) from error
            ours.pop_all()
        input_stream, output_stream, errors_stream = map(
            trio.lowlevel.FdStream, (input_, output, errors)
        )
        first = await _first_process(info)
        return cls(limits, bwrap, first, input_stream, output_stream, errors_stream)

    async def ready(self) -> None:
        """Wait until it accepts messages. No model-written code has run by then.

        Raises:
            BenchmarkError: it did not start.
        """
        words = f"not ready after {START_SECONDS:g} s"
        with trio.move_on_after(START_SECONDS):
            try:
                word, words = await self.receive()
            except ProcessFailed as failed:
                words = await self._last_words() or failed.detail
            else:
                if word == "ready":
                    return
        raise BenchmarkError(f"a process in the sandbox did not start: {one_line(words)}")

    async def send(self, word: str, rest: str) -> None:
        """Send a message; if the process has ended, do nothing, and `receive` will raise."""
        with contextlib.suppress(trio.BrokenResourceError):
            await self._input.send_all(f"{word} {rest}\n".encode())

    async def receive(self) -> Message:
        """Return its next message.

        Raises:
            ProcessFailed: it has ended, or its message is too long.
        """
        while b"\n" not in self._unread:
            if len(self._unread) > self.limits.message:
                raise ProcessFailed(f"reported more than {self.limits.message} bytes")
            data = await self._output.receive_some(_CHUNK)
            if not data:
                raise ProcessFailed(await self._why_ended())
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return Message.parse(line)

    async def aclose(self) -> None:
        """Kill it, and wait until nothing is left of it. May be called repeatedly."""
        if self._first is None:
            self._bwrap.kill()
        else:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            os.close(self._first)
            self._first = None
        with trio.move_on_after(_PATIENCE, shield=True):
            await self._wait()
        for stream in (self._input, self._output, self._errors):
            with trio.move_on_after(_PATIENCE, shield=True):
                await stream.aclose()

    async def _wait(self) -> int:
        """Wait for bubblewrap, which ends after everything in the sandbox; return its exit code."""
        code = self._bwrap.poll()
        if code is None:
            handle = os.pidfd_open(self._bwrap.pid)
            try:
                await trio.lowlevel.wait_readable(handle)
            finally:
                os.close(handle)
            code = self._bwrap.wait()
        return code

    async def _why_ended(self) -> str:
        # Bubblewrap holds the output open too, so it has ended or is about to. Like a shell, it exits with
        # 128 plus the signal's number.
        code = await self._wait()
        return ending(code - 128 if code > 128 else 0)

    async def _last_words(self) -> str:
        """Return the last line that bubblewrap or Python wrote to standard error."""
        data = b""
        with trio.move_on_after(_LAST_WORDS):
            data = await self._errors.receive_some(_CHUNK)
        return last_line(data)


async def _first_process(info: int) -> int | None:
    """Wait for the sandbox's first process and return its pidfd; None if it never starts.

    Cannot be cancelled. Without the pidfd only bubblewrap itself could be killed, and the first process
    might then wait for it for ever.
    """
    data = b""
    with trio.move_on_after(_PATIENCE, shield=True):
        async with trio.lowlevel.FdStream(info) as stream:
            async for part in stream:
                data += part
    try:
        return os.pidfd_open(json.loads(data)["child-pid"])
    except (ValueError, LookupError, OSError):
        return None


def _pipe(for_reader: ExitStack, for_writer: ExitStack) -> tuple[int, int]:
    """Open a pipe whose ends a stack will close."""
    reader, writer = os.pipe()
    for_reader.callback(os.close, reader)
    for_writer.callback(os.close, writer)
    return reader, writer


def ending(signal_number: int) -> str:
    """Describe how a process ended before finishing its job; 0 means no signal."""
    if signal_number == 0:
        return "the program ended itself"
    if signal_number == signal.SIGXCPU:
        return "killed at its limit of processor time"
    names = {one.value: one.name for one in signal.Signals}
    return f"killed by {names.get(signal_number, f'signal {signal_number}')}"


def one_line(text: str) -> str:
    """Return the first line of a text, shortened and without control characters, for printing."""
    line = text.strip().split("\n", 1)[0][:_DETAIL]
    return "".join(character if character.isprintable() else "?" for character in line)
