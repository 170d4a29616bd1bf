"""A program is judged from outside of its process: what it returns counts, and nothing else it does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from textwrap import dedent, indent

import pytest
import trio

from tests.benchmark.sandbox.programs import nothing_is_left
from trio_beam.benchmark.common.problem import BenchmarkError, Problem
from trio_beam.benchmark.sandbox import Limits, ProcessFailed, Sandbox, bubblewrap, judge
from trio_beam.benchmark.sets.humaneval import HumanEval, rows

PROMPT = 'def double(value):\n    """Twice the value."""\n'
TESTS = """
def check(candidate):
    assert candidate(2) == 4
    assert candidate("ab") == "abab"
    assert candidate([1, 2]) == [1, 2, 1, 2]
"""
RIGHT = "    return value + value\n"


@pytest.fixture(autouse=True)
async def in_time() -> AsyncIterator[None]:
    with trio.fail_after(120):
        yield


async def verdict(
    completion: str, *, tests: str = TESTS, prompt: str = PROMPT, seconds: float = 10
) -> str:
    """Why a completion does not pass; "" if it does."""
    try:
        await judge(
            Sandbox(limits=Limits(seconds=seconds)),
            prompt=prompt,
            completion=completion,
            tests=tests,
            name="double",
        )
    except ProcessFailed as failed:
        return failed.detail
    return ""


def body(source: str) -> str:
    return indent(dedent(source).strip("\n") + "\n", "    ")


async def test_what_is_right_passes_and_what_is_wrong_does_not() -> None:
    assert await verdict(RIGHT) == ""
    assert await verdict("    return 3 * value\n") == "AssertionError"
    assert (
        await verdict("    return value +\n") == "SyntaxError: invalid syntax (solution.py, line 3)"
    )
    assert await verdict("    return value + undefined\n") == (
        "NameError: name 'undefined' is not defined"
    )
    assert await verdict("    while True: pass\n", seconds=0.5) == "timed out after 0.5 s"
    assert await verdict(f"{RIGHT}del double\n") == (
        "AttributeError: module 'solution' has no attribute 'double'"
    )


#: What equals everything, in many ways; each is the body of the function.
EQUAL_TO_EVERYTHING = [
    """
    class A:
        __eq__ = lambda s, o: True
        __hash__ = None
    return A()
    """,
    "from unittest.mock import ANY\nreturn ANY",
    *(
        f"""
        class A({base}):
            def __eq__(self, other): return True
            def __ne__(self, other): return False
            __hash__ = None
        return A()
        """
        for base in ("int", "str", "list", "tuple", "dict", "float", "bytes", "set", "Exception")
    ),
    """
    class M(type):
        def __eq__(self, other): return True
        __hash__ = type.__hash__
    class A(metaclass=M): pass
    return A
    """,
    """
    class A(list):
        def __iter__(self):
            while True: yield A()
        def __len__(self): return 1
        def __eq__(self, other): return True
        __hash__ = None
    return A()
    """,
    """
    import enum
    class A(str, enum.Enum):
        X = "x"
        def __eq__(self, other): return True
        __hash__ = None
    return A.X
    """,
    "import numpy\nreturn numpy.ma.masked",
    "return float('nan')",
    "return NotImplemented",
    "return ...",
]
#: Ends and jumps that look like a test's end.
ENDS = [
    "import sys; sys.exit()",
    "import os; os._exit(0)",
    "raise SystemExit(0)",
    "raise KeyboardInterrupt",
    "raise GeneratorExit",
    "raise StopIteration(4)",
    "raise StopAsyncIteration",
    "raise AssertionError",
    "class E(BaseException): pass\nraise E",
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
    "import os; os.execv('/usr/bin/env', ['true'])",
    "import os; os.abort()",
    "import atexit, os; atexit.register(os.write, 41, b'passed\\n'); raise SystemExit",
    "import threading; threading.Thread(target=print).start()",
]
#: Words in place of an answer.
LIES = [
    *(
        f"import os\nos.write(41, {lie!r})\nos._exit(0)"
        for lie in (
            b"passed\n",
            b"passed\n" * 1000,
            b"returned 4\npassed\n",
            b"returned 4\n" * 9,
            b"returned true\n" * 9,
            b'returned {"object": []}\n',
            b'{"outcome": "done", "value": null}\n',
            b'{"outcome": "unavailable"}\n',
            b"unavailable\n",
            b"failed\n",
            b"done 1.0\n",
            b"ready\n",
            b"loaded\n",
            b"call [[2], {}]\n",
            b"\n" * 1000,
            b"\x00\xff\n",
            b"raised \x1b[31mred\n",
            b"raised\n",
            b"raised " + b"x" * 100_000 + b"\n",
            b"returned " + b"[" * 100_000 + b"\n",
            b"returned " + b'{"tuple":[' * 10_000 + b"\n",
            b"returned " + b"9" * 100_000 + b"\n",
            b"returned [" + b"4," * 100_000 + b"4]\n",
            b'returned {"int":"' + b"f" * 500_000 + b'"}\n',
            b'returned {"set":[' + b"0," * 100_000 + b"0]}\n",
            b"returned 4",
        )
    ),
    "import os\nwhile True: os.write(41, bytes(65536))",
    "import os\nwhile True: os.write(41, b'passed\\n' * 9000)",
    "import os\nos.close(41)",
    "import os\nos.close(40)\nos.close(41)\nwhile True: pass",
    "print('passed', flush=True)\nimport sys; sys.stderr.write('passed')",
]
#: What meddles with the code that it finds around itself.
MEDDLING = [
    """
    import sys
    frame = sys._getframe()
    while frame:
        for found in frame.f_locals.values():
            if type(found).__name__ == "Channel":
                found.send("passed")
                found.send("loaded")
        frame = frame.f_back
    """,
    """
    import sys, dis
    code = sys._getframe(1).f_code
    found = [one.argval for one in dis.get_instructions(code) if one.opname == "LOAD_CONST"]
    return found[0] if found else None
    """,
    """
    import gc
    for found in gc.get_objects():
        if type(found).__name__ == "Channel":
            found.send("passed")
    """,
    """
    from trio_beam.benchmark.sandbox.inside import values
    values.dumps = lambda value: "true"
    """,
    """
    from trio_beam.benchmark.sandbox.inside import channel
    channel.Channel.send = lambda self, word, rest="": __import__("os").write(41, b"passed\\n")
    """,
    """
    from trio_beam.benchmark.sandbox.inside import checks, channel, limits
    checks.main(channel.Channel(40, 41, 1000), limits.Limits())
    """,
    "import builtins\nbuiltins.AssertionError = builtins.all = builtins.list = None",
    "import sys\nsys.modules['json'] = sys.modules['__main__'] = None",
    "import sys\nsys.settrace(lambda *a: None); sys.setprofile(lambda *a: None)",
    "import sys\nsys.setrecursionlimit(10 ** 9)\ndouble(value)",
    "import gc, sys\ngc.freeze(); sys.intern = None\nglobals().clear()",
    "import signal\nsignal.alarm(1)\nwhile True: pass",
    "value.append(4) if isinstance(value, list) else None\nreturn value",
    "import tracemalloc, faulthandler\nfaulthandler.enable(); import ctypes; ctypes.string_at(1)",
]
#: Values that are too much.
TOO_MUCH = [
    "return bytearray(1 << 40)",
    "found = []\nfor _ in range(100_000): found = [found]\nreturn found",
    "found = []\nfound.append(found)\nreturn found",
    "found = {}\nfound[1] = found\nreturn found",
    "return 'x' * (1 << 24)",
    "return list(range(10_000_000))",
    "return 1 << (1 << 26)",
    "import itertools\nreturn itertools.repeat(4)",
    "def endless():\n    while True: yield 4\nreturn endless()",
    "return range(10 ** 30)",
    "return [range(10 ** 9)] * 1000",
    "from decimal import Decimal\nreturn Decimal('1E+999999999')",
    "from fractions import Fraction\nreturn Fraction(1, 10 ** 9)",
    "return {n * (2 ** 61 - 1) for n in range(20_000)}",
    "return double",
    "return lambda: 4",
    "return open('/dev/zero', 'rb')",
    "import types\nreturn types.ModuleType('x')",
    "async def later(): return 4\nreturn later()",
]
CHEATS = {
    f"{kind} {number}": body(source)
    for kind, sources in {
        "equal": EQUAL_TO_EVERYTHING,
        "end": ENDS,
        "lie": LIES,
        "meddling": MEDDLING,
        "much": TOO_MUCH,
    }.items()
    for number, source in enumerate(sources)
}


@pytest.mark.parametrize("kind", CHEATS)
async def test_a_program_does_not_pass_by_anything_but_right_answers(kind: str) -> None:
    said = await verdict(CHEATS[kind], seconds=1)
    assert said
    assert said.isprintable()
    assert nothing_is_left()


@pytest.mark.parametrize("kind", [kind for kind in CHEATS if kind[:3] in ("end", "lie", "med")])
async def test_nor_by_anything_it_does_when_it_is_loaded(kind: str) -> None:
    """The same as statements of the module, behind a function that is wrong."""
    source = dedent(CHEATS[kind]).replace("return", "value =")
    said = await verdict(f"    return None\n\nvalue = 2\n{source}", seconds=1)
    assert said
    assert nothing_is_left()


@pytest.mark.parametrize(
    "more",
    [
        "check = lambda candidate: None",
        "def check(candidate): raise SystemExit",
        "assert_ = AssertionError = Exception",
        "import builtins; builtins.__dict__['assert'] = None",
        "__name__ = 'tests'; candidate = None",
        "import os; os.write(41, b'loaded\\nreturned 4\\nreturned 4\\nreturned 4\\npassed\\n')",
    ],
)
async def test_definitions_of_a_program_do_not_reach_its_tests(more: str) -> None:
    assert await verdict(f"    return None\n\n{more}\n")


USUAL = {
    "prints": "print('x' * 100_000); return value + value",
    "numpy": "import numpy; return numpy.int64(4) if value == 2 else value + value",
    "an array": "import numpy; return list(numpy.tile(value, 2)) if type(value) is list else 2 * value",
    "a subclass": "class A(type(value)): pass\nreturn A(value + value)",
    "a cache": "import functools; return functools.lru_cache(lambda n: n * 2)(value) "
    "if type(value) is int else value * 2",
    "changes its argument": "value *= 2\nreturn value",
    "recursion": "return value + value if double.__doc__ is None else again(value, 900)\n\n"
    "def again(value, depth):\n    return again(value, depth - 1) if depth else value + value",
    "a global": "global calls\ncalls = globals().get('calls', 0) + 1\nreturn value * 2",
    "writes a file": "open('note', 'w').write('x'); return value + value",
    "asks for input": "try:\n    input()\nexcept EOFError:\n    return value + value",
    "catches all": "try:\n    1 / 0\nexcept BaseException:\n    return value + value",
    "a coroutine": "import asyncio\nasync def f(): return value * 2\nreturn asyncio.run(f())",
}


@pytest.mark.parametrize("kind", USUAL)
async def test_what_is_right_in_an_unusual_way_passes(kind: str) -> None:
    first, *rest = USUAL[kind].split("\n\n")
    assert await verdict("\n".join([body(first), *rest]) + "\n") == ""


async def test_an_iterator_is_not_a_list_but_can_be_made_one() -> None:
    made = "    return (2 * one for one in [value])\n"
    assert await verdict(made, tests="def check(f):\n    assert f(2) == [4]\n") == "AssertionError"
    assert await verdict(made, tests="def check(f):\n    assert tuple(f(2)) == (4,)\n") == ""


async def test_arguments_are_copies() -> None:
    tests = "def check(f):\n    given = [1]\n    f(given)\n    assert given == [1]\n"
    assert await verdict("    value.append(2)\n", tests=tests) == ""


async def test_tests_may_call_helpers_and_the_function_by_its_name() -> None:
    prompt = f"def helper(x):\n    return x + 1\n\n{PROMPT}"
    tests = "def check(f):\n    assert f(helper(1)) == double(2) == 4\n"
    assert await verdict(RIGHT, prompt=prompt, tests=tests) == ""
    # A helper that the program defines anew stays its own.
    changed = f"{RIGHT}\ndef helper(x):\n    return [][0]\n"
    assert await verdict(changed, prompt=prompt, tests=tests) == ""


async def test_an_error_of_the_function_is_told_in_its_own_words() -> None:
    assert await verdict("    raise ValueError('one\\ntwo')\n") == "ValueError: one"
    tests = "def check(f):\n    assert f(1) == 3, 'it should be three'\n"
    assert await verdict(RIGHT, tests=tests) == "AssertionError: it should be three"
    assert await verdict(RIGHT, tests="def check(f):\n    f(f)\n") == (
        "TypeError: a value of type function is not plain data"
    )


async def test_an_exception_is_not_mistaken_for_the_end_of_a_loop() -> None:
    tests = "def check(f):\n    for found in map(f, [1, 2]):\n        assert found == 3\n"
    assert await verdict("    raise StopIteration\n", tests=tests) == "StopIteration"


async def test_where_the_sandbox_does_not_start_no_verdict_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bubblewrap, "_START", "raise SystemExit('not today')")
    with pytest.raises(BenchmarkError, match="a process in the sandbox did not start: not today"):
        await verdict(RIGHT)
    assert nothing_is_left()


async def test_all_solutions_of_humaneval_pass() -> None:
    benchmark = HumanEval(can_grade=True)
    problems = benchmark.load(None, 0)
    solutions = {row["task_id"]: row["canonical_solution"] for row in rows()}
    failed: list[str] = []

    async def grade(problem: Problem) -> None:
        found = await benchmark.grade(problem, solutions[problem.id])
        if not found.passed:
            failed.append(f"{problem.id}: {found.detail}")

    async with trio.open_nursery() as nursery:
        for problem in problems:
            nursery.start_soon(grade, problem)
    assert len(problems) == 164
    assert failed == []
    await benchmark.aclose()
