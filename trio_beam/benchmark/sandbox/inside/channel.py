"""Messages over two pipes, one per line: a word and, after a space, data."""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

_DETAIL = 200  # characters
_CHUNK = 1 << 16
#: Description of a message that does not belong to the sender's role.
NOT_A_REPORT = "it sent something other than a report"


class Message(NamedTuple):
    """One line.

    Attributes:
        word: the kind of message, such as ``ready``, ``call`` or ``returned``.
        rest: its data, in a form that depends on the word; "" if it has none.
    """

    word: str
    rest: str

    @classmethod
    def parse(cls, line: bytes) -> Message:
        """Parse a line without its end. It may hold any bytes, since a program may have written it."""
        word, _, rest = line.decode("utf-8", "replace").partition(" ")
        return cls(word, rest)


class Channel:
    """Reads messages from one file descriptor, and writes messages to another.

    Args:
        reader: the descriptor to read from.
        writer: the descriptor to write to.
        longest: maximum size of a received message, in bytes.
    """

    def __init__(self, reader: int, writer: int, longest: int) -> None:
        self.reader = reader
        self.writer = writer
        self._longest = longest
        self._unread = b""

    def send(self, word: str, rest: str = "") -> None:
        """Write a message. A lone half of a surrogate pair is replaced, since UTF-8 has none."""
        line = f"{word} {rest}" if rest else word
        data = memoryview(line.encode("utf-8", "replace") + b"\n")
        while data:
            data = data[os.write(self.writer, data) :]

    def receive(self) -> Message:
        """Wait for the next message.

        Raises:
            EOFError: the other side is gone.
            ValueError: the message is too long.
        """
        parts, size = [self._unread], len(self._unread)
        while b"\n" not in parts[-1]:
            data = os.read(self.reader, _CHUNK)
            if not data:
                raise EOFError
            parts.append(data)
            size += len(data)
            if size > self._longest + _CHUNK:
                raise ValueError(f"reported more than {self._longest} bytes")
        line, _, self._unread = b"".join(parts).partition(b"\n")
        return Message.parse(line)


def describe(error: BaseException) -> str:
    """Return the error's type and the first line of its message. Its class may be a model's."""
    words = ""
    with contextlib.suppress(BaseException):
        words = str(error).strip().split("\n", 1)[0]
    kind = type(error).__name__
    return (f"{kind}: {words}" if words else kind)[:_DETAIL]
