"""The embedded model without most of its layers: the same vocabulary and file format, a fraction of the work.

Its texts mean nothing, which makes characters that are cut between tokens frequent. What a test says of
servers, searches and sums is as true of it; a test of what the embedded model itself writes takes that one.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import attrs

#: The first and the last of thirty. Without the last one its texts hardly depend on the prompt.
LAYERS = (0, 29)
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32


def shorten(source: Path, target: Path) -> None:
    """Write a GGUF file with some layers of another, numbered anew."""
    reader = _Reader(bytearray(source.read_bytes()))
    tensors, pairs = reader.number("Q"), reader.number("Q")
    for _ in range(pairs):
        reader.pair()
    head = bytes(reader.data[: reader.at])
    infos = sorted((reader.tensor() for _ in range(tensors)), key=lambda one: one.offset)
    start = _aligned(reader.at)
    ends = [*(one.offset for one in infos[1:]), len(reader.data) - start]
    index, weights, kept = b"", b"", 0
    for info, end in zip(infos, ends, strict=True):
        if name := _renumbered(info.name):
            index += _text(name) + info.shape + struct.pack("<Q", len(weights))
            weights += reader.data[start + info.offset : start + end]
            weights += bytes(_aligned(len(weights)) - len(weights))
            kept += 1
    head = head[:8] + struct.pack("<Q", kept) + head[16:] + index
    target.write_bytes(head + bytes(_aligned(len(head)) - len(head)) + weights)


@attrs.frozen
class _Tensor:
    name: str
    shape: bytes  # its dimensions and its type, as they are in the file
    offset: int


@attrs.define
class _Reader:
    """Places of a GGUF file, one after the other."""

    data: bytearray
    at: int = 8  # behind the magic bytes and the version

    def number(self, code: str) -> int:
        (value,) = struct.unpack_from(f"<{code}", self.data, self.at)
        self.at += struct.calcsize(code)
        return int(value)

    def text(self) -> bytes:
        length = self.number("Q")
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def pair(self) -> None:
        """One key and its value; the number of layers is corrected in place."""
        key, kind = self.text(), self.number("I")
        if key.endswith(b".block_count"):
            struct.pack_into("<I", self.data, self.at, len(LAYERS))
        assert key != b"general.alignment"
        self._skip(kind)

    def _skip(self, kind: int) -> None:
        if kind == _STRING:
            self.text()
        elif kind == _ARRAY:
            of, length = self.number("I"), self.number("Q")
            for _ in range(length):
                self._skip(of)
        else:
            self.at += _WIDTHS[kind]

    def tensor(self) -> _Tensor:
        name, begin = self.text().decode(), self.at
        dimensions = self.number("I")
        self.at += 8 * dimensions + 4
        return _Tensor(name, bytes(self.data[begin : self.at]), self.number("Q"))


def _renumbered(name: str) -> str | None:
    if not (match := re.fullmatch(r"blk\.(\d+)\.(.*)", name)):
        return name
    layer = int(match[1])
    return f"blk.{LAYERS.index(layer)}.{match[2]}" if layer in LAYERS else None


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()
