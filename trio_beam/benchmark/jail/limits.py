"""Taking rights away from this process: how much it may use, who it is, what it may do."""

from __future__ import annotations

import os
import resource
import signal
import stat
from pathlib import Path
from typing import NamedTuple

from trio_beam.benchmark.jail import kernel

#: Nobody on no machine: above what accounts have, and another one for each keeper.
_FIRST_UID = 0x60000000
_NOBODY = 65534


class Limits(NamedTuple):
    """What a confined process may use.

    Attributes:
        seconds: of wall time; of processor time as much, in whole seconds.
        memory: bytes of address space, for each process.
        processes: at the same time, itself and its threads included.
        file_size: bytes of a file; all files together have as much where they may be written at all.
        files: open at the same time, in each process.
        answer: bytes that it may report.
    """

    seconds: float = 10.0
    memory: int = 1 << 30
    processes: int = 1
    file_size: int = 16 << 20
    files: int = 64
    answer: int = 64 << 10


def apply(limits: Limits, *, others: int) -> None:
    """Set the limits of this process and its children.

    Args:
        limits: what it may use.
        others: processes that the kernel counts with it.
    """
    seconds = int(limits.seconds) + 1
    for what, soft, hard in (
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_AS, limits.memory, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file_size, limits.file_size),
        (resource.RLIMIT_NOFILE, limits.files, limits.files),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NPROC, limits.processes + others, limits.processes + others),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
    ):
        most = resource.getrlimit(what)[1]
        if most == resource.RLIM_INFINITY:
            most = max(soft, hard)
        resource.setrlimit(what, (min(soft, most), min(hard, most)))


def become_nobody(number: int, *, readable: str | None) -> bool:
    """If this process is root, make it a user that owns nothing and runs nothing else.

    Args:
        number: another one for each process that is confined at the same time, such as a process id.
        readable: a file that has to be readable afterwards; if it is not, the user stays who it is.

    Returns:
        Whether it is somebody else now.
    """
    if os.geteuid() != 0:
        return False
    if readable is not None and not _readable_by_all(Path(readable)):
        return False
    for uid in (_FIRST_UID + number, _NOBODY):
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        except OSError:
            continue
        return True
    return False


def _readable_by_all(path: Path) -> bool:
    real = path.resolve()
    passable = all(folder.stat().st_mode & stat.S_IXOTH for folder in real.parents)
    return passable and bool(real.stat().st_mode & stat.S_IROTH)


def die_with(parent: int | None) -> None:
    """Be killed when the process that forked this one ends.

    The kernel forgets it when a process changes its user, so it comes after that.

    Args:
        parent: which process that is; None if it cannot be seen from here.

    Raises:
        ProcessLookupError: it has ended already.
    """
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if parent is not None and os.getppid() != parent:
        raise ProcessLookupError(f"the process {parent} has ended")


def only_files(kept: int) -> None:
    """Close every file but one, and point standard input, output and error nowhere.

    Model output is dropped here, so there is never too much of it.
    """
    nowhere = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        if number != kept:
            os.dup2(nowhere, number)
    os.closerange(3, kept)
    os.closerange(kept + 1, 1 << 16)
