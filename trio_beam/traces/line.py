"""The base of all lines of a trace, and how numbers are written in them."""

from __future__ import annotations

import math
from typing import TypeAlias

import msgspec

#: A float, or "inf", "-inf" or "nan", which JSON has no numbers for; None where it is unknown.
Number: TypeAlias = float | str | None


def number(value: float | None) -> Number:
    """Return a float as it is written."""
    return value if value is None or math.isfinite(value) else str(value)


def integer(value: int) -> int | str:
    """Return a whole number as it is written: as a text beyond 64 bits."""
    return value if -(2**63) <= value < 2**63 else str(value)


class Line(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="kind"):
    """The base of all lines.

    Attributes:
        search: number of the search among those that one `Trace` wrote, from 1.
        at: seconds since the search began.
    """

    search: int = 0
    at: float = 0.0


class Part(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The base of what lines hold."""
