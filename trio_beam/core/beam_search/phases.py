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


def diagram() -> str:
    """Return the transitions as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {Phase.READY.value}"]
    for phase, following in TRANSITIONS.items():
        lines += [f"    {phase.value} --> {other.value}" for other in Phase if other in following]
        if not following:
            lines.append(f"    {phase.value} --> [*]")
    return "\n".join(lines)
