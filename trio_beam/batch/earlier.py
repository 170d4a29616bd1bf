"""What the earlier runs in a folder have done and cost."""

from __future__ import annotations

from pathlib import Path

import attrs

from trio_beam.batch.folder import Answer, Expense, RunChanged
from trio_beam.batch.work import WorkList
from trio_beam.core.price import add_dollars, dollars
from trio_beam.records.run_stopped import RunStopped

#: Changed prompts that a message names.
_NAMED = 3


@attrs.define
class EarlierRuns:
    """Counts the outcomes of earlier runs as they are read.

    Attributes:
        answered, failed: number of outcomes.
        done: number of those whose prompts are unchanged.
    """

    answered: int = 0
    failed: int = 0
    done: int = 0
    _spent: float = 0.0
    _changed: int = 0
    _changed_failures: int = 0
    _named: list[str] = attrs.field(factory=list)

    def note(self, answer: Answer, todo: WorkList) -> None:
        """Count an outcome, and take its prompt off the list."""
        verdict = todo.note_done(answer.id, answer.digest)
        self._spent = add_dollars(self._spent, answer.cost or 0.0)
        if answer.error:
            self.failed += 1
        else:
            self.answered += 1
        if verdict == "done":
            self.done += 1
            return
        self._changed += 1
        self._changed_failures += bool(answer.error)
        if len(self._named) < _NAMED:
            gone = verdict == "gone"
            word = "is not in the file any more" if gone else "has another prompt now"
            self._named.append(f"{answer.id!r} {word}")

    def note_expense(self, expense: Expense) -> None:
        """Count what a search without an outcome has cost."""
        self._spent = add_dollars(self._spent, expense.cost)

    def check(self, prompts: Path, out: Path) -> None:
        """Raise `RunChanged` if prompts with an outcome have changed.

        Args:
            prompts: their file.
            out: folder of the run.
        """
        if not self._changed:
            return
        more = self._changed - len(self._named)
        named = "; ".join(self._named) + (f", and {more:,} more" if more else "")
        advice = "Name another folder, or add --allow-changes to keep these answers and go on"
        if self._changed_failures == self._changed:
            advice = (
                "What has changed had failed: add --retry-failed to search for it as it is now, or"
                " --allow-changes to leave it as it was"
            )
        raise RunChanged(f"{prompts} has changed since {out} was begun: {named}. {advice}")

    def money_left(self, limit: float | None) -> dict[str, float]:
        """Return what the rest of a run may cost, as a server's argument; none without a limit.

        Args:
            limit: US dollars for all runs in the folder; None: unlimited.

        Raises:
            RunStopped: nothing is left.
        """
        if limit is None:
            return {}
        if self._spent >= limit:
            spent = dollars(self._spent)
            raise RunStopped(f"the run has cost {spent} already, as much as --max-run-cost allows")
        return {"max_cost": add_dollars(limit, -self._spent)}
