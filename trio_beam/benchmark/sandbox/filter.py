"""The system calls that a program in the sandbox is refused: what namespaces and limits do not cover."""

from __future__ import annotations

import errno
import functools
import tempfile

#: Processes and threads. As root the kernel's own limit on them (RLIMIT_NPROC) does not hold.
_PROCESSES = ("clone", "clone3", "fork", "vfork")

#: Everything else, by the reason for it. The choice follows Flatpak's filter for applications:
#: https://github.com/flatpak/flatpak/blob/main/common/flatpak-run.c (setup_seccomp).
_OTHERS = (
    # Sockets of a family without namespaces reach the host of a virtual machine (AF_VSOCK).
    "socket",
    # Key rings are inherited: they may hold keys of the user's.
    ("add_key", "keyctl", "request_key"),
    # Memory that no limit counts.
    ("memfd_create", "shmget", "msgget", "semget", "mq_open"),
    # The log of the kernel is the machine's.
    "syslog",
    # Other processes' memory and files; there are none but bubblewrap's own.
    ("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"),
    # Large and often at fault in the kernel; io_uring also goes around this filter.
    ("bpf", "io_uring_setup", "perf_event_open", "userfaultfd"),
    # Namespaces and mounts need privileges that are not there; if they were, they would not help.
    ("unshare", "setns", "mount", "umount2", "pivot_root", "fsopen", "open_tree", "move_mount"),
)


@functools.cache
def compiled_filter(*, processes: bool) -> bytes:
    """Return the filter in the form that ``bwrap --seccomp`` reads.

    A call that is refused fails with EPERM. A call of another architecture than this machine's ends the
    process: numbers have other meanings there.

    Args:
        processes: whether the program may start processes and threads.

    Raises:
        ImportError: pyseccomp is not installed.
        RuntimeError: it does not find the library libseccomp.
        OSError: the library is too old to know one of the calls.
    """
    import pyseccomp  # noqa: PLC0415  # a package of the extra, which loads a library

    filter_ = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    groups = _OTHERS if processes else (_PROCESSES, *_OTHERS)
    for group in groups:
        for name in (group,) if isinstance(group, str) else group:
            filter_.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    with tempfile.TemporaryFile() as file:
        filter_.export_bpf(file)
        file.seek(0)
        return file.read()
