"""Run jobs of math-verify and reasoning-gym in the sandbox."""

from __future__ import annotations

import json
from typing import Any

import attrs
import trio

from trio_beam.benchmark.sandbox.bubblewrap import find_bubblewrap
from trio_beam.benchmark.sandbox.inside.channel import NOT_A_REPORT, Message
from trio_beam.benchmark.sandbox.inside.limits import Limits
from trio_beam.benchmark.sandbox.process import ProcessFailed, SandboxProcess, ending
from trio_beam.benchmark.sandbox.sandbox import Sandbox


@attrs.define(eq=False)
class Verifier:
    """Runs jobs of `inside.verifiers` in the sandbox, each in its own process.

    Importing the package takes up to a second, so processes that have imported it are kept, as many as there
    were concurrent jobs, and each job runs in a fork of one. They belong to one Trio run, and `aclose` ends
    them.

    Attributes:
        package: ``math_verify`` or ``reasoning_gym``.
        limits: the limits of a job.
    """

    package: str
    limits: Limits = attrs.field(factory=Limits)
    _sandbox: Sandbox = attrs.field(init=False)
    _idle: list[SandboxProcess] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._sandbox = Sandbox(self.limits)

    async def check(self) -> None:
        """Check that jobs can run on this machine.

        Raises:
            BenchmarkError: they cannot; the message says why.
        """
        await self._sandbox.check()

    async def run(self, job: str, **arguments: Any) -> Any:
        """Run a job and return its report: arbitrary JSON, which the caller must validate.

        Raises:
            ProcessFailed: it raised, took too long, was killed, or reported no JSON.
            BenchmarkError: nothing can be run on this machine.
        """
        async with self._sandbox.slot():
            process = self._idle.pop() if self._idle else await self._start()
            answered = False
            try:
                with self._sandbox.time_limit():
                    await process.send("job", json.dumps([job, arguments]))
                    message = await process.receive()
                answered = True
            finally:
                if answered:
                    self._idle.append(process)
                else:
                    await process.aclose()  # noqa: ASYNC102  # shielded, with a deadline, inside
        return _value(message)

    def run_sync(self, job: str, **arguments: Any) -> Any:
        """Run a job without an event loop, with its own import. Blocks.

        Not for model-written text, since the size of the report is unlimited.

        Raises:
            ProcessFailed: it raised, or was killed.
            BenchmarkError: nothing can be run on this machine, or it took too long.
        """
        request = f"job {json.dumps([job, arguments])}\n".encode()
        output = find_bubblewrap().run(["verifiers", self.package], self.limits, request)
        return _value(Message.parse((output.splitlines() or [b""])[-1]))

    async def aclose(self) -> None:
        """End the processes, after all jobs have ended. May be called repeatedly."""
        while self._idle:
            await self._idle.pop().aclose()
        await trio.lowlevel.checkpoint()

    async def _start(self) -> SandboxProcess:
        bubblewrap = await self._sandbox.check()
        process = await SandboxProcess.start(bubblewrap, ["verifiers", self.package], self.limits)
        try:
            await process.ready()
        except BaseException:
            await process.aclose()  # noqa: ASYNC102  # shielded, with a deadline, inside
            raise
        return process


def _value(message: Message) -> Any:
    """Return a job's report or raise `ProcessFailed`. The message may be anything."""
    word, rest = message
    if word in ("raised", "failed"):
        raise ProcessFailed(rest)
    try:
        if word == "done":
            return json.loads(rest)
        signal_number = int(rest)
    except (ValueError, RecursionError):
        raise ProcessFailed(NOT_A_REPORT) from None
    raise ProcessFailed(ending(signal_number))
