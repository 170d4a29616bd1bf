"""Which files this process may read from now on: the kernel's Landlock (Linux 5.13, where it is on)."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterable
from pathlib import Path

from trio_beam.benchmark.jail import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # on every architecture
_EXECUTE, _READ_FILE, _READ_FOLDER = 1, 4, 8
_PATH_BENEATH = 1


class _Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def read_only_below(paths: Iterable[Path]) -> bool:
    """Let this process, for good, read no files but these and what is below them.

    PR_SET_NO_NEW_PRIVS has to be set.

    Returns:
        Whether the kernel does it.

    Raises:
        OSError: it does, but failed to.
    """
    rules = _Ruleset(files=_EXECUTE | _READ_FILE | _READ_FOLDER)
    try:
        ruleset = _syscall(_CREATE_RULESET, ctypes.byref(rules), ctypes.sizeof(rules), 0)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return False
        raise
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            _allow(ruleset, path)
    _syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return True


def _allow(ruleset: int, path: Path) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rights = _EXECUTE | _READ_FILE | (_READ_FOLDER if path.is_dir() else 0)
    rule = _PathBeneath(allowed=rights, parent=folder)
    _syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    os.close(folder)


def _syscall(number: int, *arguments: object) -> int:
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return kernel.call("syscall", ctypes.c_long(number), *words)
