"""What a machine does to a run: a disk that is full or read only, a file that changes while it is read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec
import pytest

from tests.batch.batches import prompts, read, run
from trio_beam.batch.prompts import BadPrompts, read_prompts
from trio_beam.errors import TrioBeamError
from trio_beam.records import RecordsUnusable
from trio_beam.testing import FakeEndpoint


class Disk:
    """Takes so many bytes more, the last of them in the middle of a record."""

    def __init__(self, left: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left = left
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, file: int, data: memoryview) -> int:
        if not self.left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = self._write(file, data[: self.left])
        self.left -= written
        return written


@pytest.mark.parametrize("left", [0, 1000, 1499, 3210])
async def test_a_full_disk_stops_a_run_that_goes_on_when_there_is_room(
    left: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await run(tmp_path / "undisturbed", prompts(30), FakeEndpoint())
    with monkeypatch.context() as patched:
        Disk(left, patched)
        full = pytest.RaisesExc(RecordsUnusable, match="No space left on device")
        with pytest.RaisesGroup(full, flatten_subgroups=True):
            await run(tmp_path / "full", prompts(30), FakeEndpoint(), max_searches=1)
    kept = read(tmp_path / "full")  # none is torn
    assert len(kept) < 30
    assert bool(kept) == bool(left)
    again = await run(tmp_path / "full", prompts(30), FakeEndpoint())
    assert len(again.answers) == 30 - len(kept)
    one, other = (
        sorted(
            (msgspec.structs.replace(answer, seconds=0.0) for answer in read(tmp_path / name)),
            key=lambda answer: answer.id,
        )
        for name in ("undisturbed", "full")
    )
    assert one == other


async def test_a_folder_that_takes_nothing_is_named(
    tmp_path: Path,
) -> None:
    os.chmod(tmp_path, 0o500)  # noqa: PTH101
    if os.access(tmp_path, os.W_OK):  # to the administrator only other file systems are read only
        tmp_path = Path("/proc")
    with pytest.raises(TrioBeamError, match="cannot be used for a run: unable to open") as caught:
        await run(tmp_path, prompts(1), FakeEndpoint())
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "a"}\n{"prompt": "b"}\n')
    records = read_prompts(path)
    next(records)
    with path.open("a") as file:
        file.write('{"prompt": "c"}\n')
    with pytest.raises(BadPrompts, match="was changed while it was read"):
        list(records)
