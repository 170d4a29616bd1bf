"""Exceptions that arrive as themselves, however many nurseries they came through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def unwrapped(*kinds: type[BaseException]) -> Iterator[None]:
    """Raise the only exception of a group bare, if it is one of `kinds`; other groups pass as they are.

    Nurseries wrap whatever leaves them. An exception that a caller catches by its type must not arrive in
    a group.
    """
    try:
        yield
    except BaseExceptionGroup as group:
        lone: BaseException = group
        while isinstance(lone, BaseExceptionGroup) and len(lone.exceptions) == 1:
            lone = lone.exceptions[0]
        if not isinstance(lone, kinds):
            raise
        _raise(lone)


@contextmanager
def one_nursery_less() -> Iterator[None]:
    """Raise a lone exception as it was before the nursery of the block wrapped it."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        _raise(group.exceptions[0])


def _raise(error: BaseException) -> NoReturn:
    """Raise an exception with the context that it had, not with the group that it comes from."""
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
