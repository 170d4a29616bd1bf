"""What runs on this machine, as /proc has it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import trio


def children_of(parent: int) -> list[int]:
    """The processes whose parent this is, but for the model's server, which other tests keep."""
    folders = (folder for folder in Path("/proc").iterdir() if folder.name.isdigit())
    children = (folder for folder in folders if _parent(folder) == parent)
    return [int(folder.name) for folder in children if not _is_the_model(folder)]


def descendants_of(parent: int) -> list[int]:
    """Children, their children, and so on."""
    children = children_of(parent)
    return children + [other for child in children for other in descendants_of(child)]


def _parent(folder: Path) -> int | None:
    try:
        words = (folder / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(words[1])


def _is_the_model(folder: Path) -> bool:
    try:
        return b"_local_child.py" in (folder / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def exists(process: int) -> bool:
    """Whether there is such a process, were it only to be waited for."""
    return Path(f"/proc/{process}").exists()


async def until(condition: Callable[[], bool]) -> None:
    """Look again and again; there is nothing to wait on in what is shut in."""
    while not condition():  # noqa: ASYNC110  # no event comes out of there
        await trio.lowlevel.checkpoint()


async def ended(processes: list[int]) -> None:
    """Wait for processes that are no children of this one."""
    handles = []
    for process in processes:
        try:
            handles.append(os.pidfd_open(process))
        except ProcessLookupError:
            continue
    for handle in handles:
        await trio.lowlevel.wait_readable(handle)
        os.close(handle)
