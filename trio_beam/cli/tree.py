"""Draw a recorded search on a terminal. No text of others moves its cursor or begins a line of ours."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.text import Text
from rich.tree import Tree as RichTree

from trio_beam.core.printable import counted, printable
from trio_beam.core.usage import Usage
from trio_beam.traces import format as lines
from trio_beam.traces.reader import RecordedSearch
from trio_beam.traces.tree import Tree, TreeBeam
from trio_beam.traces.values import prompt_text, usage_from_plain, usage_to_plain

_SHOWN = 72
#: Columns of what is no terminal.
_UNLIMITED = 100_000


def print_tree(console: Console, search: RecordedSearch) -> None:
    """Print a search on a console: a terminal folds long lines, a file has them whole."""
    if not console.is_terminal:
        console = Console(file=console.file, width=_UNLIMITED)
    for one in _draw(search):
        console.print(one, highlight=False)


def _draw(search: RecordedSearch) -> Iterator[RenderableType]:
    """Yield what is to be printed: a line about the search, its tree, and what it cost."""
    began = search.began
    label = f", {printable(began.label)}" if began.label else ""
    kind = began.strategy.get("strategy", "")
    yield Text(f"search {search.number}{label}: {printable(str(kind))}, {began.began}")
    yield _branch(Tree(search.lines).root, Text(_prompt(search), "dim"))
    yield Text(_requests(search))
    yield Text(_end(search))


def _prompt(search: RecordedSearch) -> str:
    prompt = search.began.prompt
    return "(the prompt was left out)" if prompt is None else _shortened(prompt_text(prompt))


def _branch(beam: TreeBeam, label: Text) -> RichTree:
    tree = RichTree(label)
    waiting = [(tree, beam)]
    while waiting:  # a chain of a thousand rounds is too deep for recursion
        branch, parent = waiting.pop()
        for child in parent.children:
            text = child.text
            # What goes on in one way only is one line.
            while len(child.children) == 1 and not child.fate and not child.in_result:
                child = child.children[0]  # noqa: PLW2901
                text = None if text is None or child.text is None else text + child.text
            waiting.append((branch.add(_line(child, text)), child))
    return tree


def _line(beam: TreeBeam, text: str | None) -> Text:
    style = "bold green" if beam.in_result == 1 else "" if beam.in_result else "dim"
    shown = f"({beam.length} tokens)" if text is None else _shortened(text)
    line = Text.assemble((shown or "(nothing)", style))
    if beam.score is not None:
        line.append(f"  {float(beam.score):.4f}", "cyan")
    if beam.weight is not None:
        line.append(f"  weight {beam.weight:.3g}", "cyan")
    if beam.fate:
        line.append(f"  {printable(beam.fate)}", "italic")
    return line


def _requests(search: RecordedSearch) -> str:
    sent, ended = search.of(lines.Sent), search.of(lines.Ended)
    if not sent:
        return "no requests were recorded"
    cancelled = sum(one.outcome == "cancelled" for one in ended)
    failed = sum(one.outcome == "error" for one in ended)
    waited = max(one.waited for one in sent)
    return (
        f"{counted(len(sent), 'request')}: {failed} failed,"
        f" {len(search.of(lines.Retried))} tried again, {len(search.of(lines.Hedged))} hedged,"
        f" {cancelled} cancelled; the longest wait was {waited:.2f} s"
    )


def _end(search: RecordedSearch) -> str:
    end = search.end
    if end is None:
        return "no end yet: it still runs, or its process was killed"
    result = end.result
    spent = ", ".join(_spent(usage_from_plain(result.usage)))
    line = (
        f"{result.stop_reason} after {counted(result.rounds, 'round')} and {end.at:.2f} s; {spent}"
    )
    if result.votes:
        votes = [f"{_shortened(answer)!s} {share:.0%}" for answer, share in result.votes[:5]]
        line += f"; votes: {', '.join(votes)}"
    if isinstance(end, lines.Stopped) and end.message:
        line += f"; {printable(end.message)}"
    return line


def _spent(usage: Usage) -> Iterator[str]:
    yield counted(usage.requests, "request")
    for name, value in usage_to_plain(usage).items():
        if name not in ("requests", "cost", "uncertain_cost", "unpriced"):
            yield f"{value:,} {name.replace('_', ' ')}"
    if usage.price_in_words:
        yield usage.price_in_words


def _shortened(text: str) -> str:
    shown = printable(text)
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 20]} ... {shown[-15:]}"
