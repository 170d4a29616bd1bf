"""A filter of system calls that refuses what namespaces and limits do not cover."""

from __future__ import annotations

import errno
import functools
import tempfile

#: Start processes and threads. The kernel's limit on their number (RLIMIT_NPROC) does not hold for root.
_PROCESSES = ("clone", "clone3", "fork", "vfork")

#: Refused to all. Most of it is also in the filter that Flatpak has for applications (setup_seccomp in
#: https://github.com/flatpak/flatpak/blob/main/common/flatpak-run.c).
_ALWAYS = (
    # Sockets of families without namespaces: AF_VSOCK leads from a virtual machine to its host.
    "socket",
    # The user's key rings, which every process inherits.
    *("add_key", "keyctl", "request_key"),
    # Memory that no limit counts, and asynchronous I/O, whose number is limited system-wide.
    *("memfd_create", "shmget", "msgget", "semget", "mq_open", "io_setup"),
    # The kernel's log.
    "syslog",
    # Memory and files of other processes, here bubblewrap's own.
    *("ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp"),
    # Parts of the kernel with a history of bugs; filters do not see calls made through io_uring.
    *("bpf", "io_uring_setup", "perf_event_open", "userfaultfd"),
    # Namespaces and mounts, in case a process ever gains the privileges for them.
    *("unshare", "setns", "mount", "umount2", "pivot_root", "fsopen", "open_tree", "move_mount"),
)


@functools.cache
def compiled_filter(*, processes: bool) -> bytes:
    """Return the filter in the form that ``bwrap --seccomp`` reads.

    A refused call fails with EPERM. A call by another architecture's conventions, where numbers have other
    meanings, kills the process.

    Args:
        processes: whether the program may start processes and threads.

    Raises:
        ImportError: pyseccomp is not installed.
        RuntimeError: it finds no libseccomp.
        OSError: the library is too old to know one of the calls.
    """
    import pyseccomp  # noqa: PLC0415  # a package of the extra, which loads a library

    filter_ = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for name in _ALWAYS if processes else (*_ALWAYS, *_PROCESSES):
        filter_.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
    with tempfile.TemporaryFile() as file:
        filter_.export_bpf(file)
        file.seek(0)
        return file.read()
