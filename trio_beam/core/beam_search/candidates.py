"""The candidates of a round, from arrival to selection."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.stand_ins import replace_members
from trio_beam.core.config import BeamSearchConfig, Selection
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.population import Population, ScoredRound
from trio_beam.core.reward_scorer import RewardScorer
from trio_beam.core.scorer import AnyScorer
from trio_beam.core.scoring import call_scorer, is_async, name_of, rewarded
from trio_beam.core.seeds import Chance
from trio_beam.errors import ScorerError


class CandidatePool:
    """The candidates of a round, with scores and futures once known.

    Args:
        number: of the round, from 1.
        arrived: the candidates of each expanded beam, by rank; with weights and a complete round, none is
            empty.
        ended: beams that ended in earlier rounds, best first.
        carried: beams at the maximum length, which were not expanded.
        config: of the search.
        selection: the selection to apply.
        chance: for the selection's draws.

    Attributes:
        scored: whether they have been scored.
        foreseen: whether futures have been estimated.
    """

    def __init__(
        self,
        number: int,
        arrived: Sequence[Sequence[Beam]],
        ended: Sequence[Beam],
        carried: Sequence[Beam],
        *,
        config: BeamSearchConfig,
        selection: Selection,
        chance: Chance,
    ) -> None:
        self.scored = self.foreseen = False
        self._config = config
        self._selection = selection
        self._number = number
        self._ended = list(ended)
        self._carried = list(carried)
        self._groups = [list(group) for group in arrived]
        self._futures: dict[Beam, float] = {}
        self._chance = chance
        if config.deduplicate and selection.deduplicates:
            everybody = [beam for group in arrived for beam in group]
            self._ended, fresh = merge_duplicates(self._ended, everybody)
            self._groups = [fresh]  # with merged duplicates only the order matters

    @property
    def fresh(self) -> list[Beam]:
        """The candidates of the round, without carried beams."""
        return [beam for group in self._groups for beam in group]

    @property
    def to_score(self) -> list[Beam]:
        """The candidates that the scorer is asked about."""
        config = self._config
        return [beam for beam in self.fresh if not config.rewards or config.is_rewarded(beam)]

    @property
    def standing(self) -> list[Beam]:
        """All current beams, without those still awaited."""
        fresh = self.fresh
        if self._selection.weighted:
            # Each child gets an equal share of its parent's weight.
            fresh = [
                beam.replace(log_weight=beam.log_weight - math.log(len(group)))
                for group in self._groups
                for beam in group
            ]
        return [*self._ended, *self._carried, *fresh]

    def score_now(self, scorer: AnyScorer) -> bool:
        """Score the candidates if `scorer` is a plain function; return whether they are scored.

        Raises:
            ScorerError: the scorer failed, or leaves no particle a weight.
        """
        fresh = self.to_score
        waits = isinstance(scorer, (ModelScorer, RewardScorer)) or is_async(scorer)
        if not self.scored and not (waits and fresh):
            values = call_scorer(scorer, fresh, self._config) if fresh else []  # type: ignore[arg-type]
            self.take_scores(dict(zip(fresh, values, strict=True)))
        return self.scored

    def take_scores(
        self,
        scores: Mapping[Beam, float | None],
        step_scores: Mapping[Beam, tuple[float, ...]] | None = None,
    ) -> None:
        """Set the candidates' scores, and step scores if there are any.

        Without weights, candidates whose scoring failed are dropped; with a reward in the weights, others
        stand in for them.

        Raises:
            ScorerError: the scores leave no particle a weight.
        """
        steps = step_scores or {}
        if self._config.rewards:
            self._reward(scores, steps)
        else:
            self._groups = [
                [
                    beam.replace(score=score, step_scores=steps.get(beam, ()))
                    for beam in group
                    if (score := scores[beam]) is not None
                ]
                for group in self._groups
            ]
        self.scored = True

    def _reward(
        self,
        scores: Mapping[Beam, float | None],
        step_scores: Mapping[Beam, tuple[float, ...]],
    ) -> None:
        found: dict[Beam, float | None] = {}
        groups: list[list[Beam]] = [[] for _ in self._groups]
        for group, into in zip(self._groups, groups, strict=True):
            for beam in group:
                scored = beam
                if (score := scores.get(beam)) is not None:
                    scored = rewarded(beam, score, self._config)
                    scored = scored.replace(step_scores=step_scores.get(beam, ()))
                into.append(scored)
                if beam in scores:
                    found[scored] = score
        if found:
            at = self._chance("stand-ins for rewards")
            groups, _ = replace_members(groups, found, at)
        self._groups = groups
        if all(beam.log_weight == -math.inf for beam in self.standing):
            raise ScorerError(name_of(self._config.scorer), "gives no text a finite reward")

    def lookahead_candidates(self) -> Sequence[Beam]:
        """Return the candidates to roll out before `select`; empty if done or not needed."""
        if self.foreseen:
            return ()
        return self._selection.lookahead_candidates(self.scored_round(), self._config)

    def take_futures(self, futures: Mapping[Beam, float | None]) -> None:
        """Set the estimated futures; replace candidates whose estimation failed (without weights, drop)."""
        self.foreseen = True
        if self._selection.weighted:
            at = self._chance("stand-ins for futures")
            self._groups, self._futures = replace_members(self._groups, futures, at)
            return
        dropped = {beam for beam, value in futures.items() if value is None}
        self._groups = [[beam for beam in group if beam not in dropped] for group in self._groups]
        self._carried = [beam for beam in self._carried if beam not in dropped]
        self._futures = {beam: value for beam, value in futures.items() if value is not None}

    def scored_round(self) -> ScoredRound:
        """Return the round as the selection sees it."""
        return ScoredRound(
            number=self._number,
            ended=self._ended,
            carried=self._carried,
            groups=self._groups,
            chance=self._chance,
            futures=self._futures,
        )

    def select(self) -> Population:
        """Choose the beams to keep."""
        return self._selection.select(self.scored_round(), self._config)


def final_beams(beams: Sequence[Beam], config: BeamSearchConfig) -> list[Beam]:
    """Return the beams of a result without weights: distinct, at most `beam_width`, in the given order.

    An answer that never came, or was given up, comes last, however well its text scores.
    """
    found = [beam for beam in beams if beam.continuation is not None]
    if config.deduplicate and not config.selection_part.deduplicates:
        _, found = merge_duplicates((), found)
    found.sort(key=lambda beam: beam.unanswered or not beam.confident)
    return found[: config.beam_width]


def merge_duplicates(ended: Sequence[Beam], beams: Sequence[Beam]) -> tuple[list[Beam], list[Beam]]:
    """Merge beams with the same tokens, adding their multiplicities; return (ended, other) beams."""
    kept = list(ended)
    places: dict[tuple[int, int, bool, bool], list[int]] = {}
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
            kept[twin] = kept[twin].replace(multiplicity=more)
    return kept[: len(ended)], kept[len(ended) :]


def _identity(beam: Beam) -> tuple[int, int, bool, bool]:
    return (beam.length, beam.fingerprint, beam.ended, beam.confident)
