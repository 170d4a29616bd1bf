"""Resource limits, which a process sets for itself before it runs foreign code."""

from __future__ import annotations

from typing import NamedTuple


class Limits(NamedTuple):
    """The limits of a process in the sandbox.

    Attributes:
        seconds: wall time of its job, enforced from outside, and the same processor time, rounded up.
        memory: bytes of address space.
        file_size: bytes per file, and in total in its ``/tmp``.
        files: number of open files.
        message: bytes per message it sends.
    """

    seconds: float = 10.0
    memory: int = 1 << 30
    file_size: int = 16 << 20
    files: int = 64
    message: int = 1 << 20


def apply(limits: Limits) -> None:
    """Set the limits of this process. It cannot raise them again, having no privileges."""
    import resource  # noqa: PLC0415  # Unix only, and this file is imported everywhere

    # SIGXCPU, at the soft limit, tells the reason; SIGKILL, a second later, cannot be ignored.
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
