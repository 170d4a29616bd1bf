"""The data of the plots: strategies with one configuration each."""

from __future__ import annotations

import attrs

from trio_beam.errors import ConfigError


@attrs.frozen(kw_only=True)
class Series:
    """One strategy with one configuration.

    Attributes:
        label: name in the legend.
        group: series of the same group differ by a swept key and are joined by a line.
        passed: number of problems solved; None if not graded.
        total: number of problems graded, including failures.
        width: number of beams, samples, particles or chains; None if it has none.
        tokens: generated tokens, by problem.
        seconds: duration of the search, by problem.
        at_k: for k = 1, 2, 4, ... answers to each problem: their generated tokens, pass@k, and maj@k or None.
        round_scores: best score of each round in nats, by problem; None if there was none.
    """

    label: str
    group: str
    passed: int | None
    total: int = attrs.field()
    width: int | None
    tokens: tuple[int, ...]
    seconds: tuple[float, ...]
    round_scores: tuple[tuple[float | None, ...], ...]
    at_k: tuple[tuple[float, float, float | None], ...] = ()

    @total.validator
    def _(self, _: object, total: int) -> None:
        if not 0 <= (self.passed or 0) <= total:
            raise ConfigError("total", f"at least passed ({self.passed})", total)

    @property
    def rate(self) -> float | None:
        """The pass rate in per cent; None if nothing was graded."""
        return 100 * self.passed / self.total if self.passed is not None and self.total else None

    def scores_of_round(self, number: int) -> list[float]:
        """Return the best scores of round `number` (from 1) of the problems that reached it."""
        there = (scores[number - 1] for scores in self.round_scores if len(scores) >= number)
        return [score for score in there if score is not None]

    @property
    def rounds(self) -> int:
        """The maximum number of rounds of a problem."""
        return max(map(len, self.round_scores), default=0)
