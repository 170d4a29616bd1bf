"""Three plots of a run or a sweep, each as PNG and SVG.

Import this module only to draw: importing matplotlib takes a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, ScalarFormatter

from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.series import Series
from trio_beam.benchmark.statistics import wilson

#: Okabe and Ito's colour-blind-safe palette, without yellow, which is too faint on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_MARKERS = "osD^vP*X"
_WIDTH, _HEIGHT, _LEGEND_LINE = 7.0, 4.2, 0.24  # inches
_STYLE: Any = {
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.alpha": 0.3,
    "legend.fontsize": 9,
    # Keep text as text, and make files reproducible.
    "svg.fonttype": "none",
    "svg.hashsalt": "trio_beam",
    "text.parse_math": False,
}


def draw_plots(series: Sequence[Series], folder: Path, *, title: str) -> list[Path]:
    """Draw every plot for which there is data, and return the files.

    - ``pass_rate_against_tokens``: mean tokens and pass rate, with its 95 % Wilson interval;
    - ``time_against_width``: median time and the middle half, if there is more than one width;
    - ``score_against_rounds``: median best score and the middle half, of searches of several rounds.

    Args:
        series: of a run, or of all combinations of a sweep.
        folder: an existing folder to write to.
        title: title of each plot.

    Raises:
        BenchmarkError: a file cannot be written.
    """
    written: list[Path] = []
    numbered = [_Shown(index, one) for index, one in enumerate(series)]
    with rc_context(_STYLE):
        for name, shown, draw in _plots(numbered):
            figure = draw(shown, title)
            written += [_save(figure, folder / f"{name}.{kind}") for kind in ("png", "svg")]
    return written


class _Shown(NamedTuple):
    """A series with its number, which gives it the same look in every plot."""

    number: int
    series: Series


_Drawing: TypeAlias = "Callable[[Sequence[_Shown], str], Figure]"


def _plots(numbered: Sequence[_Shown]) -> Iterator[tuple[str, list[_Shown], _Drawing]]:
    """Yield each plot that can be drawn: name, series and function."""
    graded = [one for one in numbered if one.series.rate is not None and one.series.tokens]
    if graded:
        yield "pass_rate_against_tokens", graded, _pass_rate_against_tokens
    wide = [one for one in numbered if one.series.width is not None and one.series.seconds]
    if len({one.series.width for one in wide}) > 1:
        yield "time_against_width", wide, _time_against_width
    long = [one for one in numbered if one.series.rounds > 1]
    if long:
        yield "score_against_rounds", long, _score_against_rounds


def _save(figure: Figure, path: Path) -> Path:
    # No date, so that the same data give the same file.
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    try:
        figure.savefig(path, dpi=150, metadata=metadata)
    except OSError as error:
        raise BenchmarkError(f"cannot write {path}: {error.strerror}") from None
    return path


def _pass_rate_against_tokens(shown: Sequence[_Shown], title: str) -> Figure:
    figure, axes = _figure(shown, title)
    places = [sum(one.tokens) / len(one.tokens) for _, one in shown]
    rates = [one.rate or 0.0 for _, one in shown]
    _join(axes, shown, places, rates)
    for (index, one), place, rate in zip(shown, places, rates, strict=True):
        interval = wilson(one.passed or 0, one.total)
        away = rate - 100 * interval.low, 100 * interval.high - rate
        _point(axes, index, place, rate, away, f"{one.label}: {one.passed} of {one.total}")
    axes.set_xlabel("tokens generated for a problem (mean)")
    axes.set_ylabel("pass rate (%), 95 % Wilson interval")
    axes.set_ylim(-2, 102)
    _spread_out(axes, places)
    _legend(figure, axes)
    return figure


def _time_against_width(shown: Sequence[_Shown], title: str) -> Figure:
    figure, axes = _figure(shown, title)
    widths = [one.width or 0 for _, one in shown]
    places = _side_by_side(widths)
    quartiles = [_quartiles(one.seconds) for _, one in shown]
    _join(axes, shown, places, [middle for _, middle, _ in quartiles])
    for (index, one), place, (low, middle, high) in zip(shown, places, quartiles, strict=True):
        _point(axes, index, place, middle, (middle - low, high - middle), one.label)
    axes.set_xlabel("width: beams, samples, particles or chains")
    axes.set_ylabel("time of a problem (s), median and middle half")
    axes.set_xticks(sorted(set(widths)))
    axes.set_ylim(bottom=0)
    _legend(figure, axes)
    return figure


def _score_against_rounds(shown: Sequence[_Shown], title: str) -> Figure:
    """Draw scores, and below them the number of problems in each round, since some end early."""
    figure = _empty(len(shown), more=1.0)
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.set_title(title)
    for index, one in shown:
        rounds = [n for n in range(1, one.rounds + 1) if one.scores_of_round(n)]
        scores = [one.scores_of_round(number) for number in rounds]
        quartiles = [_quartiles(some) for some in scores]
        lows, middles, highs = ([three[i] for three in quartiles] for i in range(3))
        colour, marker = _look(index)
        axes.plot(rounds, middles, color=colour, marker=marker, markersize=4, label=one.label)
        axes.fill_between(rounds, lows, highs, color=colour, alpha=0.15, linewidth=0)
        counts.step(rounds, [len(some) for some in scores], where="mid", color=colour)
    axes.set_ylabel("best score of the round (nats)\nmedian and middle half")
    counts.set_ylabel("problems")
    counts.set_xlabel("round")
    counts.set_ylim(bottom=0)
    for axis in (counts.xaxis, counts.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, axes)
    return figure


def _figure(shown: Sequence[_Shown], title: str) -> tuple[Figure, Axes]:
    figure = _empty(len(shown))
    axes = figure.subplots()
    axes.set_title(title)
    return figure, axes


def _empty(lines: int, more: float = 0.0) -> Figure:
    """Return a figure outside pyplot's global state, as high as its legend needs."""
    height = _HEIGHT + more + _LEGEND_LINE * lines
    return Figure(figsize=(_WIDTH, height), layout="constrained")


def _legend(figure: Figure, axes: Axes) -> None:
    """Put the legend below the plot, one strategy per line, since their names are long."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", frameon=False)


def _look(index: int) -> tuple[str, str]:
    return _COLOURS[index % len(_COLOURS)], _MARKERS[index % len(_MARKERS)]


def _point(
    axes: Axes, index: int, x: float, y: float, away: tuple[float, float], label: str
) -> None:
    """Draw a point with its error bar."""
    colour, marker = _look(index)
    spans = [[max(0.0, away[0])], [max(0.0, away[1])]]
    axes.errorbar(
        [x], [y], yerr=spans, fmt=marker, color=colour, markersize=7, capsize=4, label=label
    )


def _join(axes: Axes, shown: Sequence[_Shown], x: Sequence[float], y: Sequence[float]) -> None:
    """Draw a thin line through the points of each group, from left to right."""
    for group in dict.fromkeys(one.group for _, one in shown):
        points = zip(shown, x, y, strict=True)
        line = sorted((right, up) for (_, one), right, up in points if one.group == group)
        if len(line) > 1:
            axes.plot(*zip(*line, strict=True), color="0.6", linewidth=1, zorder=1)


def _spread_out(axes: Axes, places: Sequence[float]) -> None:
    """Use a logarithmic axis if a linear one would crowd most points into a corner."""
    if min(places) > 0 and max(places) > 8 * min(places):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.minorticks_off()
        axes.set_xlim(min(places) / 1.5, max(places) * 1.5)
    else:
        axes.set_xlim(0, max(1.0, 1.15 * max(places)))


def _side_by_side(places: Sequence[int]) -> list[float]:
    """Offset equal positions a little."""
    step = 0.02 * (max(places) - min(places))
    seen: dict[int, int] = {}
    apart = []
    for place in places:
        apart.append(place + step * seen.get(place, 0))
        seen[place] = seen.get(place, 0) + 1
    return apart


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the first quartile, the median and the third, interpolated."""
    ranked = sorted(values)

    def at(share: float) -> float:
        place = share * (len(ranked) - 1)
        low = int(place)
        high = min(low + 1, len(ranked) - 1)
        return ranked[low] + (place - low) * (ranked[high] - ranked[low])

    return at(0.25), at(0.5), at(0.75)
