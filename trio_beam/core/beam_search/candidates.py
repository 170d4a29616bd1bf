"""The end of a round: its candidates are merged, scored, looked ahead from, and selected from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from trio_beam.core.beam_search.actions import Asking, Scoring
from trio_beam.core.beam_search.lookahead import look_ahead
from trio_beam.core.beam_search.scoring import call_scorer, is_async
from trio_beam.core.beam_search.selecting import Closing, Population, Selection
from trio_beam.core.judge import Judge
from trio_beam.errors import TrioBeamError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from trio_beam.core.beam import Beam
    from trio_beam.core.beam_search.evaluation import Aside, Fail
    from trio_beam.core.beam_search.scoring import AsyncScorer, Scorer
    from trio_beam.core.config import BeamSearchConfig
    from trio_beam.core.usage import Ledger


class RoundEnd:
    """What has come of a round, on its way to what stays of it.

    Args:
        number: the round, from 1.
        arrived: the candidates of each expanded beam, by rank.
        ended: beams that ended before, best first.
        carried: beams that have all the tokens they may have, and were not expanded.
        config: of the search.
        scorer: what will score.
        selection: what will select.
        ledger: what it costs.
        seed: of the first sample of the search; None: the server's own randomness.
        chance: a uniform number from 0 up to but not 1 for each name that it is asked by.
        fail: is told of each failure, and returns what is to be told of it.

    Attributes:
        arrived: how many candidates came back.
        scored: whether they have their scores.
        failed: whether what was asked about them failed, so that the search cannot go on.
        exhausted: whether the budget ended before all was asked.
    """

    def __init__(
        self,
        number: int,
        arrived: Sequence[Sequence[Beam]],
        ended: Sequence[Beam],
        carried: Sequence[Beam],
        *,
        config: BeamSearchConfig,
        scorer: Scorer | AsyncScorer | Judge,
        selection: Selection,
        ledger: Ledger,
        seed: int | None,
        chance: Callable[[str], float],
        fail: Fail,
    ) -> None:
        self.arrived = sum(map(len, arrived))
        self.scored = self.failed = self.exhausted = False
        self._foreseen = False
        self._aside: Aside | None = None  # that is under way
        self._config = config
        self._scorer = scorer
        self._selection = selection
        self._ledger = ledger
        self._seed = seed
        self._fail = fail
        self._number = number
        self._ended = list(ended)
        self._carried = list(carried)
        self._groups = [list(group) for group in arrived]
        self._futures: dict[Beam, float] = {}
        self._chance = chance
        if config.deduplicate and selection.merges:
            everybody = [beam for group in arrived for beam in group]
            self._ended, fresh = merged(self._ended, everybody)
            self._groups = [fresh]  # for those that merge only the order counts

    @property
    def fresh(self) -> list[Beam]:
        """The candidates that came of the round."""
        return [beam for group in self._groups for beam in group]

    @property
    def standing(self) -> list[Beam]:
        """All beams that stand now, but for those that are still waited for."""
        fresh = self.fresh
        if self._selection.weighted:
            # Each child has its share of what its parent weighed.
            fresh = [
                beam.but(log_weight=beam.log_weight - math.log(len(group)))
                for group in self._groups
                for beam in group
            ]
        return [*self._ended, *self._carried, *fresh]

    def next(self) -> Scoring | Asking | None:
        """What has to be had first, for what cannot be called from here; None: nothing (more).

        Raises:
            ScorerError: the scorer failed.
            TrioBeamError: the answer to what it wanted before is still missing.
        """
        if self._aside is not None:
            self._absorb(self._aside)
            if self.failed or self.exhausted:
                return None
        if not self.scored_now():
            if isinstance(self._scorer, Judge):
                self._aside = self._scorer.aside(
                    self._number, self.fresh, self._config, self._ledger, self._fail
                )
                return self._asking(self._aside)
            return Scoring(scorer=cast("AsyncScorer", self._scorer), beams=tuple(self.fresh))
        beams = () if self._foreseen else self._selection.ahead(self.closing(), self._config)
        if not beams:
            return None
        self._aside = look_ahead(
            self._number, beams, self._config, self._seed, self._ledger, self._fail
        )
        return self._asking(self._aside)

    def _asking(self, aside: Aside) -> Asking | None:
        """To be asked, if the budget allows all of it: a part would be paid for, and of no use."""
        wanted = sum(one.n * one.max_tokens for one in aside.round.expansions)
        self.exhausted = not self._ledger.allows(wanted)
        return None if self.exhausted else Asking(aside=aside)

    def scored_now(self) -> bool:
        """Have them scored, if that needs nobody else; whether they are.

        Raises:
            ScorerError: the scorer failed.
        """
        waits = isinstance(self._scorer, Judge) or is_async(self._scorer)
        if not self.scored and not (waits and self.fresh):
            fresh = self.fresh
            values = call_scorer(self._scorer, fresh, self._config) if fresh else []
            self.take_scores(dict(zip(fresh, values, strict=True)))
        return self.scored

    def take_scores(self, scores: Mapping[Beam, float | None]) -> None:
        """Give each candidate its score; those that have none are dropped."""
        self._groups = [
            [beam.but(score=score) for beam in group if (score := scores[beam]) is not None]
            for group in self._groups
        ]
        self.scored = True

    def _absorb(self, aside: Aside) -> None:
        if not aside.complete:
            raise TrioBeamError("step() before all that was asked about the round was received")
        self._aside = None
        self.exhausted = aside.exhausted
        self.failed = aside.cancelled or aside.cancel_siblings
        if self.failed or self.exhausted:
            return
        standing = len(self.standing)
        # Before any is dropped: what has failed keeps what it had.
        if standing - aside.dropped < min(self._config.min_beams, standing):
            self.failed = True
        elif self.scored:
            self._take_futures(aside.answers)
        else:
            self.take_scores(aside.answers)

    def _take_futures(self, futures: Mapping[Beam, float | None]) -> None:
        """Note the futures; candidates that have none are dropped, where one was asked for."""
        dropped = {beam for beam, value in futures.items() if value is None}
        self._groups = [[beam for beam in group if beam not in dropped] for group in self._groups]
        self._carried = [beam for beam in self._carried if beam not in dropped]
        self._futures = {beam: value for beam, value in futures.items() if value is not None}
        self._foreseen = True

    def closing(self) -> Closing:
        """What the selection sees."""
        return Closing(
            round=self._number,
            ended=self._ended,
            carried=self._carried,
            groups=self._groups,
            chance=self._chance,
            futures=self._futures,
        )

    def select(self) -> Population:
        """What stays."""
        return self._selection.select(self.closing(), self._config)


def merged(ended: Sequence[Beam], beams: Sequence[Beam]) -> tuple[list[Beam], list[Beam]]:
    """Make one of beams with the same tokens, which counts them: (those ended before, the others)."""
    kept = list(ended)
    places: dict[tuple[int, int, bool], list[int]] = {}
    for place, beam in enumerate(kept):
        places.setdefault(_identity(beam), []).append(place)
    for beam in beams:
        same = places.setdefault(_identity(beam), [])
        twin = next((place for place in same if beam.same_tokens(kept[place])), None)
        if twin is None:
            same.append(len(kept))
            kept.append(beam)
        else:
            more = kept[twin].multiplicity + beam.multiplicity
            kept[twin] = kept[twin].but(multiplicity=more)
    return kept[: len(ended)], kept[len(ended) :]


def _identity(beam: Beam) -> tuple[int, int, bool]:
    return (beam.length, beam.fingerprint, beam.ended)
