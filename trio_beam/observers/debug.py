"""The lines that users of the asyncio original grep for, word for word."""

from __future__ import annotations

from collections.abc import Callable

from trio_beam.core.events import BeamFailed, Event, RoundFinished, SearchStarted
from trio_beam.core.request_events import RequestRetried


class DebugLines:
    """Observer that writes the debug lines.

    Args:
        write: takes one line, without its end; by default `print`.
    """

    def __init__(self, write: Callable[[str], None] = print) -> None:
        self._write = write

    def __call__(self, event: Event) -> None:
        """Write the lines of an event, if it has any."""
        for line in _lines(event):
            self._write(f"[BeamSearch] {line}")


def _lines(event: Event) -> list[str]:
    match event:
        case SearchStarted(config=config, rounds=rounds):
            width, n = config.beam_width, config.n_per_beam
            return [
                f"TRUE beam search (ASYNC): beam_width={width}, n_per_beam={n}",
                f"Generating {rounds} blocks of {config.tokens_per_step} tokens",
                f"α={config.alpha}, length_penalty={config.length_penalty}",
                f"Each iteration: {width} beams × {n} samples = candidates (PARALLEL)",
            ]
        case RoundFinished(round=number, rounds=rounds, active=active, ended=ended):
            return [
                f"Block {number}: Generated {event.candidates} candidates (parallel)",
                f"Block {number}/{rounds}: {active} active, {ended} completed",
                f"  Best score: {event.best_score:.4f}",
            ]
        case RequestRetried(error=error, attempt=attempt, attempts=attempts, wait=wait):
            return [f"Attempt {attempt}/{attempts} failed, next in {wait:.1f}s: {error}"]
        case BeamFailed(failure=failure, rank=rank):
            return [f"Block {failure.round}: beam {rank} failed: {failure.error}"]
        case _:
            return []
