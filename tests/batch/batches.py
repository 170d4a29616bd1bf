"""Runs of a batch over a model without a server, for the tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from trio_beam.batch.folder import ANSWERS, FAILURES, WORK, Answer, Folder
from trio_beam.batch.prompts import PromptRecord
from trio_beam.batch.run import Plan, run_batch
from trio_beam.batch.work import WorkList
from trio_beam.core.language_model import LanguageModel
from trio_beam.records import from_line

VALUES: dict[str, Any] = {"max_tokens": 6, "tokens_per_step": 3, "seed": 5}


def prompts(count: int) -> list[PromptRecord]:
    return [PromptRecord(id=f"p{number}", prompt=f"prompt {number}") for number in range(count)]


@attrs.define
class Notes:
    """Keeps what a run says, and may do something at each outcome."""

    answers: list[Answer] = attrs.field(factory=list)
    tokens: int = 0
    pauses: list[float] = attrs.field(factory=list)
    then: Callable[[Answer], object] = lambda _: None

    def generated(self, tokens: int) -> None:
        self.tokens += tokens

    def paused(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def finished(self, answer: Answer) -> None:
        self.answers.append(answer)
        self.then(answer)


@contextmanager
def opened(
    path: Path, records: Iterable[PromptRecord], *, shuffle_seed: int | None = None, **options: Any
) -> Iterator[tuple[WorkList, Folder, list[str]]]:
    """The folder of a run, with the prompts that need a search; and what does not fit them."""
    path.mkdir(exist_ok=True)
    unfit: list[str] = []

    def note(answer: Answer) -> None:
        verdict = todo.note_done(answer.id, answer.digest)
        if verdict != "done":
            unfit.append(f"{answer.id} {verdict}")

    with WorkList(path / WORK) as todo:
        for _ in todo.fill(records, shuffle_seed):
            pass
        with Folder(path, {"seed": 5}, note, **options) as folder:
            yield todo, folder, unfit


async def run(
    path: Path,
    records: Iterable[PromptRecord],
    model: LanguageModel,
    *,
    limit: int | None = None,
    notes: Notes | None = None,
    retry_failed: bool = False,
    shuffle_seed: int | None = None,
    **plan: Any,
) -> Notes:
    """Run a batch to its end."""
    notes = notes or Notes()
    made = Plan(**{"strategy": "beam_search", "values": VALUES} | plan)
    options: dict[str, Any] = {"retry_failed": retry_failed, "shuffle_seed": shuffle_seed}
    with opened(path, records, **options) as (todo, folder, _):
        await run_batch(model, itertools.islice(todo.pending(), limit), made, folder, notes)
    return notes


def read(path: Path, name: str = ANSWERS) -> list[Answer]:
    """The records in a folder, in order; none is torn."""
    if not (path / name).exists():
        return []
    found = [from_line(line, Answer) for line in (path / name).read_bytes().splitlines()]
    assert None not in found
    return [one for one in found if one is not None]


def failures(path: Path) -> list[Answer]:
    return read(path, FAILURES)
