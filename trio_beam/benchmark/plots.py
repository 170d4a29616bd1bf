"""The plots of a run or a sweep, each as PNG and SVG.

Import this module only to draw: importing matplotlib takes a second.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, NamedTuple, TypeAlias

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, ScalarFormatter

from trio_beam.benchmark.files import write_atomic
from trio_beam.benchmark.series import Series
from trio_beam.benchmark.statistics import wilson

#: Hues for groups of strategies: Okabe and Ito's, told apart by everyone (without the yellow, too faint on
#: white), then darker ones of Paul Tol's.
_HUES = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000"),
    *("#882255", "#999933", "#332288", "#661100", "#117733"),
)
#: Share of white in the palest shade of a hue.
_PALEST = 0.55
_MARKERS = "osD^vP*X"
#: Free space around the data, as a share of its extent.
_MARGIN = 0.06
_Colour: TypeAlias = tuple[float, float, float]
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
    - ``time_against_width``: mean time and its 95 % interval, if there is more than one width;
    - ``accuracy_against_tokens``: pass@k and maj@k against the tokens of k answers, if there are several;
    - ``score_against_rounds``: median best score and the middle half, of searches of several rounds.

    Strategies of one group, such as the widths of a sweep, are shades of one hue.

    Args:
        series: of a run, or of all combinations of a sweep together.
        folder: where to write; it is made.
        title: stands above each plot.

    Raises:
        BenchmarkError: a file cannot be written.
    """
    written: list[Path] = []
    with rc_context(_STYLE):
        for name, shown, draw in _plots(_with_looks(series)):
            figure = draw(shown, title)
            written += [_save(figure, folder / f"{name}.{kind}") for kind in ("png", "svg")]
    return written


class _Shown(NamedTuple):
    """A series with its look, which is the same in every plot."""

    look: tuple[_Colour, str]
    series: Series


def _with_looks(series: Sequence[Series]) -> list[_Shown]:
    """Give each group a hue, and each of its members a shade, the widest the darkest, and a marker."""
    groups = list(dict.fromkeys(one.group for one in series))
    looks: dict[int, tuple[_Colour, str]] = {}
    for number, group in enumerate(groups):
        members = [index for index, one in enumerate(series) if one.group == group]
        members.sort(key=lambda index: -(series[index].width or 0))
        hue = to_rgb(_HUES[number % len(_HUES)])
        for place, index in enumerate(members):
            white = _PALEST * place / max(1, len(members) - 1)
            red, green, blue = (part + white * (1 - part) for part in hue)
            looks[index] = (red, green, blue), _MARKERS[(number + place) % len(_MARKERS)]
    return [_Shown(looks[index], one) for index, one in enumerate(series)]


_Drawing: TypeAlias = "Callable[[Sequence[_Shown], str], Figure]"


def _plots(numbered: Sequence[_Shown]) -> Iterator[tuple[str, list[_Shown], _Drawing]]:
    """Yield each plot that can be drawn: name, series and function."""
    graded = [one for one in numbered if one.series.rate is not None and one.series.tokens]
    if graded:
        yield "pass_rate_against_tokens", graded, _pass_rate_against_tokens
    wide = [one for one in numbered if one.series.width is not None and one.series.seconds]
    if len({one.series.width for one in wide}) > 1:
        yield "time_against_width", wide, _time_against_width
    if any(len(one.series.at_k) > 1 for one in numbered):
        several = [one for one in numbered if one.series.at_k]
        yield "accuracy_against_tokens", several, _accuracy_against_tokens
    long = [one for one in numbered if one.series.rounds > 1]
    if long:
        yield "score_against_rounds", long, _score_against_rounds


def _save(figure: Figure, path: Path) -> Path:
    # Without the date, the same data give the same file.
    kind = path.suffix.removeprefix(".")
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=150, format=kind, metadata={"Date": None} if kind == "svg" else {})
    return write_atomic(path, drawn.getvalue())


def _pass_rate_against_tokens(shown: Sequence[_Shown], title: str) -> Figure:
    figure, axes = _figure(shown, title)
    places = [sum(one.tokens) / len(one.tokens) for _, one in shown]
    rates = [one.rate or 0.0 for _, one in shown]
    _join(axes, shown, places, rates)
    ends: list[float] = []
    for (look, one), place, rate in zip(shown, places, rates, strict=True):
        interval = wilson(one.passed or 0, one.total)
        away = rate - 100 * interval.low, 100 * interval.high - rate
        ends += [100 * interval.low, 100 * interval.high]
        _point(axes, look, place, rate, away, f"{one.label}: {one.passed} of {one.total}")
    axes.set_xlabel("tokens generated for a problem (mean)")
    axes.set_ylabel("pass rate (%), 95 % Wilson interval")
    axes.set_ylim(*_around(ends))
    _spread_out(axes, places)
    _legend(figure, axes)
    return figure


def _time_against_width(shown: Sequence[_Shown], title: str) -> Figure:
    figure, axes = _figure(shown, title)
    widths = [one.width or 0 for _, one in shown]
    places = _side_by_side(widths)
    means = [mean(one.seconds) for _, one in shown]
    errors = [_error_of_mean(one.seconds) for _, one in shown]
    _join(axes, shown, places, means)
    ends: list[float] = []
    for (look, one), place, middle, error in zip(shown, places, means, errors, strict=True):
        away = min(middle, error), error
        ends += [middle - away[0], middle + away[1]]
        _point(axes, look, place, middle, away, one.label)
    axes.set_xlabel("width: beams, samples, particles or chains")
    axes.set_ylabel("time of a problem (s), mean and its 95 % interval")
    _spread_out(axes, places)
    axes.set_xticks(sorted(set(widths)), [str(width) for width in sorted(set(widths))])
    axes.set_ylim(*_around(ends))
    _legend(figure, axes)
    return figure


def _accuracy_against_tokens(shown: Sequence[_Shown], title: str) -> Figure:
    figure, axes = _figure(shown, title)
    for (colour, marker), one in shown:
        tokens, passed, majority = zip(*one.at_k, strict=True)
        look: Any = {"color": colour, "marker": marker}
        rates = [100 * value for value in passed]
        axes.plot(tokens, rates, linestyle=":", markerfacecolor="white", label=one.label, **look)
        if None not in majority:
            axes.plot(tokens, [100 * value for value in majority], **look)
    axes.set_xlabel("tokens generated for the k answers to a problem (mean)")
    axes.set_ylabel("maj@k (line) and pass@k (dots), %")
    axes.set_ylim(*_around([100 * value for _, one in shown for _, value, _ in one.at_k] + [0.0]))
    _spread_out(axes, [tokens for _, one in shown for tokens, _, _ in one.at_k])
    _legend(figure, axes)
    return figure


def _score_against_rounds(shown: Sequence[_Shown], title: str) -> Figure:
    """Draw scores, and below them the number of problems in each round, since some end early."""
    figure = _empty(len(shown), more=1.0)
    axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    axes.set_title(title)
    for look, one in shown:
        rounds = [n for n in range(1, one.rounds + 1) if one.scores_of_round(n)]
        scores = [one.scores_of_round(number) for number in rounds]
        quartiles = [_quartiles(some) for some in scores]
        lows, middles, highs = ([three[i] for three in quartiles] for i in range(3))
        colour, marker = look
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


def _point(
    axes: Axes,
    look: tuple[_Colour, str],
    x: float,
    y: float,
    away: tuple[float, float],
    label: str,
) -> None:
    """Draw a point with its error bar."""
    colour, marker = look
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


def _around(values: Sequence[float]) -> tuple[float, float]:
    """Return the limits of an axis that its data, none of them negative, fill."""
    low, high = min(values), max(values)
    margin = _MARGIN * (high - low) or max(1.0, _MARGIN * high)
    return (low - margin if low > margin else -margin / 4), high + margin


def _spread_out(axes: Axes, places: Sequence[float]) -> None:
    """Use a logarithmic axis if a linear one would crowd most points into a corner."""
    if min(places) > 0 and max(places) > 8 * min(places):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.minorticks_off()
        margin = (max(places) / min(places)) ** _MARGIN
        axes.set_xlim(min(places) / margin, max(places) * margin)
    else:
        axes.set_xlim(*_around(places))


def _error_of_mean(values: Sequence[float]) -> float:
    """Return half of the 95 % interval of a mean, by the normal distribution; 0 for one value."""
    return 1.96 * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def _side_by_side(places: Sequence[int]) -> list[float]:
    """Set equal places apart a little: by a share of the place, as they may be on a logarithmic axis."""
    seen: dict[int, int] = {}
    apart = []
    for place in places:
        apart.append(place * (1 + 0.03 * seen.get(place, 0)))
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
