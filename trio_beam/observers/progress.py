"""Show progress: a growing text on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from trio_beam.core.events import (
    BeamExpanded,
    BeamFailed,
    ChainExtended,
    EvaluationStarted,
    Event,
    Observer,
    RoundFinished,
    RoundStarted,
)
from trio_beam.core.printable import printable
from trio_beam.core.request_events import RequestRetried
from trio_beam.core.result import ParticleRound


@contextmanager
def progress(console: Console, prompt: str = "") -> Iterator[Observer]:
    """Show progress on a console inside the ``with`` block; yields the observer for the search.

    On a terminal, the best text so far grows behind the prompt; both are gone at the end of the block.

    Args:
        console: where it is shown.
        prompt: a text, with the end of its line unless the answer goes on with it.
    """
    if not console.is_terminal:
        yield lambda event: _print(console, event)
        return
    screen = _Screen(console, prompt)
    with Live(screen, console=console, transient=True, refresh_per_second=8):
        yield screen


class _Screen:
    """The best text so far, and below it a line that changes."""

    def __init__(self, console: Console, prompt: str) -> None:
        self._console = console
        self._prompt = prompt
        spinner = "dots" if console.encoding.startswith("utf") else "line"
        columns = (SpinnerColumn(spinner), TextColumn("{task.description}"), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console)
        self._task = self._bar.add_task("asking the server", total=None)
        self._tokens = self._discarded = 0
        self._head = ""
        self._score = ""
        self._text = ""

    def __call__(self, event: Event) -> None:
        match event:
            case RoundStarted(round=number, rounds=rounds, beams=beams):
                self._head = f"round {number}/{rounds}, {_count(beams, 'beam')} alive"
            case BeamExpanded(tokens=tokens, discarded=discarded):
                self._tokens += tokens
                self._discarded += discarded
            case EvaluationStarted():
                self._head = _plain(event)
            case RoundFinished(best_score=score, best=best):
                self._score = f", best score {score:.4f}"
                self._text = best.text
            case ChainExtended(chain=0, block=block, blocks=blocks, beam=beam):
                self._head = f"block {block}/{blocks}"
                self._text = beam.text
            case BeamFailed() | RequestRetried():
                _print(self._console, event)
        if self._head:
            line = f"{self._head}{self._score}, {self._tokens} tokens"
            line += f" ({self._discarded} thrown away)" if self._discarded else ""
            self._bar.update(self._task, description=line)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the end of the text, as much as fits, and the line."""
        prompt, found = (printable(text, keep="\n\t") for text in (self._prompt, self._text))
        text = Text.assemble((prompt, "dim"), found)
        room = max(options.size.height - 3, 1)
        yield from text.wrap(console, options.max_width)[-room:]
        yield self._bar.get_renderable()


def _print(console: Console, event: Event) -> None:
    line = printable(_plain(event))
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
                f"{_particles(event.particles)}"
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
    if event.purpose == "reward":
        return f"round {event.round}: asking the reward model about {about}"
    if event.purpose == "move":
        return f"round {event.round}: moving {_count(event.candidates, 'particle')}"
    rollouts = _count(event.samples, "rollout")
    return f"round {event.round}: looking ahead from {about} by {rollouts}"


def _particles(particles: ParticleRound | None) -> str:
    if particles is None:
        return ""
    drawn = ", resampled" if particles.resampled else ""
    return f", effective sample size {particles.effective_sample_size:.1f}{drawn}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
