"""Show progress: one changing line on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from trio_beam.core.events import (
    BeamExpanded,
    BeamFailed,
    EvaluationStarted,
    Event,
    Observer,
    RoundFinished,
    RoundStarted,
)
from trio_beam.core.request_events import RequestRetried


@contextmanager
def progress(console: Console) -> Iterator[Observer]:
    """Show progress on a console inside the ``with`` block; yields the observer for the search."""
    if not console.is_terminal:
        yield lambda event: _print(console, event)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        yield _Line(bar)


class _Line:
    """The changing line."""

    def __init__(self, bar: Progress) -> None:
        self._bar = bar
        self._task = bar.add_task("asking the server", total=None)
        self._tokens = 0
        self._head = ""
        self._best = ""

    def __call__(self, event: Event) -> None:
        match event:
            case RoundStarted(round=number, rounds=rounds, beams=beams):
                self._head = f"round {number}/{rounds}, {_count(beams, 'beam')} alive"
            case BeamExpanded(tokens=tokens):
                self._tokens += tokens
            case EvaluationStarted():
                self._head = _plain(event)
            case RoundFinished(best_score=best):
                self._best = f", best score {best:.4f}"
            case BeamFailed() | RequestRetried():
                _print(self._bar.console, event)
        if self._head:
            line = f"{self._head}{self._best}, {self._tokens} tokens"
            self._bar.update(self._task, description=line)


def _print(console: Console, event: Event) -> None:
    line = _plain(event)
    if line:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _plain(event: Event) -> str:
    match event:
        case RoundStarted(round=number, rounds=rounds, beams=beams, samples=samples):
            wanted = _count(samples, "continuation")
            return f"round {number}/{rounds}: expanding {_count(beams, 'beam')} by {wanted}"
        case EvaluationStarted():
            return _evaluation(event)
        case RoundFinished(round=number, rounds=rounds, active=active, ended=ended):
            return (
                f"round {number}/{rounds}: {_count(active, 'beam')} alive, {ended} ended,"
                f" best score {event.best_score:.4f}, {event.completion_tokens} tokens so far"
            )
        case RequestRetried(error=error, attempt=attempt, attempts=attempts, wait=wait):
            what = f"{error.url}: {error.message}"
            return f"attempt {attempt} of {attempts} failed, again in {wait:.1f} s: {what}"
        case BeamFailed(failure=failure):
            return f"round {failure.round}: a beam failed: {failure.error}"
        case _:
            return ""


def _evaluation(event: EvaluationStarted) -> str:
    about = _count(event.candidates, "candidate")
    if event.purpose == "judge":
        return f"round {event.round}: asking the judge about {about}"
    rollouts = _count(event.samples, "rollout")
    return f"round {event.round}: looking ahead from {about} by {rollouts}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
