"""The phases of a beam search and their transitions."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """A phase of a search."""

    READY = "ready"
    """No round is open."""
    EXPANDING = "expanding"
    """Awaiting the outcomes of a round's expansions."""
    SCORING = "scoring"
    """Awaiting the scores of an asynchronous scorer."""
    EVALUATING = "evaluating"
    """Awaiting the outcomes of requests about candidates or final beams (rollouts, a judge, rewards)."""
    FINISHED = "finished"
    """The search has ended; a round cut short by the budget stays open."""
    FAILED = "failed"
    """The search has failed; the round in which it failed stays open."""


TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.READY: frozenset({Phase.EXPANDING, Phase.EVALUATING, Phase.FINISHED, Phase.FAILED}),
    Phase.EXPANDING: frozenset(
        {Phase.SCORING, Phase.EVALUATING, Phase.READY, Phase.FINISHED, Phase.FAILED}
    ),
    Phase.SCORING: frozenset({Phase.EVALUATING, Phase.READY, Phase.FINISHED, Phase.FAILED}),
    Phase.EVALUATING: frozenset({Phase.EVALUATING, Phase.READY, Phase.FINISHED, Phase.FAILED}),
    Phase.FINISHED: frozenset(),
    Phase.FAILED: frozenset(),
}
