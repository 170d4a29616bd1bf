"""Unwrap exceptions from the groups that nurseries put around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def unwrapped(*kinds: type[BaseException]) -> Iterator[None]:
    """Raise a group's only exception bare if it is one of `kinds`; let other groups pass.

    Nurseries wrap all exceptions, but one that callers catch by type must not arrive in a group.
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
def without_nursery_group() -> Iterator[None]:
    """Raise a lone exception as it was before the block's nursery wrapped it."""
    try:
        yield
    except BaseExceptionGroup as group:
        if len(group.exceptions) > 1:
            raise
        _raise(group.exceptions[0])


def _raise(error: BaseException) -> NoReturn:
    """Raise an exception with its original context instead of the group."""
    context = error.__context__
    try:
        raise error
    finally:
        error.__context__ = context
