"""The end of a run before its time."""

from __future__ import annotations

from trio_beam.errors import TrioBeamError


class RunStopped(TrioBeamError):
    """A run over many prompts stopped before its end, because the others would fare the same; says why."""
