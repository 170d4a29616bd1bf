"""What is graded in the sandbox by the packages of others, with honest answers and with hostile ones."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_beam.benchmark.sandbox import JobFailed, Limits, Sandbox

#: A task whose verifier evaluates the answer as Python.
EVALUATED = {"task": "countdown", "seed": 1, "size": 3}


@pytest.fixture(autouse=True)
async def in_time() -> AsyncIterator[None]:
    with trio.fail_after(120):
        yield


@pytest.fixture
async def maths() -> AsyncIterator[Sandbox]:
    async for box in opened("math_verify"):
        yield box


@pytest.fixture
async def gym() -> AsyncIterator[Sandbox]:
    async for box in opened("reasoning_gym"):
        yield box


async def opened(package: str) -> AsyncIterator[Sandbox]:
    box = Sandbox(imports=(package,), limits=Limits(seconds=5, memory=2 << 30))
    yield box
    with trio.CancelScope(shield=True):
        await box.aclose()


async def test_answers_are_compared_by_what_they_are_worth(maths: Sandbox) -> None:
    async def equal(answer: str, reference: str) -> Any:
        return await maths.run("math_equal", {"answer": answer, "reference": reference})

    for answer, reference in [
        (r"\frac{1}{2}", "0.5"),
        ("1,000", "1000"),
        (r"\frac{\sqrt{2}}{2}", r"\frac{1}{\sqrt{2}}"),
        ("(1, 2)", "(1,2)"),
        ("x + 1", "1 + x"),
        (r"\left[0, 1\right)", "[0,1)"),
    ]:
        assert await equal(answer, reference) is True, answer
    for answer, reference in [("2", "3"), ("x", "y"), ("", "1"), ("(1, 2)", "(2, 1)"), ("}{", "1")]:
        assert await equal(answer, reference) is False, answer


async def test_a_number_that_nobody_can_write_down_hangs_nothing(maths: Sandbox) -> None:
    monster = {"answer": "9^{9^{9^{9^{9}}}}", "reference": "1"}
    short = Sandbox(imports=("math_verify",), limits=Limits(seconds=1, memory=2 << 30))
    try:
        with pytest.raises(JobFailed, match=r"timed out after 1 s|MemoryError"):
            await short.run("math_equal", monster)
        assert await short.run("math_equal", {"answer": "1", "reference": "1"}) is True
    finally:
        with trio.CancelScope(shield=True):
            await short.aclose()


async def test_a_task_is_the_same_whenever_it_is_made(gym: Sandbox) -> None:
    ask = {**EVALUATED, "count": 2}
    first = await gym.run("reasoning_gym_make", ask)
    assert len(first) == 2
    assert first == await gym.run("reasoning_gym_make", ask)
    assert first != await gym.run("reasoning_gym_make", ask | {"seed": 2})
    for index, entry in enumerate(first):
        right = {**EVALUATED, "index": index, "answer": entry["answer"]}
        assert await gym.run("reasoning_gym_score", right) == 1.0
        assert await gym.run("reasoning_gym_score", right | {"answer": "1"}) < 1.0
        assert await gym.run("reasoning_gym_score", right | {"answer": None}) < 1.0


async def test_an_answer_that_is_evaluated_does_no_harm(gym: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "x"
    answer = f"__import__('pathlib').Path({str(path)!r}).touch()"
    score = await gym.run("reasoning_gym_score", {**EVALUATED, "index": 0, "answer": answer})
    assert score < 1.0
    assert not await trio.Path(path).exists()
    loop = {**EVALUATED, "index": 0, "answer": "9**9**9**9"}
    with pytest.raises(JobFailed, match=r"timed out after 5 s|MemoryError"):
        await gym.run("reasoning_gym_score", loop)


async def test_a_task_that_is_not_there(gym: Sandbox) -> None:
    with pytest.raises(JobFailed, match="'sodoku' not registered"):
        await gym.run("reasoning_gym_make", {"task": "sodoku", "seed": 1, "size": 1, "count": 1})
    assert "countdown" in await gym.run("reasoning_gym_tasks", {})


WITHOUT_PYCOSAT = """
import importlib.abc, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "pycosat":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
find_spec = jobs.importlib.util.find_spec
jobs.importlib.util.find_spec = lambda name: None if name == "pycosat" else find_spec(name)
jobs.prepare("reasoning_gym")
assert len(jobs.reasoning_gym_make("countdown", 1, 2, 2)) == 2
try:
    jobs.reasoning_gym_make("zebra_puzzles", 1, 1, 1)
except ModuleNotFoundError as error:
    print(error)
"""


async def test_without_the_compiled_package_the_other_tasks_work() -> None:
    source = f"from trio_beam.benchmark.jail import jobs\n{WITHOUT_PYCOSAT}"
    done = await trio.run_process([sys.executable, "-c", source], capture_stdout=True)
    assert done.stdout.decode().strip().endswith("pip install pycosat")


async def test_the_task_of_the_package_whose_pictures_are_left_out(gym: Sandbox) -> None:
    ask = {"task": "game_of_life", "seed": 3, "size": 2}
    for index, entry in enumerate(await gym.run("reasoning_gym_make", ask | {"count": 2})):
        right = ask | {"index": index, "answer": entry["answer"]}
        assert await gym.run("reasoning_gym_score", right) == 1.0
        assert await gym.run("reasoning_gym_score", right | {"answer": "?"}) < 1.0
