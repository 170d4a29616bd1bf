"""Resource limits of a process, set by the process itself before it runs anything that is not ours."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """What one process in the sandbox may use. There is never a second process or thread beside it.

    Attributes:
        seconds: wall time of a job, held from outside; of processor time as much, in whole seconds.
        memory: bytes of address space.
        file_size: bytes of one file, and of all files in its ``/tmp`` together.
        files: open at the same time.
        message: bytes of one message to the outside.
    """

    seconds: float = 10.0
    memory: int = 1 << 30
    file_size: int = 16 << 20
    files: int = 64
    message: int = 1 << 20


def apply(limits: Limits) -> None:
    """Set the limits for good: without privileges, a hard limit can only be lowered."""
    import resource  # noqa: PLC0415  # Unix only, and this file is imported everywhere

    # The soft limit ends the process by SIGXCPU, which tells; the hard one cannot be caught.
    seconds = int(limits.seconds) + 1
    for what, soft, hard in (
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_AS, limits.memory, limits.memory),
        (resource.RLIMIT_FSIZE, limits.file_size, limits.file_size),
        (resource.RLIMIT_NOFILE, limits.files, limits.files),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
    ):
        highest = resource.getrlimit(what)[1]
        if highest == resource.RLIM_INFINITY:
            highest = max(soft, hard)
        resource.setrlimit(what, (min(soft, highest), min(hard, highest)))
