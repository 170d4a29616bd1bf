"""``trio-beam view``: look at recorded searches."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console

from trio_beam.cli.tree import print_tree
from trio_beam.command.help import Command, option
from trio_beam.command.output import say
from trio_beam.command.runner import plain_errors, run
from trio_beam.core.printable import printable
from trio_beam.traces import read_trace
from trio_beam.viewer.live import LivePage
from trio_beam.viewer.page import page
from trio_beam.viewer.recorded import MAX_EMBEDDED, RecordedSearches
from trio_beam.viewer.shown import page_data

_EXAMPLES = """
trio-beam generate --seed 1 --trace run.jsonl "Once upon a time"
trio-beam view run.jsonl --out run.html
trio-beam view run.jsonl --live
trio-beam view --compare run.jsonl other.jsonl --out both.html
trio-beam view run.jsonl --text
"""


@click.command(cls=Command, examples=_EXAMPLES)
@click.argument("traces", nargs=-1, required=True, metavar="TRACE", type=click.Path(path_type=Path))
@option(
    "output",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE.html",
    help="Write a page, for any browser and without a network.",
)
@option(
    "output",
    "--live",
    is_flag=True,
    help="Serve the page to browsers on this machine while the trace grows, until Ctrl-C.",
)
@option(
    "output",
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Port for --live.  [default: a free one]",
)
@option("output", "--text", is_flag=True, help="Print the tree of beams.")
@option(
    "output",
    "--compare",
    is_flag=True,
    help="Show two searches side by side: of two traces, or the first two of one.",
)
@option(
    "output",
    "--search",
    type=click.IntRange(min=1),
    metavar="N",
    help="Only the search of that number; in each, if several traces are given.",
)
@option(
    "output",
    "--max-size",
    type=click.IntRange(min=1),
    default=MAX_EMBEDDED // 1_000_000,
    metavar="MB",
    show_default=True,
    help="Most that the page may hold of the traces; the rest is left out, and said to be.",
)
@click.pass_context
def view(
    ctx: click.Context,
    traces: tuple[Path, ...],
    *,
    out: Path | None,
    live: bool,
    port: int,
    text: bool,
    compare: bool,
    search: int | None,
    max_size: int,
) -> None:
    """Look at the searches in TRACE, a file that was written by --trace."""
    if (out is not None) + live + text != 1:
        raise click.UsageError(
            "say how to look at it, by one of: --out FILE.html writes a page, --live serves it while the"
            " trace grows, --text prints the tree of beams"
        )
    if len(traces) > 1 and not compare:
        raise click.UsageError("one trace at a time, or two with --compare")
    if compare and (out is None or len(traces) > 2):
        raise click.UsageError(
            "--compare takes one or two traces, and writes a page: --out FILE.html"
        )
    if text:
        _print(traces[0], search)
        return
    if out is not None and any(_same(out, trace) for trace in traces):
        raise click.UsageError(f"--out {out} would replace the trace: name another file")
    with plain_errors():
        if live:
            ctx.exit(
                run(
                    LivePage(
                        traces[0],
                        say=_print_url,
                        port=port,
                        only=search,
                        limit=max_size * 1_000_000,
                    )
                )
            )
        sources = [
            RecordedSearches(path, only=search, limit=max_size * 1_000_000 // len(traces))
            for path in traces
        ]
    assert out is not None
    _write(out, sources, search, compare=compare)


def _write(
    out: Path, sources: list[RecordedSearches], search: int | None, *, compare: bool
) -> None:
    for source in sources:
        _check_number(search, source.count)
    about, searches = page_data(sources, mode="compare" if compare else "file")
    if compare:
        about["compared"] = _compared(about["searches"])
    names = " and ".join(source.name for source in sources)
    size = _written(out, page(f"{names} – trio-beam", about, searches))
    left = sum(one["left_out"] for one in about["searches"])
    if left:
        say(
            f"{left} of {len(searches)} searches were left out: the page would be larger than --max-size;"
            " write one of them alone with --search"
        )
    damaged = sum(one["damaged"] for one in about["sources"])
    _say_faults(damaged, any(one["torn"] for one in about["sources"]))
    say(f"{printable(str(out))}: {size / 1000:,.0f} kB, for any browser")


def _written(out: Path, parts: Iterable[bytes]) -> int:
    """Write a file whole, or not at all; return its size. A pipe or a device is written to as it is."""
    out = out.resolve()  # a link stays one
    whole = out.is_file() or not out.exists()
    new = out.with_name(f".{out.name}.new") if whole else out
    size = 0
    try:
        with new.open("wb") as file:
            for part in parts:
                size += file.write(part)
        if whole:
            new.replace(out)
    except OSError as error:
        if whole:
            new.unlink(missing_ok=True)
        raise click.ClickException(f"cannot write {out}: {error.strerror}") from None
    return size


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False  # one of them is not there


def _compared(searches: list[dict[str, object]]) -> tuple[int, int]:
    """Return the places of the first searches of two traces, or of the first two of one."""
    sources = [one["source"] for one in searches]
    second = sources.index(1) if 1 in sources else 1
    if second >= len(searches):
        raise click.UsageError("there is only one search: give two traces to --compare")
    return 0, second


def _check_number(search: int | None, count: int) -> None:
    if search is not None and search > count:
        raise click.UsageError(f"--search must be at most {count}, not {search}")


def _print(trace: Path, search: int | None) -> None:
    with plain_errors():
        read = read_trace(trace)
    _check_number(search, len(read.searches))
    if not read.searches:
        say("the trace has no search yet")
    for one in read.searches if search is None else [read.searches[search - 1]]:
        print_tree(Console(file=sys.stdout), one)
    _say_faults(read.damaged, read.torn)


def _say_faults(damaged: int, torn: bool) -> None:
    if damaged:
        lines = (
            "1 line is damaged, and was"
            if damaged == 1
            else f"{damaged} lines are damaged, and were"
        )
        say(f"{lines} passed over")
    if torn:
        say("the last line is not whole: it is still being written, or a crash tore it")


def _print_url(url: str) -> None:
    click.echo(url)
    sys.stdout.flush()
