"""The problem sets, loaded: from packages, from local files of the hub's shape, from the hub."""

from __future__ import annotations

import csv
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.registry import NAMES, open_benchmark
from trio_beam.benchmark.sets.reasoning import ReasoningGym
from trio_beam.errors import ConfigError

GSM8K = [
    {"question": "2 and 2 apples?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"},
    {"question": "How much money?", "answer": "Much.\n#### 1,234"},
]
MATH500 = [
    {
        "problem": "Solve $x^2 = 2$.",
        "solution": "...",
        "answer": "\\sqrt{2}",
        "subject": "Algebra",
        "level": 3,
        "unique_id": "test/algebra/1.json",
    }
]
MMLU = [
    {"question": f"{subject} {n}?", "subject": subject, "choices": list("wxyz"), "answer": n}
    for subject in ("anatomy", "botany")
    for n in range(2)
]
GPQA = [
    {
        "Record ID": f"rec{n}",
        "Question": "What spins?",
        "Correct Answer": "the top\n",
        "Incorrect Answer 1": "the wall",
        "Incorrect Answer 2": "the floor",
        "Incorrect Answer 3": "the roof",
        "Subdomain": "Physics",
    }
    for n in range(20)
]
Rows = Sequence[dict[str, Any]]


def jsonl(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def zipped(path: Path, rows: Rows) -> None:
    jsonl(path, rows)
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def parquet(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), path)


def comma_separated(path: Path, rows: Rows) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


SHAPES: list[tuple[str, Callable[[Path, Rows], None], str, Rows]] = [
    ("gsm8k", parquet, "gsm8k/main/test-00000-of-00001.parquet", GSM8K),
    ("gsm8k", jsonl, "gsm8k/test.jsonl", GSM8K),
    ("gsm8k", jsonl, "gsm8k.jsonl", GSM8K),
    ("gsm8k", zipped, "gsm8k.jsonl", GSM8K),
    ("math500", jsonl, "math500/test.jsonl", MATH500),
    ("math500", jsonl, "test.jsonl", MATH500),
    ("mmlu", parquet, "mmlu/all/test-00000-of-00001.parquet", MMLU),
    ("mmlu", comma_separated, "mmlu/test.csv", MMLU),
    ("gpqa", comma_separated, "gpqa/gpqa_diamond.csv", GPQA),
    ("gpqa", comma_separated, "gpqa_diamond.csv", GPQA),
]


@pytest.mark.parametrize(
    ("name", "write", "file", "rows"), SHAPES, ids=[shape[2] for shape in SHAPES]
)
def test_local_files_of_the_shape_of_the_hub(
    name: str, write: Callable[[Path, Rows], None], file: str, rows: Rows, tmp_path: Path
) -> None:
    write(tmp_path / file, rows)
    benchmark = open_benchmark(name, data_dir=tmp_path)
    problems = benchmark.load(None, 0)
    assert len(problems) == len(rows) == len({problem.id for problem in problems})
    assert all(problem.prompt for problem in problems)
    json.dumps([problem.reference for problem in problems])
    json.dumps([dict(problem.meta) for problem in problems])
    assert [one.id for one in benchmark.load(1, 0)] == [problems[0].id]
    assert benchmark.instruction
    assert benchmark.can_grade


def test_the_reference_of_gsm8k_is_behind_its_mark(tmp_path: Path) -> None:
    jsonl(tmp_path / "gsm8k.jsonl", GSM8K)
    problems = open_benchmark("gsm8k", data_dir=tmp_path).load(None, 0)
    assert [problem.reference for problem in problems] == [{"answer": "4"}, {"answer": "1234"}]


def test_of_a_copy_of_the_repository_the_right_part_is_read(tmp_path: Path) -> None:
    parquet(tmp_path / "gsm8k" / "main" / "test-00000-of-00001.parquet", GSM8K)
    parquet(tmp_path / "gsm8k" / "main" / "train-00000-of-00001.parquet", GSM8K * 3)
    parquet(tmp_path / "gsm8k" / "socratic" / "test-00000-of-00001.parquet", GSM8K[1:])
    assert len(open_benchmark("gsm8k", data_dir=tmp_path).load(None, 0)) == 2


def test_shards_are_read_in_order_and_two_formats_once(tmp_path: Path) -> None:
    parquet(tmp_path / "gsm8k" / "test-00001-of-00002.parquet", GSM8K[1:])
    parquet(tmp_path / "gsm8k" / "test-00000-of-00002.parquet", GSM8K[:1])
    jsonl(tmp_path / "gsm8k" / "test.jsonl", GSM8K)
    problems = open_benchmark("gsm8k", data_dir=tmp_path).load(None, 0)
    assert [problem.prompt for problem in problems] == [row["question"] for row in GSM8K]


def test_a_few_of_mmlu_are_not_of_one_subject(tmp_path: Path) -> None:
    jsonl(tmp_path / "mmlu.jsonl", MMLU)
    problems = open_benchmark("mmlu", data_dir=tmp_path).load(3, 0)
    assert [one.id for one in problems] == ["mmlu/anatomy/0", "mmlu/botany/0", "mmlu/anatomy/1"]
    assert problems[2].reference["answer"] == "B"
    assert problems[0].prompt == "anatomy 0?\n\nA) w\nB) x\nC) y\nD) z"


def test_the_choices_of_gpqa_stand_in_an_order_of_their_own(tmp_path: Path) -> None:
    comma_separated(tmp_path / "gpqa_diamond.csv", GPQA)
    problems = open_benchmark("gpqa", data_dir=tmp_path).load(None, 0)
    assert {problem.reference["answer"] for problem in problems} == set("ABCD")
    for problem in problems:
        assert f"{problem.reference['answer']}) the top\n" in f"{problem.prompt}\n"
    assert problems == open_benchmark("gpqa", data_dir=tmp_path).load(None, 9)


@pytest.mark.parametrize(
    ("name", "file", "rows", "words"),
    [
        ("gsm8k", "train.jsonl", GSM8K, ["no file", "test*.parquet", "openai/gsm8k"]),
        ("gsm8k", "gsm8k.jsonl", [{"question": "?"}], ["no column 'answer'", "question"]),
        ("gsm8k", "gsm8k.jsonl", [], ["no rows"]),
        ("gsm8k", "gsm8k.jsonl", [{"question": "?", "answer": "4"}], ["row 0", "####"]),
        ("mmlu", "mmlu.jsonl", [MMLU[0] | {"choices": ["a"]}], ["question 0 of anatomy"]),
        ("mmlu", "mmlu.jsonl", [MMLU[0] | {"answer": 7}], ["question 0 of anatomy"]),
        ("mmlu", "mmlu.jsonl", [MMLU[0] | {"answer": "right"}], ["question 0 of anatomy"]),
        ("mmlu", "mmlu.jsonl", [MMLU[0] | {"choices": "['a' 'b'"}], ["question 0 of anatomy"]),
    ],
)
def test_files_that_will_not_do(
    name: str, file: str, rows: Rows, words: list[str], tmp_path: Path
) -> None:
    jsonl(tmp_path / file, rows)
    with pytest.raises(BenchmarkError) as caught:
        open_benchmark(name, data_dir=tmp_path).load(None, 0)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"benchmark\.data_dir: there is no folder"):
        open_benchmark("gsm8k", data_dir=tmp_path / "none").load(None, 0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("gsm8k.parquet", b"PAR1 not at all", "is not what its name says"),
        ("gsm8k.jsonl", b"{\n", "line 1: not JSON"),
        ("gsm8k.jsonl", b"[1]\n", "line 1: not an object"),
        ("gsm8k.jsonl", b"\xff\xfe\n", "cannot be read"),
        ("gsm8k.jsonl.gz", b"not zipped", "cannot be read"),
    ],
)
def test_files_that_are_broken(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BenchmarkError, match=words):
        open_benchmark("gsm8k", data_dir=tmp_path).load(None, 0)


FROM_THE_HUB = """
import attrs
from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.sets import choice, maths

print(len(attrs.evolve(maths._GSM8K, repository="repository").rows(None)))
for source in (maths._GSM8K, choice._GPQA):
    try:
        source.rows(None)
    except BenchmarkError as error:
        print(error)
"""


def test_the_loader_of_the_hub(tmp_path: Path) -> None:
    """On a local copy of a repository; and what is said when the hub is out of reach.

    In a process of its own: the package reads the environment when it is imported.
    """
    parquet(tmp_path / "repository" / "main" / "test-00000-of-00001.parquet", GSM8K)
    described = (
        "---\nconfigs:\n- config_name: main\n  data_files:\n"
        "  - split: test\n    path: main/test-*\n---\n"
    )
    (tmp_path / "repository" / "README.md").write_text(described)
    done = subprocess.run(
        [sys.executable, "-c", FROM_THE_HUB],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        cwd=tmp_path,
        env=os.environ | {"HF_HOME": str(tmp_path / "cache"), "HF_HUB_OFFLINE": "1"},
    )
    count, gsm8k, gpqa = done.stdout.splitlines()
    assert count == "2"
    for line, name in ((gsm8k, "gsm8k"), (gpqa, "gpqa")):
        assert line.startswith(f"{name}: ")
        assert "could not be loaded from the hub" in line
        assert "benchmark.data_dir=DIR" in line
    assert "accept its terms" in gpqa


def test_humaneval_is_in_its_package() -> None:
    benchmark = open_benchmark("humaneval")
    problems = benchmark.load(None, 0)
    assert [problem.id for problem in problems] == [f"HumanEval/{n}" for n in range(164)]
    assert problems[0].prompt.startswith("from typing import List\n\n\ndef has_close_elements(")
    assert "canonical_solution" not in json.dumps(problems[0].reference)
    assert list(benchmark.load(3, 5)) == list(problems)[:3]
    assert not benchmark.can_grade


def test_reasoning_gym_is_generated_from_a_seed() -> None:
    benchmark = open_benchmark("reasoning_gym:chain_sum")
    problems = benchmark.load(4, 7)
    assert [one.id for one in problems] == [f"reasoning_gym:chain_sum/7/{n}" for n in range(4)]
    assert list(benchmark.load(2, 7)) == list(problems)[:2]
    assert benchmark.load(1, 8)[0].prompt != problems[0].prompt


def test_a_task_that_reasoning_gym_has_not() -> None:
    with pytest.raises(BenchmarkError, match=r"no task 'chain_sums'; did you mean chain_sum\?"):
        open_benchmark("reasoning_gym:chain_sums").load(1, 0)


def test_a_task_that_gives_no_problems() -> None:
    with pytest.raises(BenchmarkError, match="composite: the task gives no problems"):
        ReasoningGym(name="reasoning_gym:composite", task="composite").load(1, 0)


def test_a_task_whose_verifier_takes_everything() -> None:
    with pytest.raises(BenchmarkError, match="measures nothing: its verifier takes every answer"):
        open_benchmark("reasoning_gym:game_of_life_halting").load(1, 0)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("human_eval", "humaneval"),
        ("gsm8", "gsm8k"),
        ("math500s", "math500"),
        ("reasoning_gym", "reasoning_gym:TASK"),
        ("jsonl", "jsonl:PATH"),
        ("swebench", None),
        ("", None),
        ("jsonl:", None),
        ("mmlu:stem", None),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name: str, meant: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        open_benchmark(name)
    assert caught.value.field == "benchmark.name"
    assert all(known in str(caught.value) for known in NAMES)
    assert (f"did you mean {meant}?" in str(caught.value)) == (meant is not None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("swebench", "graded by its own harness"),
        ("swebench-verified", "graded by its own harness"),
        ("arcagi2", "reasoning_gym:arc_agi"),
        ("arcagi2-train", "reasoning_gym:arc_agi"),
    ],
)
def test_benchmarks_of_the_original_that_there_are_not_are_refused_with_the_reason(
    name: str, reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason):
        open_benchmark(name)


def test_math_is_an_alias() -> None:
    assert open_benchmark("math").name == "math500"


def test_the_training_set_of_gsm8k_is_another_file(tmp_path: Path) -> None:
    parquet(tmp_path / "gsm8k" / "main" / "test-00000-of-00001.parquet", GSM8K)
    parquet(tmp_path / "gsm8k" / "main" / "train-00000-of-00001.parquet", GSM8K[1:])
    benchmark = open_benchmark("gsm8k-train", data_dir=tmp_path)
    assert [problem.id for problem in benchmark.load(None, 0)] == ["gsm8k-train/0"]
    assert [problem.id for problem in open_benchmark("gsm8k", data_dir=tmp_path).load(1, 0)] == [
        "gsm8k/0"
    ]
    jsonl(tmp_path / "gsm8k-train.jsonl", GSM8K * 2)
    assert len(benchmark.load(None, 0)) == 4


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("mmlu-stem", "astronomy"),
        ("mmlu-humanities", "philosophy"),
        ("mmlu-social", "sociology"),
    ],
)
def test_parts_of_mmlu_have_their_subjects(name: str, subject: str, tmp_path: Path) -> None:
    subjects = ["astronomy", "philosophy", "sociology", "nutrition"]
    jsonl(tmp_path / "mmlu.jsonl", [MMLU[0] | {"subject": one} for one in subjects])
    problems = open_benchmark(name, data_dir=tmp_path).load(None, 0)
    assert [problem.id for problem in problems] == [f"mmlu/{subject}/0"]
    jsonl(tmp_path / "mmlu.jsonl", [MMLU[0] | {"subject": "nutrition"}])
    with pytest.raises(BenchmarkError, match="no question of its subjects"):
        open_benchmark(name, data_dir=tmp_path).load(None, 0)


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    extras = {"humaneval": "bench", "gsm8k": "bench", "reasoning_gym:chain_sum": "reasoning"}
    for name, extra in extras.items():
        with pytest.raises(BenchmarkError, match=f'install the extra "{extra}"'):
            open_benchmark(name).load(1, 0)


def test_nothing_heavy_is_imported_to_open_a_benchmark() -> None:
    code = (
        "import sys\nfrom trio_beam.benchmark.registry import open_benchmark\n"
        "for name in ('humaneval', 'gsm8k', 'mmlu', 'reasoning_gym:x', 'jsonl:x'):\n"
        "    open_benchmark(name)\n"
        "heavy = {'datasets', 'pyarrow', 'sympy', 'math_verify', 'reasoning_gym', 'human_eval', 'numpy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
