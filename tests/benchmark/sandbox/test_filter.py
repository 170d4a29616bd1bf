"""What the filter of system calls refuses, asked from inside by the calls' numbers."""

from __future__ import annotations

import platform
from collections.abc import AsyncIterator

import pyseccomp
import pytest
import trio

from tests.benchmark.sandbox.programs import ending, run
from trio_beam.benchmark.sandbox import Sandbox

REFUSED = [
    "clone",
    "clone3",
    "socket",
    "add_key",
    "keyctl",
    "request_key",
    "memfd_create",
    "shmget",
    "msgget",
    "semget",
    "mq_open",
    "io_setup",
    "syslog",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
    "bpf",
    "io_uring_setup",
    "perf_event_open",
    "userfaultfd",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "fsopen",
    "open_tree",
    "move_mount",
]
CALL = """
    import ctypes, errno
    libc = ctypes.CDLL(None, use_errno=True)
    for name, number in {calls!r}.items():
        result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(0)] * 6)
        assert (result, ctypes.get_errno()) == (-1, errno.EPERM), (name, result, ctypes.get_errno())
"""


@pytest.fixture(autouse=True)
async def in_time() -> AsyncIterator[None]:
    with trio.fail_after(60):
        yield


def number(name: str) -> int:
    found: int = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
    return found


async def test_what_is_refused() -> None:
    await run(Sandbox(), CALL.format(calls={name: number(name) for name in REFUSED}))


async def test_it_has_no_privileges() -> None:
    await run(
        Sandbox(),
        """
        import ctypes, os

        assert os.getuid() == os.geteuid() == os.getgid() == 65534
        libc = ctypes.CDLL(None)
        assert not any(libc.prctl(23, capability) for capability in range(41))  # PR_CAPBSET_READ
        assert libc.prctl(39, 0, 0, 0, 0) == 1  # PR_GET_NO_NEW_PRIVS
        for call in (
            lambda: os.setuid(0),
            lambda: os.setgroups([]),
            lambda: os.chroot("/tmp"),
            lambda: os.nice(-1),
            lambda: os.mknod("/tmp/x", 0o20600, 0x103),
            lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
            lambda: os.chown("/tmp", 0, 0),
        ):
            try:
                call()
            except OSError:
                continue
            assert 0
        """,
    )


async def test_a_namespace_cannot_be_made_by_the_c_library_either() -> None:
    for flag in (0x10000000, 0x00020000, 0x40000000):  # of users, mounts, networks
        source = f"import ctypes\nassert ctypes.CDLL(None).unshare({flag}) == 0"
        assert await ending(Sandbox(), source) == "AssertionError"


async def test_the_calls_of_another_architecture_end_the_program() -> None:
    if platform.machine() == "x86_64":
        source = "import ctypes\nctypes.CDLL(None).syscall(ctypes.c_long(0x40000000 | 39))"
        assert await ending(Sandbox(), source) == "killed by SIGSYS"


async def test_a_program_may_do_what_only_concerns_itself() -> None:
    await run(
        Sandbox(),
        """
        import asyncio, mmap, os, select, signal, socket, tempfile, time

        asyncio.run(asyncio.sleep(0))
        assert len(mmap.mmap(-1, 4096)) == 4096
        os.mkdir("folder")
        with tempfile.NamedTemporaryFile() as file:
            file.write(b"x")
        assert select.select([], [], [], 0) == ([], [], [])
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        signal.pause()
        left, right = socket.socketpair()
        left.send(b"x")
        assert right.recv(1) == b"x"
        assert os.urandom(1) and time.time() > 0
        """,
    )
