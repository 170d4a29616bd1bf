"""Programs that fork, loop, eat memory, delete, listen and lie, in each way to confine them.

Whatever a program does here would do no harm if it were let out: it goes for files, processes and
sockets of the test only.
"""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import trio

from tests.benchmark.boxes import FORKS, fails, keepers, possible, run
from tests.benchmark.processes import children_of, descendants_of, until
from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.sandbox import JobFailed, Limits, Sandbox

WAYS = ["room", "filter"]


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    if reason := possible(name):
        pytest.skip(reason)
    return name


@pytest.fixture(autouse=True)
async def in_time() -> AsyncIterator[None]:
    with trio.fail_after(60):
        yield


@pytest.fixture
async def sandbox(way: str) -> AsyncIterator[Sandbox]:
    box = Sandbox(ways=(way,))
    yield box
    with trio.CancelScope(shield=True):
        await box.aclose()


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
    ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
    ("x = bytearray(1 << 40)", "MemoryError"),
    ("x = []\nwhile True: x.append(bytes(1 << 24))", "MemoryError"),
    ("import threading\nthreading.Thread(target=print).start()", "RuntimeError: can't"),
    ("x = '(' * 100_000\neval(x)", "SyntaxError: too many nested parentheses"),
]


async def test_what_is_wrong_is_said_in_a_line(sandbox: Sandbox) -> None:
    for source, detail in WRONG:
        said = await fails(sandbox, source)
        assert said.startswith(detail), source
        assert "\n" not in said


async def test_a_program_that_loops_is_killed(way: str) -> None:
    sandbox = Sandbox(ways=(way,), limits=Limits(seconds=0.5))
    try:
        assert await fails(sandbox, "while True: pass") == "timed out after 0.5 s"
        assert await fails(sandbox, "import time; time.sleep(100)") == "timed out after 0.5 s"
        assert all(not children_of(keeper) for keeper in keepers(sandbox))
        await run(sandbox, "")
    finally:
        await sandbox.aclose()


async def test_processor_time_is_limited_as_well(way: str) -> None:
    # The wall's limit comes first, unless the keeper does not get to it.
    sandbox = Sandbox(ways=(way,), limits=Limits(seconds=30))
    try:
        source = "import resource\nlimit = resource.RLIMIT_CPU\n"
        await run(sandbox, source + "assert resource.getrlimit(limit) == (31, 32)")
        source += "resource.setrlimit(limit, (1, 32))\nwhile True: pass"
        assert await fails(sandbox, source) == "killed at its limit of processor time"
    finally:
        await sandbox.aclose()


async def test_a_program_cannot_start_another(sandbox: Sandbox) -> None:
    assert await fails(sandbox, FORKS) in (
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",
        "PermissionError: [Errno 1] Operation not permitted",
    )
    assert all(not children_of(keeper) for keeper in keepers(sandbox))


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
    target = Path(os.__file__).parent / "trio_beam_was_here.py"
    try:
        said = await fails(sandbox, f"open({str(target)!r}, 'w')")
        assert said.startswith(("OSError: [Errno 30]", "PermissionError"))
    finally:
        assert not target.exists()


async def test_files_cannot_be_read(way: str, sandbox: Sandbox, treasure: Path) -> None:
    if way == "filter" and not landlocked():
        pytest.skip("this kernel has no Landlock")
    said = await fails(sandbox, f"open({str(treasure)!r})")
    assert said.startswith(("FileNotFoundError", "PermissionError"))
    said = await fails(sandbox, f"open('/proc/{os.getpid()}/environ')")
    assert said.startswith(("FileNotFoundError", "PermissionError"))


def landlocked() -> bool:
    code = "from trio_beam.benchmark.jail import kernel, landlock\nkernel.prctl(38, 1)\n"
    code += "raise SystemExit(not landlock.read_only_below([]))"
    return subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


async def test_other_processes_cannot_be_signalled(sandbox: Sandbox) -> None:
    victim = await trio.lowlevel.open_process(["sleep", "1000"])
    try:
        said = await fails(sandbox, f"import os, signal\nos.kill({victim.pid}, signal.SIGKILL)")
        assert said.startswith(("ProcessLookupError", "PermissionError"))
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


async def test_the_environment_is_not_handed_on(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XAI_API_KEY", "secret")
    await run(sandbox, "import os\nassert 'secret' not in os.environ.values(), os.environ")
    await run(sandbox, "import os\nassert not os.environ.keys() & {'HOME', 'USER', 'PATH'}")


LIE = b'{"outcome": "done", "value": null}\n'


async def test_a_program_cannot_pass_by_writing_what_a_pass_looks_like(sandbox: Sandbox) -> None:
    said = await fails(
        sandbox,
        f"""
        import os
        print({LIE.decode()!r}, flush=True)
        for number in range(3, 64):
            try:
                os.write(number, {LIE!r})
            except OSError:
                pass
        os._exit(0)
        """,
    )
    assert said == "the program ended itself"


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
    assert said == "reported more than 65536 bytes"


async def test_a_program_leaves_nothing_for_the_next_one(sandbox: Sandbox) -> None:
    await run(sandbox, "import json, math\nmath.pi = json.left = 3")
    assert len(keepers(sandbox)) == 1
    await run(sandbox, "import json, math\nassert math.pi > 3 and not hasattr(json, 'left')")


async def test_input_is_empty_and_output_goes_nowhere(sandbox: Sandbox) -> None:
    await run(sandbox, "import sys\nassert sys.stdin.read() == ''\nprint('x' * 10_000_000)")


async def test_many_at_once(sandbox: Sandbox) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(run, sandbox, "x = 1")
            nursery.start_soon(fails, sandbox, "assert 0")
    assert len(keepers(sandbox)) <= (os.cpu_count() or 1)


async def test_a_cancelled_job_is_gone(sandbox: Sandbox) -> None:
    await run(sandbox, "")
    (keeper,) = keepers(sandbox)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, sandbox, "while True: pass")
        await until(lambda: bool(children_of(keeper)))
        nursery.cancel_scope.cancel()
    assert not keepers(sandbox)
    assert not descendants_of(keeper)
    with pytest.raises(ProcessLookupError):
        os.kill(keeper, 0)
    await run(sandbox, "")


async def test_closing_ends_the_keepers_and_may_be_done_twice(sandbox: Sandbox) -> None:
    await run(sandbox, "")
    (keeper,) = keepers(sandbox)
    await sandbox.aclose()
    with pytest.raises(ProcessLookupError):
        os.kill(keeper, 0)
    await sandbox.aclose()


async def test_without_an_event_loop(way: str) -> None:
    sandbox = Sandbox(ways=(way,))
    right, wrong = (
        functools.partial(sandbox.run_sync, "run_program", {"source": source})
        for source in ("", "assert 0")
    )
    assert await trio.to_thread.run_sync(right) is None
    with pytest.raises(JobFailed, match="AssertionError"):
        await trio.to_thread.run_sync(wrong)


async def test_where_nothing_can_be_confined_nothing_is_run(treasure: Path) -> None:
    sandbox = Sandbox(ways=())
    try:
        with pytest.raises(BenchmarkError, match="cannot be confined on this machine"):
            await run(sandbox, f"open({str(treasure)!r}, 'w')")
    finally:
        await sandbox.aclose()
    assert await trio.Path(treasure).read_text() == "gold"


async def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ValueError, match="ways"):
        Sandbox(ways=("none",))
