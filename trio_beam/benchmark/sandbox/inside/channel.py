"""Lines over two pipes: a word, and after a space whatever belongs to it."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

_DETAIL = 200  # characters
_CHUNK = 1 << 16
#: The detail of a verdict where there is something else than a report.
NOT_A_REPORT = "it sent something other than a report"


class Message(NamedTuple):
    """One line.

    Attributes:
        word: says what it is: ``ready``, ``call``, ``returned``, ``raised``, ``passed``, ``failed``.
        rest: what belongs to it; the word says in which form.
    """

    word: str
    rest: str

    @classmethod
    def parse(cls, line: bytes) -> Message:
        """Read a line, which is whatever a program may have written."""
        word, _, rest = line.decode("utf-8", "replace").partition(" ")
        return cls(word, rest)


class Channel:
    """Reads lines from one file descriptor and writes lines to another.

    Args:
        reader: the descriptor to read from.
        writer: the descriptor to write to.
        longest: bytes of the longest line that is read.
    """

    def __init__(self, reader: int, writer: int, longest: int) -> None:
        self.reader = reader
        self.writer = writer
        self._longest = longest
        self._unread = b""

    def send(self, word: str, rest: str = "") -> None:
        """Write a message. Half a surrogate pair is replaced: the line has to be UTF-8."""
        line = f"{word} {rest}" if rest else word
        data = memoryview(line.encode("utf-8", "replace") + b"\n")
        while data:
            data = data[os.write(self.writer, data) :]

    def receive(self) -> Message:
        """Wait for the next message.

        Raises:
            EOFError: there is none any more.
            ValueError: it is too long.
        """
        parts, size = [self._unread], len(self._unread)
        while b"\n" not in parts[-1]:
            data = os.read(self.reader, _CHUNK)
            if not data:
                raise EOFError
            parts.append(data)
            size += len(data)
            if size > self._longest + _CHUNK:
                raise ValueError(f"more than {self._longest} bytes in a line")
        line, _, self._unread = b"".join(parts).partition(b"\n")
        return Message.parse(line)


def describe(error: BaseException) -> str:
    """The error's type and the first line of its message; its class may be a model's."""
    words = ""
    with contextlib.suppress(BaseException):
        words = str(error).strip().split("\n", 1)[0]
    kind = type(error).__name__
    return (f"{kind}: {words}" if words else kind)[:_DETAIL]
