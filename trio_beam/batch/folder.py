"""The folder of a run: its answers, its failures, and what both depend on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from trio_beam.errors import TrioBeamError
from trio_beam.records import RecordLog, RecordsUnusable, SearchRecord

#: In the folder: answers, prompts without one, what they depend on, what else was paid for, what is left.
ANSWERS, FAILURES, RUN = "results.jsonl", "failures.jsonl", "run.json"
EXPENSES = "expenses.jsonl"
#: Temporary, with all files of the same stem: a name that nobody has given to a file of theirs.
WORK = "trio-beam-work.sqlite"
#: In `RUN`, beside what the caller gives: the name of the model, where the server has told it.
_SERVED = "served_model"


class Answer(SearchRecord, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """The outcome for a prompt: a line of ``results.jsonl``, or of ``failures.jsonl`` with an `error`.

    Attributes:
        id: of the prompt.
        text: the answer, without thinking.
        digest: of the prompt and its own parameters.
        reasoning: the model's thinking, where it is known.
        tool_calls: the tools that the model calls, as in a chat message.
        step_scores: of a reward model, one per block.
        score: of the search, in nats for ``"power"``; None if it has none.
        finish_reason: the answer's.
        beams: all beams with their scores, if they were asked for.
    """

    id: str
    text: str
    digest: str
    reasoning: str = ""
    tool_calls: list[dict[str, Any]] = msgspec.field(default_factory=list)
    step_scores: list[float] = msgspec.field(default_factory=list)
    score: float | None = None
    finish_reason: str = ""
    beams: list[dict[str, Any]] = msgspec.field(default_factory=list)
    error: str = ""


class Expense(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The cost of a search that has no record: it was cut short, or its failure is forgotten.

    Attributes:
        id: of the prompt.
        cost: in US dollars.
    """

    id: str
    cost: float


class RunChanged(TrioBeamError):
    """The folder has the answers of another run; names what differs."""


class Folder:
    """A run's folder, as a context manager that holds its lock.

    Args:
        path: of the folder; it is made.
        identity: what the answers depend on besides the prompts, JSON-compatible, by name.
        on_record: called with each answer and failure that is there.
        on_expense: called with each expense that is there.
        allow_changes: whether to go on although something differs.
        retry_failed: whether to forget the failures.
    """

    def __init__(
        self,
        path: Path,
        identity: Mapping[str, Any],
        on_record: Callable[[Answer], object],
        on_expense: Callable[[Expense], object] = lambda _: None,
        *,
        allow_changes: bool = False,
        retry_failed: bool = False,
    ) -> None:
        self.path = path
        self._identity = dict(identity)
        self._on_record = on_record
        self._on_expense = on_expense
        self._allow_changes = allow_changes
        self._retry_failed = retry_failed
        self._served: str | None = None
        self._stack = contextlib.ExitStack()
        self._answers: RecordLog[Answer] | None = None
        self._failures: RecordLog[Answer] | None = None
        self._expenses: RecordLog[Expense] | None = None

    def __enter__(self) -> Self:
        """Lock the folder and read what is there.

        Raises:
            RunChanged: it has the answers of another run.
            RecordsUnusable: it cannot be made, read or written, or another run uses it.
        """
        with contextlib.ExitStack() as stack:
            # Before anything is locked or made: a folder of something else is left as it is.
            before = self._read_identity()
            if before is None and (there := self._foreign()) and not self._allow_changes:
                raise RunChanged(
                    f"{there} is not of a run: there is no {RUN} beside it. Name another folder, or add"
                    " --allow-changes to go on here"
                )
            if before is not None:
                self._served = before.pop(_SERVED, None)
                self._refuse(_differences(before, self._identity))
            self._answers = stack.enter_context(
                RecordLog(self.path / ANSWERS, Answer, self._on_record)
            )
            expenses = RecordLog(self.path / EXPENSES, Expense, self._on_expense)
            self._expenses = stack.enter_context(expenses)
            if self._retry_failed:
                self._forget_failures()
            failures = RecordLog(self.path / FAILURES, Answer, self._on_record)
            self._failures = stack.enter_context(failures)
            self._write_identity()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait until the disk has everything, and free the folder."""
        self._stack.__exit__(exc_type, exc, traceback)

    def use_model(self, name: str) -> None:
        """Note the model that is searched, which the server has named.

        Raises:
            RunChanged: the answers are of another one.
            RecordsUnusable: the disk is full or gone.
        """
        if self._served is not None:
            self._refuse(_differences({_SERVED: self._served}, {_SERVED: name}))
        if name != self._served:
            self._served = name
            self._write_identity()

    def keep(self, answer: Answer) -> None:
        """Write an outcome; the disk has it after the next `sync`, and readers at once.

        Raises:
            RecordsUnusable: the disk is full or gone.
        """
        log = self._failures if answer.error else self._answers
        assert log is not None
        log.write(answer, sync=False)

    def keep_cost(self, id: str, cost: float | None) -> None:  # noqa: A002  # a record's word
        """Write what a search without a record has cost; None if that is not known.

        Raises:
            RecordsUnusable: the disk is full or gone.
        """
        assert self._expenses is not None
        if cost:
            self._expenses.write(Expense(id=id, cost=cost), sync=False)

    def sync(self) -> None:
        """Wait until the disk has everything.

        Raises:
            RecordsUnusable: the disk is full or gone.
        """
        for log in (self._answers, self._failures, self._expenses):
            assert log is not None
            log.sync()

    def _forget_failures(self) -> None:
        """Remove the failures; what they have cost stays spent."""
        assert self._expenses is not None

        def forget(failure: Answer) -> None:
            self.keep_cost(failure.id, failure.cost)
            self._on_expense(Expense(id=failure.id, cost=failure.cost or 0.0))

        with RecordLog(self.path / FAILURES, Answer, forget) as failures:
            self._expenses.sync()  # before they are gone
            failures.clear()

    def _read_identity(self) -> dict[str, Any] | None:
        try:
            found = msgspec.json.decode((self.path / RUN).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise RecordsUnusable(f"{self.path / RUN} cannot be read: {error}") from None
        if not isinstance(found, dict):
            raise RecordsUnusable(f"{self.path / RUN} is not of a run")
        return found

    def _foreign(self) -> Path | None:
        """Return a file that is where records will be, and has something."""
        paths = (self.path / ANSWERS, self.path / FAILURES, self.path / EXPENSES)
        return next((one for one in paths if one.is_file() and one.stat().st_size), None)

    def _refuse(self, changes: list[str]) -> None:
        if changes and not self._allow_changes:
            raise RunChanged(
                f"{self.path} has answers of another run; what differs: {'; '.join(changes)}."
                " Name another folder, or add --allow-changes to go on here"
            )

    def _write_identity(self) -> None:
        new = self.path / f"{RUN}.new"
        served = {} if self._served is None else {_SERVED: self._served}
        text = msgspec.json.format(msgspec.json.encode(self._identity | served), indent=2)
        try:
            new.write_bytes(text + b"\n")
            new.replace(self.path / RUN)
        except OSError as error:
            words = f"{self.path} cannot be used for records: {error.strerror}"
            raise RecordsUnusable(words) from None


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> list[str]:
    """Say which values differ, by name."""
    found = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        full = f"{within}{name}"
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{full}.")
        elif old != new:
            found.append(f"{full} was {_shown(old)} and is {_shown(new)}")
    return found


def _shown(value: Any) -> str:
    return "not given" if value is None else f"{value!r:.80}"
