"""Show progress: a growing text on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from trio_beam.core.beam import Beam
from trio_beam.core.events import (
    BeamExpanded,
    BeamFailed,
    ChainExtended,
    EvaluationStarted,
    Event,
    Observer,
    RoundFinished,
    RoundStarted,
    SearchStarted,
)
from trio_beam.core.printable import printable
from trio_beam.core.request_events import RatePaused, RequestRetried
from trio_beam.core.result import ParticleRound

#: Step scores that are shown.
_SHOWN_SCORES = 8
#: Seconds of a pause that is worth a line.
_LONG_PAUSE = 5.0


@contextmanager
def progress(console: Console, prompt: str = "") -> Iterator[Observer]:
    """Show progress on a console inside the ``with`` block; yields the observer for the search.

    On a terminal, the best text so far grows behind the prompt; both are gone at the end of the block.

    Args:
        console: where it is shown.
        prompt: a text, with the end of its line unless the answer goes on with it.
    """
    if not console.is_terminal:
        lines = _Lines()
        yield lambda event: _print(console, lines, event)
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
        self._lines = _Lines()
        self._tokens = self._discarded = 0
        self._head = ""
        self._score = ""
        self._before, self._text = "", ""

    def __call__(self, event: Event) -> None:
        self._lines.note(event)
        match event:
            case RoundStarted(beams=beams):
                self._head = f"{self._lines.place(event)}, {_count(beams, 'beam')} alive"
            case BeamExpanded(tokens=tokens, discarded=discarded):
                self._tokens += tokens
                self._discarded += discarded
            case EvaluationStarted():
                self._head = self._lines.of(event)
            case RoundFinished(best_score=score, best=best):
                self._score = f", best score {score:.4f}{_about(best)}"
                self._show(best)
            case ChainExtended(chain=0, block=block, blocks=blocks, beam=beam):
                self._head = f"block {block}/{blocks}{_about(beam)}"
                self._show(beam)
            case BeamFailed() | RequestRetried() | RatePaused():
                _print(self._console, self._lines, event)
        if self._head:
            line = f"{self._head}{self._score}, {self._tokens} tokens"
            line += f" ({self._discarded} thrown away)" if self._discarded else ""
            self._bar.update(self._task, description=line)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the end of the text, as much as fits, and the line."""
        parts = (self._prompt, self._before, self._text)
        prompt, before, found = (printable(part, keep="\n\t") for part in parts)
        text = Text.assemble((prompt, "dim"), (before, "dim italic"), found)
        room = max(options.size.height - 3, 1)
        yield from text.wrap(console, options.max_width)[-room:]
        yield self._bar.get_renderable()

    def _show(self, beam: Beam) -> None:
        """Show the answer, or the thinking as long as there is none."""
        self._before, self._text = ("", beam.answer) if beam.answer else (beam.reasoning, "")


class _Lines:
    """Describes events in a line each. A round of a search over steps is a step."""

    def __init__(self) -> None:
        self._unit = "round"

    def note(self, event: Event) -> None:
        """Note what a search searches over."""
        if isinstance(event, SearchStarted):
            self._unit = "round" if event.config.block is None else "step"

    def place(self, event: RoundStarted | RoundFinished) -> str:
        """Say which round it is, and of how many; of steps there may be one per token."""
        if self._unit == "step":
            return f"step {event.round}"
        return f"round {event.round}/{event.rounds}"

    def of(self, event: Event) -> str:
        """Return the line for an event; "" for none."""
        self.note(event)
        match event:
            case RoundStarted(beams=beams, samples=samples):
                wanted = _count(samples, "continuation")
                return f"{self.place(event)}: expanding {_count(beams, 'beam')} by {wanted}"
            case EvaluationStarted():
                return f"{self._unit} {event.round}: {_evaluation(event)}"
            case RoundFinished(active=active, ended=ended):
                return (
                    f"{self.place(event)}: {_count(active, 'beam')} alive, {ended} ended, best score"
                    f" {event.best_score:.4f}{_about(event.best)}, {event.completion_tokens} tokens so far"
                    f"{_particles(event.particles)}"
                )
            case RequestRetried() | RatePaused():
                return _delay(event)
            case BeamFailed(failure=failure):
                return f"{self._unit} {failure.round}: a beam failed: {failure.error}"
            case _:
                return ""


def _print(console: Console, lines: _Lines, event: Event) -> None:
    line = printable(lines.of(event))
    if line:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _delay(event: RequestRetried | RatePaused) -> str:
    if isinstance(event, RequestRetried):
        what = f"{event.error.url}: {event.error.message}"
        tries = f"attempt {event.attempt} of {event.attempts} failed"
        return f"{tries}, again in {event.wait:.1f} s: {what}"
    if event.seconds < _LONG_PAUSE:
        return ""
    return f"paused for the rate ({event.limit} per minute): {event.seconds:.0f} s"


def _about(beam: Beam) -> str:
    """Say what a beam is besides a text: its step scores, that it thinks, the tools that it calls."""
    parts = [f" (steps {list_scores(beam.step_scores)})"] if len(beam.step_scores) > 1 else []
    if beam.tool_calls:
        parts.append(f", calls {', '.join(call.name for call in beam.tool_calls)}")
    elif beam.unanswered:
        parts.append(", thinking" if beam.reasoning or beam.thinks_apart else ", calling a tool")
    return "".join(parts)


def list_scores(scores: Sequence[float]) -> str:
    """Return scores as text, of many the last ones."""
    shown = " ".join(f"{score:.2f}" for score in scores[-_SHOWN_SCORES:])
    return shown if len(scores) <= _SHOWN_SCORES else f"... {shown}"


def _evaluation(event: EvaluationStarted) -> str:
    about = _count(event.candidates, "candidate")
    if event.purpose == "judge":
        return f"asking the judge about {about}"
    if event.purpose == "reward":
        return f"asking the reward model about {about}"
    if event.purpose == "move":
        return f"moving {_count(event.candidates, 'particle')}"
    return f"looking ahead from {about} by {_count(event.samples, 'rollout')}"


def _particles(particles: ParticleRound | None) -> str:
    if particles is None:
        return ""
    drawn = ", resampled" if particles.resampled else ""
    return f", effective sample size {particles.effective_sample_size:.1f}{drawn}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
