"""The debug lines of the asyncio original, verbatim, for users who grep for them."""

from __future__ import annotations

from collections.abc import Callable

from trio_beam.core.events import (
    BeamFailed,
    Event,
    RoundFinished,
    SearchFinished,
    SearchStarted,
)
from trio_beam.core.printable import printable
from trio_beam.core.request_events import RequestRetried
from trio_beam.core.result import SearchResult

#: Number of characters of the text in the last line.
_SHOWN = 200


class DebugLines:
    """Observer that writes the debug lines; what would end a line, or a terminal obey, is escaped.

    Args:
        write: called with each line, without a line end.
    """

    def __init__(self, write: Callable[[str], None] = print) -> None:
        self._write = write
        self._enough: int | None = None  # number of ended beams that ends the search

    def __call__(self, event: Event) -> None:
        """Write the lines for an event, if any."""
        if isinstance(event, SearchStarted):
            self._enough = event.config.beam_width
        for line in _lines(event, self._enough):
            # A text may hold an end of a line: what follows it must not look like a line of ours.
            self._write(f"[BeamSearch] {printable(line)}")


def _lines(event: Event, enough: int | None) -> list[str]:
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
        case SearchFinished(result=result) if enough is not None:
            return _last_lines(result, enough)
        case RequestRetried(error=error, attempt=attempt, attempts=attempts, wait=wait):
            return [f"Attempt {attempt}/{attempts} failed, next in {wait:.1f}s: {error}"]
        case BeamFailed(failure=failure, rank=rank):
            return [f"Block {failure.round}: beam {rank} failed: {failure.error}"]
        case _:
            return []


def _last_lines(result: SearchResult, enough: int) -> list[str]:
    if not result.beams:
        return []
    ended = len(result.beams) if result.stop_reason == "finished" else 0
    stopping = [f"Stopping: {ended} beams completed"] if ended >= enough else []
    text = result.text if len(result.text) <= _SHOWN else f"{result.text[:_SHOWN]}..."
    final = f"Final: {result.beams[0].length} tokens, score={result.score:.4f}"
    return [*stopping, final, f"Text: {text}"]
