"""Programs that fork, loop, eat memory, delete, listen, spy and lie.

Whatever a program does here would do no harm if it were let out: it goes for files, processes and
sockets of the test only.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from tests.benchmark.sandbox.processes import children_of, descendants_of, until
from tests.benchmark.sandbox.programs import (
    FORKS,
    REFUSED,
    fails,
    nothing_is_left,
    ready,
    run,
)
from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.sandbox import Limits, Sandbox, bubblewrap
from trio_beam.benchmark.sandbox.verdict import load


@pytest.fixture(autouse=True)
async def in_time() -> AsyncIterator[None]:
    with trio.fail_after(60):
        yield


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


async def test_a_program_that_is_right_returns(sandbox: Sandbox) -> None:
    await run(
        sandbox,
        """
        import collections, dataclasses, hashlib, heapq, math, re, typing

        @dataclasses.dataclass
        class Point:
            x: "int"

        assert Point(3).x == math.isqrt(9)
        assert __name__ != "__main__"
        """,
    )


WRONG = [
    ("assert 1 == 2", "AssertionError"),
    ("assert 1 == 2, 'two lines\\nof words'", "AssertionError: two lines"),
    ("1 / 0", "ZeroDivisionError: division by zero"),
    ("def f(:", "SyntaxError: invalid syntax (solution.py, line 1)"),
    ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
    ("raise SystemExit", "SystemExit"),
    ("import sys; sys.exit(0)", "SystemExit: 0"),
    ("import os; os._exit(0)", "the program ended itself"),
    ("class E(Exception):\n    def __str__(self): 1 / 0\nraise E", "E"),
    ("raise Exception('\\ud800')", "Exception: ?"),
    ("raise Exception('\\x1b[2J\\rred')", "Exception: ?[2J?red"),
    ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
    ("import os; os.abort()", "killed by SIGABRT"),
    ("x = bytearray(1 << 40)", "MemoryError"),
    ("x = []\nwhile True: x.append(bytes(1 << 24))", "MemoryError"),
    ("import mmap\nx = mmap.mmap(-1, 1 << 31)", "OSError: [Errno 12] Cannot allocate memory"),
    ("import threading\nthreading.Thread(target=print).start()", "RuntimeError: can't"),
    ("x = '(' * 100_000\neval(x)", "SyntaxError: too many nested parentheses"),
    ("import os\nos.write(41, b'unavailable')\nos._exit(0)", "the program ended itself"),
    ("import os\nos.write(41, b'unavailable\\n')", "it sent something other than a report"),
    ("import os\nos.write(41, bytes([255, 10]))", "it sent something other than a report"),
]


async def test_what_is_wrong_is_said_in_a_line(sandbox: Sandbox) -> None:
    for source, detail in WRONG:
        said = await fails(sandbox, source)
        assert said.startswith(detail), source
        assert said.isprintable()
        assert len(said) <= 200


async def test_a_program_that_loops_is_killed() -> None:
    sandbox = Sandbox(limits=Limits(seconds=0.5))
    assert await fails(sandbox, "while True: pass") == "timed out after 0.5 s"
    assert await fails(sandbox, "import time; time.sleep(100)") == "timed out after 0.5 s"
    stops = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    assert await fails(sandbox, stops) == "timed out after 0.5 s"
    ignores = """
        import signal
        for number in set(range(1, 65)) - {9, 19, 32, 33}:
            signal.signal(number, signal.SIG_IGN)
        while True: pass
    """
    assert await fails(sandbox, ignores) == "timed out after 0.5 s"
    assert nothing_is_left()
    await run(sandbox, "")


async def test_processor_time_is_limited_as_well() -> None:
    # The wall's limit comes first, unless this process does not get to it.
    sandbox = Sandbox(limits=Limits(seconds=30))
    source = "import resource\nlimit = resource.RLIMIT_CPU\n"
    await run(sandbox, source + "assert resource.getrlimit(limit) == (31, 32)")
    source += "resource.setrlimit(limit, (1, 32))\nwhile True: pass"
    assert await fails(sandbox, source) == "killed at its limit of processor time"


async def test_no_limit_can_be_raised(sandbox: Sandbox) -> None:
    for name in ("CPU", "AS", "FSIZE", "NOFILE", "CORE", "MEMLOCK", "MSGQUEUE"):
        source = f"import resource\nlimit = resource.RLIMIT_{name}\n"
        source += "hard = resource.getrlimit(limit)[1]\nassert hard != resource.RLIM_INFINITY\n"
        await run(sandbox, source)
        said = await fails(sandbox, source + "resource.setrlimit(limit, (hard + 1, hard + 1))")
        assert said.startswith("ValueError: not allowed to raise maximum limit")


STARTS = [
    FORKS,
    "import os\nos.forkpty()",
    "import subprocess\nsubprocess.run(['/usr/bin/env'])",
    "import os\nos.posix_spawn('/usr/bin/env', ['env'], {})",
    "import os\nassert os.system('true') == 0",
    "import multiprocessing\nmultiprocessing.get_context('fork').Process(target=print).start()",
    "import _thread\n_thread.start_new_thread(print, ())",
    "import ctypes\nassert ctypes.CDLL(None).vfork() >= 0",
]
DAEMONS = """
    import os, signal
    for _ in range(4):
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                while True: signal.pause()
            os._exit(0)
"""


async def test_a_program_cannot_start_another(sandbox: Sandbox) -> None:
    for source in [*STARTS, DAEMONS]:
        said = (await fails(sandbox, source)).partition(":")[0]
        assert said in ("PermissionError", "RuntimeError", "FileNotFoundError", "AssertionError")
        assert nothing_is_left()
    assert await fails(sandbox, FORKS) == REFUSED


@pytest.fixture
def treasure(tmp_path: Path) -> Path:
    """A file that everybody may read, write and delete, so that no mode protects it."""
    folder = tmp_path
    while folder != Path(folder.root) and folder.owner() == Path.home().owner():
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o011)
        folder = folder.parent
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    file = open_to_all / "treasure"
    file.write_text("gold")
    file.chmod(0o666)
    return file


HARM = [
    "os.unlink(path)",
    "os.rmdir(os.path.dirname(path))",
    "shutil.rmtree(os.path.dirname(path))",
    "open(path, 'w')",
    "open(path, 'r+')",
    "os.open(path, os.O_RDONLY | os.O_TRUNC)",
    "os.truncate(path, 0)",
    "os.rename(path, path + '2')",
    "os.chmod(path, 0)",
    "os.symlink('/', path + '2')",
    "open(path + '2', 'w')",
    "os.mkdir(path + '2')",
    "os.utime(path, (0, 0))",
    "os.link('/usr/bin/env', path + '2')",
    "os.mkfifo(path + '2')",
]


async def test_files_can_be_neither_changed_nor_deleted(sandbox: Sandbox, treasure: Path) -> None:
    def state() -> tuple[object, ...]:
        found = treasure.stat()
        return found.st_ino, found.st_mode, found.st_mtime_ns, treasure.read_text()

    before = state()
    for source in HARM:
        said = await fails(sandbox, f"import os, shutil\npath = {str(treasure)!r}\n{source}")
        assert said.split(":")[0] in ("FileNotFoundError", "PermissionError", "OSError"), said
        assert state() == before, source
        assert [path.name for path in treasure.parent.iterdir()] == ["treasure"], source


async def test_the_interpreter_cannot_be_changed_either(sandbox: Sandbox) -> None:
    here = Path(bubblewrap.__file__).parent / "inside"
    for folder in (Path(os.__file__).parent, Path(pytest.__file__).parents[1], Path("/usr"), here):
        target = folder / "trio_beam_was_here.py"
        try:
            said = await fails(sandbox, f"open({str(target)!r}, 'w')")
            assert said.startswith(("OSError: [Errno 30]", "PermissionError", "FileNotFoundError"))
        finally:
            assert not target.exists()


async def test_only_tmp_can_be_written() -> None:
    await run(
        Sandbox(limits=Limits(seconds=120)),  # for all folders that there are
        """
        import os
        for folder, folders, _ in os.walk("/"):
            if folder == "/":
                folders.remove("tmp")
            try:
                open(os.path.join(folder, "x"), "w")
            except OSError:
                continue
            assert 0, folder
        """,
    )


async def test_files_cannot_be_read(sandbox: Sandbox, treasure: Path) -> None:
    for path in (
        str(treasure),
        f"/proc/{os.getpid()}/environ",
        "/proc/self/mountinfo",
        "/etc/passwd",
    ):
        said = await fails(sandbox, f"open({path!r})")
        assert said.startswith(("FileNotFoundError", "PermissionError")), path
    # Of the home folder there is at most the way to the interpreter and to installed packages.
    await run(
        sandbox,
        f"""
        import os
        shown = {[str(path) for path in bubblewrap._visible()]!r}
        for folder, folders, files in os.walk({str(Path.home())!r}):
            if any(f"{{folder}}/".startswith(f"{{path}}/") for path in shown):
                folders.clear()
                continue
            for name in folders + files:
                assert any(f"{{path}}/".startswith(f"{{folder}}/{{name}}/") for path in shown), name
        """,
    )


async def test_other_processes_cannot_be_signalled(sandbox: Sandbox) -> None:
    victim = await trio.lowlevel.open_process(["sleep", "1000"])
    try:
        for call in (f"kill({victim.pid}, 9)", f"killpg({os.getpgrp()}, 9)", "kill(-1, 9)"):
            said = await fails(sandbox, f"import os\nos.{call}")
            assert said.startswith(("ProcessLookupError", "PermissionError"))
        # Its parent is the first process of the sandbox, which the kernel protects.
        await run(sandbox, "import os\nassert os.getppid() == 1\nos.kill(1, 9)\nos.kill(1, 15)")
        assert victim.poll() is None
    finally:
        victim.kill()
        with trio.CancelScope(shield=True):
            await victim.wait()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


async def test_there_is_no_network(sandbox: Sandbox, listener: socket.socket) -> None:
    address = listener.getsockname()
    said = await fails(sandbox, f"import socket\nsocket.create_connection({address!r})")
    assert said.startswith(("PermissionError", "OSError"))
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize("family", ["UNIX", "INET", "INET6", "NETLINK", "PACKET", "VSOCK", "ALG"])
async def test_there_are_no_sockets(sandbox: Sandbox, family: str) -> None:
    said = await fails(sandbox, f"import socket\nsocket.socket(socket.AF_{family})")
    assert said == REFUSED


async def test_the_environment_is_not_handed_on(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XAI_API_KEY", "secret")
    await run(sandbox, "import os\nassert 'secret' not in os.environ.values(), os.environ")
    await run(sandbox, "import os\nassert not os.environ.keys() & {'HOME', 'USER', 'PATH'}")


async def test_no_file_is_open_but_its_own(sandbox: Sandbox, tmp_path: Path) -> None:
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        await run(
            sandbox,
            """
            import os
            found = []
            for number in range(64):
                try:
                    found.append((number, os.fstat(number).st_mode))
                except OSError:
                    pass
            assert [number for number, _ in found] == [0, 1, 2, 40, 41], found
            assert os.read(0, 1) == b""
            """,
        )


LIE = b'{"outcome": "done", "value": null}\n'


async def test_a_program_cannot_pass_by_writing_what_a_pass_looks_like(sandbox: Sandbox) -> None:
    for lie in (LIE, b"passed\n", b"done\n", b"\n", b"loaded"):
        said = await fails(
            sandbox,
            f"""
            import os
            print({lie.decode()!r}, flush=True)
            for number in range(3, 64):
                try:
                    os.write(number, {lie!r})
                except OSError:
                    pass
            os._exit(0)
            """,
        )
        assert said in ("the program ended itself", "it sent something other than a report")


async def test_a_report_that_is_too_long_ends_it(sandbox: Sandbox) -> None:
    said = await fails(
        sandbox,
        """
        import os
        while True:
            for number in range(3, 64):
                try:
                    os.write(number, bytes(4096))
                except OSError:
                    pass
        """,
    )
    assert said == "reported more than 1048576 bytes"


async def test_a_program_leaves_nothing_for_the_next_one(sandbox: Sandbox) -> None:
    await run(sandbox, "import json, math\nmath.pi = json.left = 3\nopen('/tmp/x', 'w').close()")
    await run(sandbox, "import json, math\nassert math.pi > 3 and not hasattr(json, 'left')")
    await run(sandbox, "import os\nassert not os.path.exists('/tmp/x')")


async def test_its_folder_is_in_memory_and_of_limited_size() -> None:
    sandbox = Sandbox(limits=Limits(file_size=1 << 20))
    await run(sandbox, "import os\nopen('x', 'w').write('y')\nassert 'x' in os.listdir()")
    await run(sandbox, "import os\nassert 'x' not in os.listdir()")
    said = await fails(sandbox, "open('x', 'wb').write(bytes(1 << 21))")
    assert "File too large" in said
    said = await fails(sandbox, "for n in range(9): open(str(n), 'wb').write(bytes(1 << 18))")
    assert "No space left" in said
    said = await fails(sandbox, "files = [open('/dev/null') for _ in range(100)]")
    assert "Too many open files" in said


async def test_input_is_empty_and_output_goes_nowhere(
    sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    await run(sandbox, "import sys\nassert sys.stdin.read() == ''\nprint('x' * 10_000_000)")
    await run(sandbox, "import os, sys\nos.write(2, b'x')\nsys.__stderr__.write('x')\nwarn = 1 / 1")
    assert capfd.readouterr() == ("", "")


async def test_many_at_once(sandbox: Sandbox) -> None:
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(children_of(os.getpid())))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        async with trio.open_nursery() as inner:
            for _ in range(10):
                inner.start_soon(run, sandbox, "x = 1")
                inner.start_soon(fails, sandbox, "assert 0")
        nursery.cancel_scope.cancel()
    assert 0 < most <= (os.cpu_count() or 1)
    assert nothing_is_left()


async def test_a_cancelled_program_is_gone(sandbox: Sandbox) -> None:
    async with ready(sandbox) as process, trio.open_nursery() as nursery:
        nursery.start_soon(load, process, "while True: pass", "")
        await until(lambda: bool(descendants_of(os.getpid())))
        nursery.cancel_scope.cancel()
    assert nothing_is_left()
    await run(sandbox, "")


async def test_a_start_that_is_cancelled_leaves_nothing(sandbox: Sandbox) -> None:
    await sandbox.check()
    for checkpoints in range(8):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run, sandbox, "while True: pass")
                for _ in range(checkpoints):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        assert nothing_is_left()


async def test_where_nothing_can_be_confined_nothing_is_run(
    sandbox: Sandbox, treasure: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bubblewrap.find_bubblewrap.cache_clear()
    monkeypatch.setattr(bubblewrap, "_candidates", list)
    with pytest.raises(BenchmarkError, match="bubblewrap is not installed"):
        await run(sandbox, f"open({str(treasure)!r}, 'w')")
    assert await trio.Path(treasure).read_text() == "gold"
    assert nothing_is_left()
