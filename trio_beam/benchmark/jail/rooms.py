"""A room of its own: namespaces in which nothing of this machine is in reach but the interpreter.

In there, a process sees no other process, no network, no file of this machine but the interpreter and
the system's libraries (all read-only), and an empty folder in memory, which is gone with it. Its first
process is the room's init: when that ends, the kernel kills everything that is in the room, whatever
it calls itself and whichever session it is in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from trio_beam.benchmark.jail import kernel

_APART = (
    kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
    | kernel.CLONE_NEWUTS
)
#: Who the program is inside, where it is us outside.
_INSIDE = 65534
#: Where the new root is built: a folder that is there, and that no interpreter lies in.
_SITE = "/proc"
#: Its one folder that can be written.
_TEMPORARY = "/tmp"  # noqa: S108  # it is in memory, and the room's own
DEVICES = tuple(Path("/dev", name) for name in ("null", "zero", "random", "urandom"))


def leave_the_machine() -> bool:
    """Put this process's mounts and network, and its children's processes, into new namespaces.

    Returns:
        Whether a namespace of users was needed for it, so that there is one user only.

    Raises:
        OSError: this machine does not allow it.
    """
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        try:
            kernel.call("unshare", _APART)
        except OSError:  # root without the right to, as in many containers
            pass
        else:
            return False
    kernel.call("unshare", _APART | kernel.CLONE_NEWUSER)
    for name, words in (
        ("setgroups", "deny"),
        ("uid_map", f"{_INSIDE} {user} 1"),
        ("gid_map", f"{_INSIDE} {group} 1"),
    ):
        Path("/proc/self", name).write_text(words, encoding="ascii")
    return True


def furnish(size: int) -> None:
    """Make the new root of this process's file system, and go into its one writable folder.

    Args:
        size: bytes that may be written there.

    Raises:
        OSError: this machine does not allow it.
    """
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    quiet = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", _SITE, "tmpfs", quiet, "size=1m,nr_inodes=4000,mode=755")
    root = Path(_SITE)
    temporary = f"{_SITE}{_TEMPORARY}"
    Path(temporary).mkdir()
    kernel.mount("tmpfs", temporary, "tmpfs", quiet, f"size={size},nr_inodes=1000,mode=1777")
    for path in _outermost(needed()):
        _show(path, root)
    (root / "dev").mkdir(exist_ok=True)
    for device in DEVICES:
        Path(f"{_SITE}{device}").touch()
        kernel.mount(str(device), f"{_SITE}{device}", None, kernel.MS_BIND)
    kernel.mount(None, _SITE, None, kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | quiet)
    os.chdir(_SITE)
    kernel.call("pivot_root", b".", b".")
    kernel.call("umount2", b".", kernel.MNT_DETACH)
    os.chdir(_TEMPORARY)


def needed() -> set[Path]:
    """What the interpreter lies in, and the system's libraries."""
    prefixes = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    system = ("/usr", "/lib", "/lib64", "/bin", "/nix/store", "/etc/ld.so.cache")
    paths = {Path(name) for name in (*prefixes, *system)}
    return {path for path in paths | {path.resolve() for path in paths} if path.exists()}


def _outermost(paths: Iterable[Path]) -> list[Path]:
    chosen: list[Path] = []
    for path in sorted(paths, key=lambda path: len(path.parts)):
        if not any(path.is_relative_to(other) for other in chosen if not other.is_symlink()):
            chosen.append(path)
    return chosen


def _show(path: Path, root: Path) -> None:
    """Let a folder or a file of the machine be seen below the new root, at its own place."""
    target = root / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        target.symlink_to(path.readlink())
        return
    if path.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    kernel.mount(str(path), str(target), None, kernel.MS_BIND | kernel.MS_REC)
    kernel.make_read_only(str(target))
