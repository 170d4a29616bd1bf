"""Watch a streamed response while it arrives, to give it up once it is no longer wanted. Pure.

A search has no use for half a response, so streams are read to the end by the same code as other bodies
(`sse`); but a text whose confidence has fallen too low is not wanted any more. A `Watch` sees the events of a
stream as they arrive. When it has seen enough, the connection is closed, which makes the server stop, and the
response is decoded from the events up to there: where a packet ends makes no difference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

import attrs

from trio_beam.core.confidence import ConfidenceLimit, Group, of_logprobs
from trio_beam.dialects.common.sse import DONE, read_events

T = TypeVar("T")
#: The end of an event: an empty line.
_END = re.compile(rb"\r\n\r\n|\n\n|\r\r")


@attrs.frozen(eq=False)
class Abandoned(Generic[T]):
    """A response that was given up before its end.

    Attributes:
        response: what had arrived.
    """

    response: T


def whole(response: T | Abandoned[T]) -> tuple[T, bool]:
    """Return a response, and whether it was given up."""
    if isinstance(response, Abandoned):
        return response.response, True
    return response, False


class Logprobs(NamedTuple):
    """The log-probability of a token (nats), None if it is unknown, and those of the most probable ones."""

    own: float | None
    top: Iterable[float | None]


class Watch:
    """Sees a body as it arrives.

    Args:
        limit: the confidence that the text has to keep.
        read: returns the log-probabilities of the tokens in an event's data. It may raise anything about data
            it does not understand: decoding the body will say what is wrong.
    """

    def __init__(self, limit: ConfidenceLimit, read: Callable[[bytes], Iterable[Logprobs]]) -> None:
        self._limit = limit
        self._group = Group(limit.window)
        self._read = read
        self._seen = bytearray()
        self._done = 0  # bytes of complete events

    def feed(self, part: bytes) -> bool:
        """Add the next part of the body; return whether the rest is not wanted."""
        self._seen += part
        while (end := _END.search(self._seen, self._done)) is not None:
            event = bytes(self._seen[self._done : end.end()])
            self._done = end.end()
            if any(self._is_low(data) for data in read_events(event)):
                return True
        return False

    def body(self) -> bytes:
        """Return the body up to the event that decided, as a complete stream."""
        return bytes(self._seen[: self._done]) + b"data: %s\n\n" % DONE

    def _is_low(self, data: bytes) -> bool:
        try:
            tokens = [of_logprobs(own, top, self._limit.top) for own, top in self._read(data)]
        except Exception:  # not about confidence
            return False
        return any(self._limit.excludes(self._group.add(value)) for value in tokens)


def watching(
    limit: ConfidenceLimit | None, read: Callable[[bytes], Iterable[Logprobs]]
) -> Callable[[], Watch] | None:
    """Return what makes a `Watch` for each attempt; None without a limit."""
    return None if limit is None else lambda: Watch(limit, read)
