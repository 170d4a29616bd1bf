"""Plots, read back from the figures and from the files."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from statistics import stdev
from typing import Any

import attrs
import pytest
from matplotlib.colors import rgb_to_hsv, to_rgb
from matplotlib.figure import Figure

from trio_beam.benchmark import plots
from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.origin import Origin
from trio_beam.benchmark.plots import draw_plots
from trio_beam.benchmark.report import write_report
from trio_beam.benchmark.series import Series
from trio_beam.benchmark.statistics import wilson
from trio_beam.benchmark.tables import Results
from trio_beam.errors import ConfigError

GREEDY = Series(
    label="Greedy",
    group="greedy",
    passed=1,
    total=4,
    width=1,
    tokens=(100, 200, 300, 400),
    seconds=(1.0, 2.0, 3.0, 10.0),
    round_scores=((-3.0,), (-4.0,), (-5.0,), ()),
)
BEAM = Series(
    label="BeamSearch(α=4.0,width=2,n=2,tps=64)",
    group="beam_search",
    passed=3,
    total=4,
    width=2,
    tokens=(500, 500, 500, 900),
    seconds=(4.0, 4.0, 5.0, 5.0),
    round_scores=((-3.0, -6.0, -9.0), (-5.0, -8.0), (-7.0, None), ()),
)
WIDE = attrs.evolve(BEAM, label="BeamSearch(width=8)", width=8, passed=4)
NAMES = ["pass_rate_against_tokens", "time_against_width", "score_against_rounds"]


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> dict[str, Figure]:
    """Every figure that is saved, by its name."""
    found: dict[str, Figure] = {}

    def keep(figure: Figure, path: Path) -> Path:
        found[path.stem] = figure
        return path

    monkeypatch.setattr(plots, "_save", keep)
    return found


def points(figure: Figure) -> list[tuple[float, float, float, float]]:
    """Of each point with its bar: x, y, and the two ends of the bar."""
    found = []
    for container in figure.axes[0].containers:
        line, _, (bars,) = container.lines  # type: ignore[attr-defined]
        ((x, low), (_, high)) = bars.get_segments()[0]
        found.append((float(x), float(line.get_ydata()[0]), float(low), float(high)))
    return found


def lines(figure: Figure, axes: int = 0) -> list[list[tuple[float, float]]]:
    """The points of each line that has more than one."""
    found: list[Any] = [line.get_xydata() for line in figure.axes[axes].get_lines()]
    return [[(float(x), float(y)) for x, y in line] for line in found if len(line) > 1]


def test_the_files_are_pictures_with_the_words_in_them(tmp_path: Path) -> None:
    written = draw_plots([GREEDY, BEAM, WIDE], tmp_path, title="a title & more")
    assert written == [tmp_path / f"{name}.{kind}" for name in NAMES for kind in ("png", "svg")]
    for path in written:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG\r\n")
        else:
            words = " ".join(ET.parse(path).getroot().itertext())
            assert "a title & more" in words
            assert BEAM.label in words


def test_the_same_data_give_the_same_svg(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        draw_plots([GREEDY, BEAM], folder, title="same")
    for name in NAMES:
        one, two = ((folder / f"{name}.svg").read_bytes() for folder in folders)
        assert one == two


def test_pass_rates_stand_with_their_intervals(tmp_path: Path, figures: dict[str, Figure]) -> None:
    draw_plots([GREEDY, BEAM], tmp_path, title="t")
    figure = figures[NAMES[0]]
    for (x, y, low, high), series, tokens, rate in zip(
        points(figure), [GREEDY, BEAM], [250, 600], [25, 75], strict=True
    ):
        interval = wilson(series.passed or 0, series.total)
        assert x == tokens
        assert y == pytest.approx(rate)
        assert low == pytest.approx(100 * interval.low)
        assert high == pytest.approx(100 * interval.high)
    axes = figure.axes[0]
    assert "%" in axes.get_ylabel()
    assert "tokens" in axes.get_xlabel()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "Greedy: 1 of 4",
        f"{BEAM.label}: 3 of 4",
    ]


def test_times_are_means_as_in_the_table(tmp_path: Path, figures: dict[str, Figure]) -> None:
    draw_plots([GREEDY, BEAM], tmp_path, title="t")
    figure = figures[NAMES[1]]
    greedy, beam = points(figure)
    assert greedy[:3] == (1, 4.0, 0.0)  # no time is negative
    error = 1.96 * stdev(BEAM.seconds) / 2
    assert beam == pytest.approx((2, 4.5, 4.5 - error, 4.5 + error))
    assert "(s)" in figure.axes[0].get_ylabel()


def test_scores_are_of_the_problems_that_came_so_far(
    tmp_path: Path, figures: dict[str, Figure]
) -> None:
    draw_plots([GREEDY, BEAM], tmp_path, title="t")
    figure = figures[NAMES[2]]
    assert lines(figure) == [[(1, -5.0), (2, -7.0), (3, -9.0)]]  # one round is no line: no greedy
    assert lines(figure, 1) == [[(1, 3), (2, 2), (3, 1)]]
    assert "nats" in figure.axes[0].get_ylabel()


def test_a_strategy_looks_the_same_in_every_plot(
    tmp_path: Path, figures: dict[str, Figure]
) -> None:
    draw_plots([GREEDY, BEAM], tmp_path, title="t")
    bar: Any = figures[NAMES[0]].axes[0].containers[1]
    colour = bar.lines[0].get_color()
    assert figures[NAMES[2]].axes[0].get_lines()[0].get_color() == colour


def colours(figure: Figure) -> list[tuple[float, float, float]]:
    bars: Any = figure.axes[0].containers
    return [to_rgb(bar.lines[0].get_color()) for bar in bars]


def test_widths_of_one_strategy_are_shades_of_one_hue(
    tmp_path: Path, figures: dict[str, Figure]
) -> None:
    draw_plots([BEAM, WIDE, attrs.evolve(BEAM, width=4), GREEDY], tmp_path, title="t")
    *beams, greedy = colours(figures[NAMES[0]])
    hues = [rgb_to_hsv(one)[0] for one in beams]
    assert max(hues) - min(hues) < 0.01
    assert len(set(beams)) == 3
    assert sorted(beams, key=sum) == [beams[1], beams[2], beams[0]]  # the widest is the darkest
    assert abs(rgb_to_hsv(greedy)[0] - hues[0]) > 0.05


def test_twelve_strategies_have_twelve_colours(tmp_path: Path, figures: dict[str, Figure]) -> None:
    many = [attrs.evolve(GREEDY, label=f"{n}", group=f"{n}") for n in range(12)]
    draw_plots(many, tmp_path, title="t")
    assert len(set(colours(figures[NAMES[0]]))) == 12


@pytest.mark.parametrize("factor", [1, 100])
@pytest.mark.parametrize("passed", [0, 1, 4])
def test_the_data_fill_the_axes(
    tmp_path: Path, figures: dict[str, Figure], passed: int, factor: int
) -> None:
    far = attrs.evolve(BEAM, tokens=tuple(factor * n for n in BEAM.tokens), passed=passed)
    draw_plots([GREEDY, far, attrs.evolve(WIDE, tokens=(450,) * 4)], tmp_path, title="t")
    for name in NAMES[:2]:
        axes = figures[name].axes[0]
        shown = points(figures[name])
        to_axes = (axes.transData + axes.transAxes.inverted()).transform
        corners = [to_axes((x, y)) for x, _, *ends in shown for y in ends]
        for direction in (0, 1):
            places = [corner[direction] for corner in corners]
            assert 0 <= min(places) < 0.1
            assert 0.9 < max(places) <= 1


def test_a_sweep_joins_the_points_of_a_group(tmp_path: Path, figures: dict[str, Figure]) -> None:
    draw_plots([WIDE, GREEDY, BEAM], tmp_path, title="t")
    assert lines(figures[NAMES[1]]) == [[(2, 4.5), (8, 4.5)]]


def test_equal_widths_stand_beside_each_other(tmp_path: Path, figures: dict[str, Figure]) -> None:
    other = attrs.evolve(GREEDY, label="Temperature", group="temperature_sampling")
    draw_plots([GREEDY, other, WIDE], tmp_path, title="t")
    places = [x for x, *_ in points(figures[NAMES[1]])]
    assert places[0] < places[1] < places[0] + 0.5


def test_far_apart_costs_get_a_logarithmic_axis(tmp_path: Path, figures: dict[str, Figure]) -> None:
    draw_plots([GREEDY, BEAM], tmp_path, title="t")
    assert figures[NAMES[0]].axes[0].get_xscale() == "linear"
    draw_plots([GREEDY, attrs.evolve(BEAM, tokens=(9000,) * 4)], tmp_path, title="t")
    assert figures[NAMES[0]].axes[0].get_xscale() == "log"


@pytest.mark.parametrize(
    ("series", "drawn"),
    [
        ([], []),
        ([attrs.evolve(GREEDY, passed=None)], []),
        ([GREEDY], NAMES[:1]),
        ([attrs.evolve(GREEDY, passed=None), BEAM], NAMES),
        ([attrs.evolve(GREEDY, width=None), BEAM], [NAMES[0], NAMES[2]]),
        ([attrs.evolve(GREEDY, passed=0, total=0, tokens=(), seconds=())], []),
        ([attrs.evolve(BEAM, passed=0)], [NAMES[0], NAMES[2]]),
    ],
)
def test_what_has_no_data_is_left_out(
    tmp_path: Path, figures: dict[str, Figure], series: list[Series], drawn: list[str]
) -> None:
    draw_plots(series, tmp_path, title="t")
    assert list(figures) == drawn


def test_not_graded_is_not_zero(tmp_path: Path, figures: dict[str, Figure]) -> None:
    draw_plots([attrs.evolve(GREEDY, passed=None), BEAM], tmp_path, title="t")
    assert len(points(figures[NAMES[0]])) == 1
    assert len(points(figures[NAMES[1]])) == 2


def test_no_costs_at_all_can_be_drawn(tmp_path: Path) -> None:
    """A run of which every search failed before its first token."""
    failed = attrs.evolve(GREEDY, passed=0, tokens=(0,) * 4, seconds=(0.0,) * 4)
    assert len(draw_plots([failed, attrs.evolve(failed, width=2)], tmp_path, title="t")) == 4


def test_more_series_than_colours(tmp_path: Path) -> None:
    many = [attrs.evolve(BEAM, label=f"width {w}", width=w) for w in range(1, 12)]
    assert len(draw_plots(many, tmp_path, title="t")) == 6


def test_a_dollar_in_a_name_is_no_formula(tmp_path: Path) -> None:
    draw_plots([attrs.evolve(GREEDY, label="a $b^{ c$")], tmp_path, title="$x")
    assert "a $b^{ c$" in (tmp_path / f"{NAMES[0]}.svg").read_text()


def test_a_folder_that_is_not_there_is_made_if_it_can_be(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    with pytest.raises(BenchmarkError, match=r"cannot write .*a file"):
        draw_plots([GREEDY], tmp_path / "a file", title="t")
    draw_plots([GREEDY], tmp_path / "new", title="t")
    assert len(list((tmp_path / "new").iterdir())) == 2


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "trio_beam.benchmark.plots")
    monkeypatch.delattr("trio_beam.benchmark.plots")
    with pytest.raises(BenchmarkError, match='extra "bench"'):
        write_report(Results.of([]), tmp_path, origin=Origin.of(""), problems=[], plots=True)


def test_nothing_of_it_is_imported_for_a_run_without_plots() -> None:
    code = "import sys, trio_beam.benchmark.main\nprint('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_more_passed_than_there_were() -> None:
    with pytest.raises(ConfigError, match="total"):
        attrs.evolve(GREEDY, total=0)
