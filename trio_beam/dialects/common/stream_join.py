"""Answers of several choices that come in pieces, as streams send them, made whole. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import msgspec

from trio_beam.dialects.common.sse import cut_short


class Part(Protocol):
    """A choice, or a piece of one: which it is, and why it ended if it has."""

    @property
    def index(self) -> int:
        """Its place among the choices."""

    @property
    def finish_reason(self) -> str | None:
        """The server's word."""


P = TypeVar("P", bound=Part)
W = TypeVar("W", bound=Part)
S = TypeVar("S", bound=msgspec.Struct)


def join_choices(
    pieces: Iterable[P], add: Callable[[W | None, P], W], *, done: bool, n: int
) -> list[W]:
    """The choices that a stream amounts to; their pieces come interleaved, and each ends with its reason.

    Args:
        pieces: in the order of the wire.
        add: a choice with one more piece; None stands for a choice that only begins.
        done: whether the stream came to its ``[DONE]``.
        n: the choices that were asked for.

    Raises:
        MalformedResponse: it ended before that, and before all of them had.
    """
    choices: dict[int, W] = {}
    for piece in pieces:
        choices[piece.index] = add(choices.get(piece.index), piece)
    ended = sum(choice.finish_reason is not None for choice in choices.values())
    if not done and ended < max(n, len(choices)):
        raise cut_short()
    return list(choices.values())


def join_lists(before: S | None, more: S | None) -> S | None:
    """A struct of parallel lists, any of which may be None, with those of another behind them.

    The first is changed.
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
