"""A lock on an open file. The system frees it when the file is closed, however the process ends."""

from __future__ import annotations

import sys

#: Where Windows locks a byte: far behind all data, since what is locked there cannot be read.
_FAR_BEHIND = 1 << 62

if sys.platform == "win32":
    import msvcrt
    import os

    def try_lock(file: int) -> bool:
        """Lock a file for this process alone; False if another holds it."""
        os.lseek(file, _FAR_BEHIND, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def try_lock(file: int) -> bool:
        """Lock a file for this descriptor alone; False if another holds it."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
