"""Judge a program by tests that run in another process."""

from __future__ import annotations

import json

from trio_beam.benchmark.sandbox.inside.channel import NOT_A_REPORT
from trio_beam.benchmark.sandbox.process import ProcessFailed, SandboxProcess
from trio_beam.benchmark.sandbox.sandbox import Sandbox


async def judge(sandbox: Sandbox, *, prompt: str, completion: str, tests: str, name: str) -> None:
    """Run a program in one process and its tests in another; return if all tests pass.

    Only this process connects the two. It passes each call of the tests to the program and each answer
    back, and interprets neither. The verdict thus comes from a process that has run no line of the program
    and received nothing but values from it (`inside.values`).

    Args:
        sandbox: starts both; its limits apply to each of them, and its wall time to both together.
        prompt: the problem's beginning of the program: imports, helpers, a signature.
        completion: the model's rest of the program.
        tests: the source of a function ``check(candidate)``.
        name: name of the function to test.

    Raises:
        ProcessFailed: the program does not pass.
        BenchmarkError: nothing can be run on this machine.
    """
    async with (
        sandbox.slot(),
        sandbox.process("program") as program,
        sandbox.process("checks") as checks,
    ):
        await program.ready()
        await checks.ready()
        with sandbox.time_limit():
            await load(program, prompt + completion, name)
            await checks.send("check", json.dumps([prompt, tests, name]))
            await _relay(program, checks)


async def load(program: SandboxProcess, source: str, name: str) -> None:
    """Run a program to its end in a process that is ready.

    Raises:
        ProcessFailed: the program raised, or ended its process.
    """
    await program.send("load", json.dumps([source, name]))
    word, rest = await program.receive()
    if word != "loaded":
        raise ProcessFailed(rest if word == "raised" else NOT_A_REPORT)


async def _relay(program: SandboxProcess, checks: SandboxProcess) -> None:
    """Relay calls and answers between the two until the tests end.

    Raises:
        ProcessFailed: a test failed, or one of the processes did.
    """
    while True:
        word, rest = await checks.receive()
        if word == "passed":
            return
        if word != "call":
            raise ProcessFailed(rest)
        await program.send("call", rest)
        await checks.send(*await program.receive())
