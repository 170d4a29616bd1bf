"""The data of a plot: one strategy with one configuration."""

from __future__ import annotations

import attrs

from trio_beam.errors import ConfigError


@attrs.frozen(kw_only=True)
class Series:
    """One strategy with one configuration, as the plots show it.

    Attributes:
        label: name in the legend.
        group: strategies of the same group are joined by a line: they differ by a swept key.
        passed: problems solved; None if not graded.
        total: problems graded, failures included.
        width: beams, samples, particles or chains; None if it has none.
        tokens: generated, by problem.
        seconds: of the search, by problem.
        round_scores: best score of each round in nats, by problem; None where there was none.
    """

    label: str
    group: str
    passed: int | None
    total: int = attrs.field()
    width: int | None
    tokens: tuple[int, ...]
    seconds: tuple[float, ...]
    round_scores: tuple[tuple[float | None, ...], ...]

    @total.validator
    def _(self, _: object, total: int) -> None:
        if not 0 <= (self.passed or 0) <= total:
            raise ConfigError("total", f"at least passed ({self.passed})", total)

    @property
    def rate(self) -> float | None:
        """Return the pass rate in per cent; None if nothing was graded."""
        return 100 * self.passed / self.total if self.passed is not None and self.total else None

    def scores_of_round(self, number: int) -> list[float]:
        """Return the best scores of round `number` (from 1) of the problems that reached it."""
        there = (scores[number - 1] for scores in self.round_scores if len(scores) >= number)
        return [score for score in there if score is not None]

    @property
    def rounds(self) -> int:
        """Return the most rounds of a problem."""
        return max(map(len, self.round_scores), default=0)
