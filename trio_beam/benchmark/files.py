"""Files of results: their names, and how they are written."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from pathlib import Path

from trio_beam.benchmark.common.problem import BenchmarkError

#: Characters of a name that is made of a text; file systems take 255 bytes.
_LONGEST = 80


def file_name(text: str) -> str:
    """Make a file name of a text; a long one ends with a digest instead of its end."""
    name = re.sub(r"[^\w.=-]+", "_", text).strip("_.")
    if len(name) <= _LONGEST:
        return name
    digest = hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:8]
    return f"{name[: _LONGEST - 9]}-{digest}"


def write_atomic(path: Path, content: str | bytes) -> Path:
    """Write a file whole, with its folders: it is never there in part. An old one is replaced.

    What UTF-8 has no form for, a lone half of a surrogate pair, is written as an escape.

    Raises:
        BenchmarkError: it cannot be written.
    """
    draft = path.with_name(f"{path.name}.part")
    data = content if isinstance(content, bytes) else content.encode("utf-8", "backslashreplace")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(data)
        os.replace(draft, path)  # noqa: PTH105  # on every system it replaces an old file
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise BenchmarkError(f"cannot write {path}: {error.strerror or error}") from error
    return path
