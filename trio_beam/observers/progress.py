"""Show progress: a growing text on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import trio
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TimeElapsedColumn
from rich.text import Text

from trio_beam.core.beam import Beam
from trio_beam.core.events import (
    BeamFailed,
    ChainExtended,
    EvaluationStarted,
    Event,
    RoundFinished,
    RoundStarted,
    SearchStarted,
)
from trio_beam.core.printable import counted, printable
from trio_beam.core.request_events import RatePaused, RequestRetried
from trio_beam.core.result import ParticleRound
from trio_beam.observers.activity import Activity

#: Step scores that are shown.
_SHOWN_SCORES = 8
#: Plain lines that are shown at once, and the seconds between later ones.
_AT_ONCE, _EVERY = 20, 10.0
#: Seconds of a pause that is worth a line.
_LONG_PAUSE = 5.0


class SearchProgress(Protocol):
    """Shows a search: an observer."""

    def __call__(self, event: Event) -> None:
        """Observe an event."""

    async def report(self) -> None:
        """Where nothing is drawn, say now and then what is being waited for, until cancelled."""


@contextmanager
def progress(
    console: Console, prompt: str = "", clock: Callable[[], float] = time.monotonic
) -> Iterator[SearchProgress]:
    """Show progress on a console inside the ``with`` block; yields the observer for the search.

    On a terminal, the best text so far grows behind the prompt, with what is being waited for, the rate and
    the cost below it; all is gone at the end of the block. Elsewhere there are plain lines: the first ones as
    they come, then one in ten seconds.

    Args:
        console: where it is shown.
        prompt: a text, with the end of its line unless the answer goes on with it.
        clock: returns the time in seconds.
    """
    activity = Activity(clock)
    if not console.is_terminal:
        yield _Plain(console, activity, clock)
        return
    screen = _Screen(console, prompt, activity)
    with Live(screen, console=console, transient=True, refresh_per_second=8):
        yield screen


class Moment(ProgressColumn):
    """A column that draws what `words` of its task says at this moment, below the description."""

    def render(self, task: Task) -> Text:
        """Draw the cell; called several times a second, in a thread."""
        words = printable(task.fields["words"](), keep="\n")
        if not task.description:
            return Text(words, overflow="fold")
        below = f"\n{words}" if words else ""
        return Text.assemble(task.description, (below, "dim"), overflow="fold")


class _Screen:
    """The best text so far, and below it lines that change."""

    def __init__(self, console: Console, prompt: str, activity: Activity) -> None:
        self._console = console
        self._prompt = prompt
        self._activity = activity
        self._watch = activity.watch()
        spinner = "dots" if console.encoding.startswith("utf") else "line"
        columns = (SpinnerColumn(spinner), Moment(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console)
        self._task = self._bar.add_task("", total=None, words=self._words)
        self._lines = _Lines()
        self._head = ""
        self._score = ""
        self._before, self._text = "", ""

    def __call__(self, event: Event) -> None:
        self._lines.note(event)
        self._watch(event)
        match event:
            case RoundStarted(beams=beams):
                self._head = f"{self._lines.place(event)}, {counted(beams, 'beam')} alive"
            case EvaluationStarted():
                self._head = self._lines.of(event)
            case RoundFinished(best_score=score, best=best):
                self._score = f", best score {score:.4f}{_about(best)}"
                self._show(best)
            case ChainExtended(chain=0, block=block, blocks=blocks, beam=beam):
                self._head = f"block {block}/{blocks}{_about(beam)}"
                self._show(beam)
            case BeamFailed() | RequestRetried() | RatePaused():
                _print(self._console, self._lines.of(event))

    async def report(self) -> None:
        """Do nothing: all of it is drawn several times a second."""

    def _words(self) -> str:
        state = "; ".join(filter(None, (self._activity.spent(), self._activity.waiting())))
        return f"{self._head or 'asking the server'}{self._score}\n{state}"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the end of the text, as much as fits, and the lines."""
        parts = (self._prompt, self._before, self._text)
        prompt, before, found = (printable(part, keep="\n\t") for part in parts)
        text = Text.assemble((prompt, "dim"), (before, "dim italic"), found)
        below = self._bar.get_renderable()
        rows = len(console.render_lines(below, options, pad=False))
        room = max(options.size.height - rows - 1, 1)
        yield from text.wrap(console, options.max_width)[-room:]
        yield below

    def _show(self, beam: Beam) -> None:
        """Show the answer, or the thinking as long as there is none."""
        self._before, self._text = ("", beam.answer) if beam.answer else (beam.reasoning, "")


class _Plain:
    """A line for what happens; of very much, one in a while."""

    def __init__(self, console: Console, activity: Activity, clock: Callable[[], float]) -> None:
        self._console = console
        self._activity = activity
        self._watch = activity.watch()
        self._lines = _Lines()
        self._pacer = Pacer(clock)

    def __call__(self, event: Event) -> None:
        self._watch(event)
        line = self._lines.of(event)
        if isinstance(event, (RoundFinished, ChainExtended)):
            line += f"; {self._activity.spent()}"
        # Failures are told all: they are few, or there are attempts enough to limit them.
        if line and (
            isinstance(event, (BeamFailed, RequestRetried, RatePaused)) or self._pacer.allows()
        ):
            _print(self._console, line)

    async def report(self) -> None:
        """Say what is being waited for when nothing else was said for a while."""
        await self._pacer.report(
            self._activity,
            lambda waiting: f"{waiting}; {self._activity.spent()}",
            lambda line: _print(self._console, line),
        )


class Pacer:
    """Limits lines: the first ones at once, then one in ten seconds.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float], *, at_once: int = _AT_ONCE) -> None:
        self._clock = clock
        self._left = at_once
        self._last = clock()

    def allows(self) -> bool:
        """Return whether a line may be shown now, and count it."""
        if self._left <= 0 and self._clock() - self._last < _EVERY:
            return False
        self._left -= 1
        self._last = self._clock()
        return True

    async def report(
        self, activity: Activity, words: Callable[[str], str], say: Callable[[str], object]
    ) -> None:
        """Say what is being waited for whenever no line was shown for ten seconds, until cancelled.

        Args:
            activity: knows it.
            words: makes a line of it.
            say: shows a line.
        """
        while True:
            await trio.sleep(_EVERY)
            waiting = activity.waiting()
            if waiting and self._clock() - self._last >= _EVERY:
                self._last = self._clock()
                say(words(waiting))


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
                wanted = counted(samples, "continuation")
                return f"{self.place(event)}: expanding {counted(beams, 'beam')} by {wanted}"
            case EvaluationStarted():
                return f"{self._unit} {event.round}: {_evaluation(event)}"
            case RoundFinished(active=active, ended=ended):
                return (
                    f"{self.place(event)}: {counted(active, 'beam')} alive, {ended} ended, best score"
                    f" {event.best_score:.4f}{_about(event.best)}{_particles(event.particles)}"
                )
            case ChainExtended(chain=chain, block=block, blocks=blocks, length=length):
                return f"chain {chain + 1}: block {block}/{blocks}, {counted(length, 'token')}"
            case BeamFailed(failure=failure):
                return f"{self._unit} {failure.round}: a beam failed: {failure.error}"
            case _:
                return _delay(event)


def _print(console: Console, line: str) -> None:
    if line:
        console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


def _delay(event: Event) -> str:
    if isinstance(event, RequestRetried):
        what = f"{event.error.url}: {event.error.message}"
        tries = f"attempt {event.attempt} of {event.attempts} failed"
        return f"{tries}, again in {event.wait:.1f} s: {what}"
    if isinstance(event, RatePaused) and event.seconds >= _LONG_PAUSE:
        return f"paused for the rate ({event.limit} per minute): {event.seconds:.0f} s"
    return ""


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
    about = counted(event.candidates, "candidate")
    if event.purpose == "judge":
        return f"asking the judge about {about}"
    if event.purpose == "reward":
        return f"asking the reward model about {about}"
    if event.purpose == "move":
        return f"moving {counted(event.candidates, 'particle')}"
    return f"looking ahead from {about} by {counted(event.samples, 'rollout')}"


def _particles(particles: ParticleRound | None) -> str:
    if particles is None:
        return ""
    drawn = ", resampled" if particles.resampled else ""
    return f", effective sample size {particles.effective_sample_size:.1f}{drawn}"
