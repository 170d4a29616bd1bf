"""A process in the sandbox, from outside: messages to it and from it, and its end."""

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

from trio_beam.benchmark.problem import BenchmarkError
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
#: Seconds that the kernel may take to end a process that was killed.
_PATIENCE = 5.0
#: Seconds from the end of a process's output to its own, if it ends by itself.
_LAST_MOMENT = 1.0
_DETAIL = 200  # characters


class ProcessFailed(Exception):
    """A process in the sandbox did not do what it was started for.

    Attributes:
        detail: why, in a line: ``AssertionError: ...``, ``timed out after 10 s``, ``killed by SIGSEGV``.
    """

    def __init__(self, detail: str) -> None:
        self.detail = one_line(detail)
        super().__init__(self.detail)


@attrs.define(eq=False)
class SandboxProcess:
    """A running process that plays a role of `inside.start`. `aclose` ends it and all that it started.

    It also ends when this process does, however that ends.
    """

    limits: Limits
    _bwrap: subprocess.Popen[bytes]
    #: Of the first process in the sandbox, with whose end the kernel ends all others; None if it failed.
    _first: int | None
    _input: trio.lowlevel.FdStream
    _output: trio.lowlevel.FdStream
    _errors: trio.lowlevel.FdStream
    _unread: bytes = b""

    @classmethod
    async def start(
        cls, bubblewrap: Bubblewrap, role: Sequence[str], limits: Limits
    ) -> SandboxProcess:
        """Start a process. Whether that succeeds is known after `ready`.

        Raises:
            BenchmarkError: this machine has no more processes, files or memory.
        """
        with ExitStack() as ours, ExitStack() as theirs:
            try:
                their_input, input_ = _pipe(theirs, ours)
                output, their_output = _pipe(ours, theirs)
                errors, their_errors = _pipe(ours, theirs)
                info, their_info = _pipe(ours, theirs)
                their_filter = open_filter(role)
                theirs.callback(os.close, their_filter)
                # In this thread, not by Trio in another: bubblewrap is killed when the thread that
                # started it ends (PR_SET_PDEATHSIG), and Trio's threads end when they are idle.
                bwrap = subprocess.Popen(  # noqa: ASYNC220, S603  # a few milliseconds; our words
                    bubblewrap.command(role, limits, filter_from=their_filter, info_to=their_info),
                    stdin=their_input,
                    stdout=their_output,
                    stderr=their_errors,
                    pass_fds=[their_info, their_filter],
                    env=ENVIRONMENT,
                    start_new_session=True,  # the terminal's Ctrl-C is not for it
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
        """Wait until it can take messages. Nothing that a model wrote has run by then.

        Raises:
            BenchmarkError: it did not start, which is this machine's fault.
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
        """Send a message; if it has ended, `receive` will tell."""
        with contextlib.suppress(trio.BrokenResourceError):
            await self._input.send_all(f"{word} {rest}\n".encode())

    async def receive(self) -> Message:
        """Return its next message.

        Raises:
            ProcessFailed: it has ended, or sends something else than messages of bounded length.
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
        """Kill it, and wait until nothing of it is left."""
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
        """Wait for the end of bubblewrap, which ends after everything in the sandbox has."""
        code = self._bwrap.poll()
        if code is None:
            handle = os.pidfd_open(self._bwrap.pid)
            try:
                await trio.lowlevel.wait_readable(handle)
            finally:
                os.close(handle)
            code = self._bwrap.wait()  # it has ended
        return code

    async def _why_ended(self) -> str:
        # Bubblewrap has the output open as well, so that has ended, or is about to. It ends as a shell
        # does: with 128 and the signal's number.
        code = await self._wait()
        return ending(code - 128 if code > 128 else 0)

    async def _last_words(self) -> str:
        """What bubblewrap, or Python, has said at last."""
        data = b""
        with trio.move_on_after(_LAST_MOMENT):
            data = await self._errors.receive_some(_CHUNK)
        return last_line(data)


async def _first_process(info: int) -> int | None:
    """Return a handle of the first process in the sandbox; None if there is none.

    It cannot be cancelled: before the handle is there, only bubblewrap itself could be killed, and the
    first process might wait for it for ever.
    """
    data = b""
    with trio.move_on_after(_PATIENCE, shield=True):
        async with trio.lowlevel.FdStream(info) as stream:
            async for part in stream:
                data += part
    try:
        return os.pidfd_open(json.loads(data)["child-pid"])
    except (ValueError, LookupError, ProcessLookupError):
        return None


def _pipe(for_reader: ExitStack, for_writer: ExitStack) -> tuple[int, int]:
    """Open a pipe, each end of which its side's stack closes."""
    reader, writer = os.pipe()
    for_reader.callback(os.close, reader)
    for_writer.callback(os.close, writer)
    return reader, writer


def ending(signal_number: int) -> str:
    """Why a process ended before its job did; 0 if it was by itself."""
    if signal_number == 0:
        return "the program ended itself"
    if signal_number == signal.SIGXCPU:
        return "killed at its limit of processor time"
    names = {one.value: one.name for one in signal.Signals}
    return f"killed by {names.get(signal_number, f'signal {signal_number}')}"


def one_line(text: str) -> str:
    """Return a text that may be printed anywhere: the first line of it, with printable characters only."""
    line = text.strip().split("\n", 1)[0][:_DETAIL]
    return "".join(character if character.isprintable() else "?" for character in line)
