"""Grades of completions by each problem set: real packages, in the real sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.benchmark.test_problems import GPQA, GSM8K, MATH500, MMLU, comma_separated, jsonl
from trio_beam.benchmark.common.problem import Benchmark, BenchmarkError, Grade, Problem
from trio_beam.benchmark.registry import open_benchmark
from trio_beam.benchmark.sandbox import Limits, Sandbox, Verifier, bubblewrap
from trio_beam.benchmark.sandbox.bubblewrap import find_bubblewrap
from trio_beam.benchmark.sets.humaneval import HumanEval
from trio_beam.benchmark.sets.maths import MathGrader


@asynccontextmanager
async def opened(name: str, data_dir: Path | None = None) -> AsyncIterator[Benchmark]:
    benchmark = open_benchmark(name, allow_code_execution=True, data_dir=data_dir)
    try:
        with trio.fail_after(200):  # noqa: ASYNC100  # the block of the test has them
            yield benchmark
    finally:
        await benchmark.aclose()


async def grades(benchmark: Benchmark, problem: Problem, texts: Sequence[str]) -> list[Grade]:
    return [await benchmark.grade(problem, text) for text in texts]


async def test_humaneval_runs_the_tests_of_the_problem() -> None:
    async with opened("humaneval") as benchmark:
        problem = benchmark.load(1, 0)[0]
        body = (
            "    for i, a in enumerate(numbers):\n        for b in numbers[i + 1:]:\n"
            "            if abs(a - b) < threshold:\n                return True\n    return False\n"
        )
        right, in_a_block, cheat, wrong, broken, words, nothing, exits = await grades(
            benchmark,
            problem,
            [
                body,
                f"```python\n{problem.prompt}{body}```",
                "    raise SystemExit(0)\n",
                "    return False\n",
                "    return (\n",
                "I cannot do that.",
                " ",
                "    import os\n    os._exit(0)\n",
            ],
        )
    assert right.passed
    assert right.score == 1.0
    assert right.detail == ""
    assert right.answer == body
    assert in_a_block.passed
    assert wrong == Grade(
        passed=False, score=0.0, answer="    return False\n", detail="AssertionError"
    )
    assert cheat.detail.startswith("SystemExit")
    assert broken.detail.startswith("SyntaxError")
    assert words.detail.startswith("SyntaxError")
    assert nothing == Grade(passed=False, score=0.0, answer=None, detail="no code found")
    assert not exits.passed
    assert exits.detail


async def test_humaneval_is_not_run_without_permission() -> None:
    benchmark = open_benchmark("humaneval")
    problem = benchmark.load(1, 0)[0]
    with pytest.raises(BenchmarkError, match=r"benchmark\.allow_code_execution=true"):
        await benchmark.grade(problem, "    return True\n")
    await benchmark.aclose()


HOSTILE = {
    "loops": "    while True: pass\n",
    "forks": "    import os\n    while True: os.fork()\n",
    "eats memory": "    return bytearray(1 << 40)\n",
    "deletes": "    import shutil\n    shutil.rmtree(VICTIM)\n",
    "deletes all": "    import shutil\n    shutil.rmtree('/', ignore_errors=True)\n",
    "writes": "    open(VICTIM + '/kept', 'w').write('gone')\n",
    "kills": "    import os\n    os.kill(-1, 9)\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
async def test_a_problem_whose_code_means_harm_does_none(kind: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    benchmark = HumanEval(can_grade=True)
    object.__setattr__(benchmark, "_sandbox", Sandbox(limits=Limits(seconds=2.0)))
    problem = benchmark.load(1, 0)[0]
    with trio.fail_after(100):
        grade = await benchmark.grade(problem, HOSTILE[kind].replace("VICTIM", repr(str(tmp_path))))
        assert not grade.passed
        assert grade.detail
        assert kept.read_text() == "kept"
        # And the next one is graded as ever.
        assert (await benchmark.grade(problem, "    return False\n")).detail == "AssertionError"
        await benchmark.aclose()


async def test_gsm8k_compares_numbers(tmp_path: Path) -> None:
    jsonl(tmp_path / "gsm8k.jsonl", GSM8K)
    async with opened("gsm8k", tmp_path) as benchmark:
        problem = benchmark.load(None, 0)[1]
        passing = ["#### 1234", "so it is $1,234.00.", "The answer is 1234 dollars, not 7."]
        assert all(grade.passed for grade in await grades(benchmark, problem, passing))
        failing = await grades(benchmark, problem, ["#### 1235", "many", ""])
    assert [grade.answer for grade in failing] == ["1235", None, None]
    details = [grade.detail for grade in failing]
    assert details == ["wrong answer", "no answer found", "no answer found"]
    assert benchmark.answer_of("It is 1,234.") == benchmark.answer_of("#### 1234.0") == "1234"


async def test_math500_asks_math_verify(tmp_path: Path) -> None:
    jsonl(tmp_path / "math500.jsonl", MATH500)
    async with opened("math500", tmp_path) as benchmark:
        problem = benchmark.load(None, 0)[0]
        passing = [r"\boxed{\sqrt{2}}", r"so $x = \boxed{\frac{2}{\sqrt{2}}}$", r"\boxed{2^{1/2}}"]
        assert all(grade.passed for grade in await grades(benchmark, problem, passing))
        failing = await grades(benchmark, problem, [r"\boxed{\sqrt{3}}", "1.41", "", "("])
    assert not any(grade.passed for grade in failing)
    assert benchmark.answer_of(r"\boxed{\dfrac{1}{2}}") == benchmark.answer_of(
        r"The answer is $\frac{1}{2}$."
    )


async def test_an_answer_that_keeps_math_verify_busy_is_ended() -> None:
    grader = MathGrader()
    grader._verifier = Verifier("math_verify", Limits(seconds=1.0))
    with trio.fail_after(100):
        grade = await grader.grade("2^{2^{2^{2^{2^{2}}}}}", "4")
        assert not grade.passed
        assert grade.detail == "not understood: timed out after 1 s"
        assert (await grader.grade(r"\sqrt{8}", r"2\sqrt{2}")).passed
        await grader.aclose()


@pytest.mark.parametrize(("name", "rows"), [("mmlu", MMLU), ("gpqa", GPQA)])
async def test_choices_are_compared_by_letter(
    name: str, rows: Sequence[dict[str, Any]], tmp_path: Path
) -> None:
    comma_separated(tmp_path / f"{name}.csv", rows)
    async with opened(name, tmp_path) as benchmark:
        problem = benchmark.load(1, 0)[0]
        letter = problem.reference["answer"]
        other = "A" if letter != "A" else "B"
        right, wrong, none = await grades(
            benchmark, problem, [f"Answer: {letter}", f"Answer: {other}", "I do not know"]
        )
    assert right == Grade(passed=True, score=1.0, answer=letter)
    assert wrong.detail == f"wrong answer: {other}"
    assert none == Grade(passed=False, score=0.0, answer=None, detail="no letter found")


@pytest.mark.parametrize("score", [1.5, -1, 2, float("nan"), float("inf"), True, "1", None, [1.0]])
async def test_what_is_no_score_from_0_to_1_does_not_pass(
    score: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(self: Verifier, job: str, **arguments: Any) -> object:
        return score

    monkeypatch.setattr(Verifier, "run", run)
    # Not loaded, which takes seconds: no verifier is asked about it.
    place = {"task": "chain_sum", "seed": 0, "size": 500, "index": 0}
    async with opened("reasoning_gym:chain_sum") as benchmark:
        grade = await benchmark.grade(
            Problem(id="0", prompt="?", reference=place), "<answer>1</answer>"
        )
    detail = "the verifier's score is not a number from 0 to 1"
    assert grade == Grade(passed=False, score=0.0, answer="1", detail=detail)


async def test_what_needs_no_sandbox_is_graded_without_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    find_bubblewrap.cache_clear()
    monkeypatch.setattr(bubblewrap, "_candidates", list)
    jsonl(tmp_path / "own.jsonl", [{"prompt": "?", "answer": "x"}, {"prompt": "?", "answer": 1}])
    for name in ("mmlu", "gpqa", f"jsonl:{tmp_path / 'own.jsonl'}"):
        await open_benchmark(name).check_grading()
    await open_benchmark("humaneval", allow_code_execution=False).check_grading()
    with pytest.raises(BenchmarkError, match="bubblewrap is not installed"):
        await open_benchmark("humaneval", allow_code_execution=True).check_grading()


async def test_reasoning_gym_is_judged_by_its_verifier() -> None:
    async with opened("reasoning_gym:countdown") as benchmark:
        problem = (await trio.to_thread.run_sync(benchmark.load, 2, 7))[1]
        # What is made of the reference after a trip through a file is the same problem.
        problem = Problem(
            id=problem.id,
            prompt=problem.prompt,
            reference=json.loads(json.dumps(problem.reference)),
        )
        terms = problem.reference["answer"]
        right, another, wrong, attack, none = await grades(
            benchmark,
            problem,
            [
                f"Let me see. <answer>{terms}</answer>",
                f"<answer>({terms})</answer>",
                "<answer>1 + 1</answer>",
                "<answer>__import__('os')._exit(0)</answer>",
                "",
            ],
        )
    assert right == Grade(passed=True, score=1.0, answer=terms)
    assert another.passed  # which no comparison of texts would see
    assert not wrong.passed
    assert 0 <= wrong.score < 1
    assert not attack.passed
    assert none.detail == "no answer found"


async def test_sums_are_graded_by_their_number() -> None:
    async with opened("sums") as benchmark:
        problems = benchmark.load(None, 7)
        assert len({problem.id for problem in problems}) == len(problems) == 171
        assert problems[:5] == benchmark.load(5, 7) != benchmark.load(5, 8)
        first, second = map(int, problems[0].id.split("+"))
        texts = [
            f"{first} + {second} = {first + second}",
            f"It is {first + second + 1}.",
            "many",
            "",
        ]
        right, wrong, none, empty = await grades(benchmark, problems[0], texts)
    assert right == Grade(passed=True, score=1.0, answer=str(first + second))
    assert wrong.detail == "wrong answer"
    assert none.detail == empty.detail == "no answer found"


JSONL: list[dict[str, Any]] = [
    {"id": "sum", "prompt": "2 + 3?", "answer": 5},
    {"prompt": "Solve.", "answer": "\\sqrt{2}", "grading": "math", "level": 3},
    {"prompt": "Which is even?", "choices": [3, 4], "answer": "b"},
    {"prompt": "The capital of France?", "answer": ["Paris", "City of Paris"]},
]


async def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    jsonl(path, JSONL)
    async with opened(f"jsonl:{path}") as benchmark:
        problems = benchmark.load(None, 0)
        assert [problem.id for problem in problems] == ["sum", "2", "3", "4"]
        assert problems[1].meta == {"level": 3}
        assert problems[2].prompt == "Which is even?\n\nA) 3\nB) 4"
        number, maths, choice, exact = problems
        texts = {
            number.id: (["Answer: 5.0"], ["Answer: 6", "five"]),
            maths.id: ([r"Answer: \frac{2}{\sqrt{2}}"], ["Answer: 2"]),
            choice.id: (["Answer: B"], ["Answer: A", "Answer: C"]),
            exact.id: (["Answer: **paris**.", "It is\nthe answer: City  of Paris"], ["Lyon", ""]),
        }
        for problem in problems:
            right, wrong = texts[problem.id]
            assert all(grade.passed for grade in await grades(benchmark, problem, right))
            assert not any(grade.passed for grade in await grades(benchmark, problem, wrong))
        assert len(benchmark.load(2, 0)) == 2


@pytest.mark.parametrize(
    ("row", "texts", "vote"),
    [
        ({"answer": "B", "choices": [1, 2]}, ["Answer: B", "Answer: B) 2", "**B**"], "B"),
        ({"answer": 7}, ["Answer: 7 apples", "It is 7.", "#### 7.0"], "7"),
        ({"answer": "Paris"}, ["Answer: Paris", "The answer is **paris**."], "paris"),
    ],
)
def test_votes_are_counted_by_what_the_problems_ask_for(
    row: dict[str, Any], texts: list[str], vote: str, tmp_path: Path
) -> None:
    path = tmp_path / "own.jsonl"
    jsonl(path, [{"prompt": "?"} | row])
    benchmark = open_benchmark(f"jsonl:{path}")
    benchmark.load(None, 0)
    assert {benchmark.answer_of(text) for text in texts} == {vote}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"answer": "1"}, 'problem 1: "prompt" must be a text'),
        ({"prompt": " ", "answer": "1"}, 'problem 1: "prompt" must be a text'),
        ({"prompt": "?"}, '"answer" must be a text, a number, or a list of them'),
        ({"prompt": "?", "answer": []}, '"answer" must be a text'),
        ({"prompt": "?", "answer": True}, '"answer" must be a text'),
        (
            {"prompt": "?", "answer": "1", "grading": "code"},
            '"grading" must be one of number, math',
        ),
        ({"prompt": "?", "answer": "x", "grading": "number"}, '"answer" must be a number'),
        (
            {"prompt": "?", "answer": "C", "choices": [1, 2]},
            '"answer" must be a letter from A to B',
        ),
        ({"prompt": "?", "answer": "A", "choices": [1]}, '"choices" must be a list of 2 to 10'),
        ({"prompt": "?", "answer": "A", "grading": "choice"}, '"choices" must be a list'),
    ],
)
def test_lines_that_will_not_do(row: dict[str, Any], words: str, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    jsonl(path, [row])
    with pytest.raises(BenchmarkError) as caught:
        open_benchmark(f"jsonl:{path}").load(None, 0)
    assert words in str(caught.value)


def test_an_id_that_is_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    jsonl(path, [{"id": 2, "prompt": "?", "answer": "1"}, {"prompt": "?", "answer": "1"}])
    with pytest.raises(BenchmarkError, match="the id '2' is there twice"):
        open_benchmark(f"jsonl:{path}").load(None, 0)


def test_a_file_that_is_empty_or_missing(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    with pytest.raises(BenchmarkError, match="cannot be read"):
        open_benchmark(f"jsonl:{path}").load(None, 0)
    path.write_text("\n\n")
    with pytest.raises(BenchmarkError, match="no problems"):
        open_benchmark(f"jsonl:{path}").load(None, 0)
