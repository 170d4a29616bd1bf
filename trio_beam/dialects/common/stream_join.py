"""Join streamed pieces of several choices. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import msgspec

from trio_beam.dialects.common.sse import truncated_stream


class Part(Protocol):
    """A choice or a piece of one."""

    @property
    def index(self) -> int:
        """Index of the choice."""

    @property
    def finish_reason(self) -> str | None:
        """The server's finish reason, once the choice has ended."""


P = TypeVar("P", bound=Part)
W = TypeVar("W", bound=Part)
S = TypeVar("S", bound=msgspec.Struct)


def join_choices(
    pieces: Iterable[P], add: Callable[[W | None, P], W], *, done: bool, n: int
) -> list[W]:
    """Join interleaved pieces into choices.

    Args:
        pieces: in the order received.
        add: adds a piece to a choice; the choice is None for its first piece.
        done: whether the stream reached ``[DONE]``.
        n: number of choices requested.

    Raises:
        MalformedResponse: the stream ended before ``[DONE]`` and before every choice had ended.
    """
    choices: dict[int, W] = {}
    for piece in pieces:
        choices[piece.index] = add(choices.get(piece.index), piece)
    ended = sum(choice.finish_reason is not None for choice in choices.values())
    if not done and ended < max(n, len(choices)):
        raise truncated_stream()
    return list(choices.values())


def join_lists(before: S | None, more: S | None) -> S | None:
    """Append the lists of one struct, each of which may be None, to those of another.

    Changes `before` in place.
    """
    if before is None or more is None:
        return more if before is None else before
    for field in more.__struct_fields__:
        known, value = getattr(before, field), getattr(more, field)
        if known is None:
            setattr(before, field, value)
        elif value is not None:
            known.extend(value)
    return before
