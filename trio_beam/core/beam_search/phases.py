"""The phases of a beam search, and which may follow which."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """Where a search stands."""

    READY = "ready"
    """No round is open."""
    EXPANDING = "expanding"
    """The outcomes of a round's expansions are awaited."""
    SCORING = "scoring"
    """The scores of an asynchronous scorer are awaited."""
    EVALUATING = "evaluating"
    """The outcomes of requests about candidates (a judge's, rollouts) are awaited."""
    FINISHED = "finished"
    """The search has ended by itself; a round that its budget cut short stays open."""
    FAILED = "failed"
    """The search cannot go on; the round in which it failed stays open."""


TRANSITIONS: dict[Phase, frozenset[Phase]] = {
    Phase.READY: frozenset({Phase.EXPANDING, Phase.FINISHED, Phase.FAILED}),
    Phase.EXPANDING: frozenset(
        {Phase.SCORING, Phase.EVALUATING, Phase.READY, Phase.FINISHED, Phase.FAILED}
    ),
    Phase.SCORING: frozenset({Phase.EVALUATING, Phase.READY, Phase.FINISHED, Phase.FAILED}),
    Phase.EVALUATING: frozenset({Phase.EVALUATING, Phase.READY, Phase.FINISHED, Phase.FAILED}),
    Phase.FINISHED: frozenset(),
    Phase.FAILED: frozenset(),
}
