"""What math-verify and reasoning-gym are asked in the sandbox, with honest answers and with hostile ones."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from tests.benchmark.sandbox.processes import children_of, descendants_of, until
from tests.benchmark.sandbox.programs import nothing_is_left
from trio_beam.benchmark.common.problem import BenchmarkError
from trio_beam.benchmark.sandbox import Limits, ProcessFailed, Verifier

#: A task whose verifier would evaluate the answer as Python.
EVALUATED: dict[str, Any] = {"task": "countdown", "seed": 1, "size": 3}


@pytest.fixture(autouse=True)
async def in_time() -> AsyncIterator[None]:
    with trio.fail_after(120):
        yield


@pytest.fixture
async def maths() -> AsyncIterator[Verifier]:
    async for verifier in opened("math_verify"):
        yield verifier


@pytest.fixture
async def gym() -> AsyncIterator[Verifier]:
    async for verifier in opened("reasoning_gym"):
        yield verifier


async def opened(package: str, seconds: float = 5) -> AsyncIterator[Verifier]:
    verifier = Verifier(package, Limits(seconds=seconds, memory=2 << 30))
    yield verifier
    with trio.CancelScope(shield=True):
        await verifier.aclose()
    assert nothing_is_left()


async def test_answers_are_compared_by_what_they_are_worth(maths: Verifier) -> None:
    async def equal(answer: str, reference: str) -> Any:
        return await maths.run("math_equal", answer=answer, reference=reference)

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
    await maths.aclose()
    assert nothing_is_left()
    await maths.aclose()  # as often as one likes


async def test_a_number_that_nobody_can_write_down_hangs_nothing() -> None:
    async for short in opened("math_verify", seconds=1):
        with pytest.raises(ProcessFailed, match=r"timed out after 1 s|MemoryError"):
            await short.run("math_equal", answer="9^{9^{9^{9^{9}}}}", reference="1")
        assert await short.run("math_equal", answer="1", reference="1") is True


async def entries(gym: Verifier, ask: dict[str, Any]) -> Any:
    return (await gym.run("reasoning_gym_make", **ask))["entries"]


async def a_task_is_the_same_whenever_it_is_made(gym: Verifier) -> None:
    ask = {**EVALUATED, "count": 2}
    first = await entries(gym, ask)
    assert len(first) == 2
    assert first == await entries(gym, ask)
    assert first != await entries(gym, ask | {"seed": 2})
    for index, entry in enumerate(first):
        right = {**EVALUATED, "index": index, "answer": entry["answer"]}
        assert await gym.run("reasoning_gym_score", **right) == 1.0
        assert await gym.run("reasoning_gym_score", **(right | {"answer": "1"})) < 1.0
        assert await gym.run("reasoning_gym_score", **(right | {"answer": None})) < 1.0


async def an_answer_that_would_be_evaluated_does_no_harm(gym: Verifier, path: Path) -> None:
    answer = f"__import__('pathlib').Path({str(path)!r}).touch()"
    score = await gym.run("reasoning_gym_score", **EVALUATED, index=0, answer=answer)
    assert score < 1.0
    assert not await trio.Path(path).exists()
    with pytest.raises(ProcessFailed, match=r"timed out after 5 s|MemoryError"):
        await gym.run("reasoning_gym_score", **EVALUATED, index=0, answer="9**9**9**9")


async def a_literal_still_gives_the_part_of_a_point_that_it_should(gym: Verifier) -> None:
    for task, part in (("n_queens", 0.5), ("spiral_matrix", 0.1), ("binary_matrix", 0.1)):
        ask = {"task": task, "seed": 3, "size": 2}
        (entry,) = await entries(gym, {**ask, "count": 1})
        lines = [line.split() for line in entry["answer"].splitlines()]
        as_python = repr(lines[0] if task == "spiral_matrix" else lines)
        run = "reasoning_gym_score"
        assert await gym.run(run, **ask, index=0, answer=entry["answer"]) == 1.0
        assert await gym.run(run, **ask, index=0, answer=as_python) == part


async def a_task_that_is_not_there(gym: Verifier) -> None:
    made = await gym.run("reasoning_gym_make", task="sodoku", seed=1, size=1, count=1)
    assert "'sodoku' not registered" in made["error"]
    assert "countdown" in made["tasks"]


async def the_task_of_the_package_whose_pictures_are_left_out(gym: Verifier) -> None:
    ask = {"task": "game_of_life", "seed": 3, "size": 2}
    for index, entry in enumerate(await entries(gym, {**ask, "count": 2})):
        right = ask | {"index": index, "answer": entry["answer"]}
        assert await gym.run("reasoning_gym_score", **right) == 1.0
        assert await gym.run("reasoning_gym_score", **(right | {"answer": "?"})) < 1.0


async def test_reasoning_gym_in_one_process(gym: Verifier, tmp_path: Path) -> None:
    """The import takes seconds, so that all that is asked of it is asked of one process."""
    await a_task_is_the_same_whenever_it_is_made(gym)
    await a_literal_still_gives_the_part_of_a_point_that_it_should(gym)
    await a_task_that_is_not_there(gym)
    await the_task_of_the_package_whose_pictures_are_left_out(gym)
    await an_answer_that_would_be_evaluated_does_no_harm(gym, tmp_path / "x")


async def test_jobs_share_nothing_but_the_import(maths: Verifier) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(lambda: maths.run("math_equal", answer="1", reference="1"))
    kept = children_of(os.getpid())
    assert 0 < len(kept) <= (os.cpu_count() or 1)
    # Bubblewrap, the sandbox's first process, and the one with the import.
    assert all(len(descendants_of(child)) == 2 for child in kept)


async def test_a_cancelled_job_is_gone(maths: Verifier) -> None:
    assert await maths.run("math_equal", answer="1", reference="1")
    (kept,) = children_of(os.getpid())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: maths.run("math_equal", answer="9^{9^{9^9}}", reference="1"))
        await until(lambda: len(descendants_of(kept)) == 3)
        nursery.cancel_scope.cancel()
    assert nothing_is_left()
    assert await maths.run("math_equal", answer="1", reference="1") is True


async def test_without_an_event_loop() -> None:
    verifier = Verifier("math_verify")

    def both() -> None:
        assert verifier.run_sync("math_equal", answer="1", reference="1.0") is True
        with pytest.raises(ProcessFailed, match="unexpected keyword argument 'x'"):
            verifier.run_sync("math_equal", x=1)

    await trio.to_thread.run_sync(both)
    assert nothing_is_left()


async def test_a_package_that_is_missing_is_named() -> None:
    with pytest.raises(BenchmarkError, match=r"did not start: .*No module named 'nowhere'"):
        await Verifier("nowhere").run("math_equal", answer="1", reference="1")
    assert nothing_is_left()
