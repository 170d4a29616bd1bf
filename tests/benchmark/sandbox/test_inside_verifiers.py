"""The verifiers' side in the sandbox, in processes of their own: what a job may say, and what none may do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trio_beam.benchmark.sandbox import Limits, ProcessFailed, bubblewrap
from trio_beam.benchmark.sandbox.bubblewrap import find_bubblewrap
from trio_beam.benchmark.sandbox.inside import verifiers
from trio_beam.benchmark.sandbox.inside.channel import Message
from trio_beam.benchmark.sandbox.verifier import _value


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("done " + "[" * 100_000, "it sent something other than a report"),
        ("done", "it sent something other than a report"),
        ("done {", "it sent something other than a report"),
        ("done " + "9" * 5000, "it sent something other than a report"),
        ("ended 9", "killed by SIGKILL"),
        ("ended 24", "killed at its limit of processor time"),
        ("ended 0", "the program ended itself"),
        ("ended x", "it sent something other than a report"),
        ("unavailable", "it sent something other than a report"),
        ("raised \x1b[0m", "?[0m"),
    ],
)
def test_a_report_is_data(line: str, said: str) -> None:
    with pytest.raises(ProcessFailed) as caught:
        _value(Message.parse(line.encode()))
    assert caught.value.detail == said


HOSTILE_JOBS = """
import os, sys
from trio_beam.benchmark.sandbox.inside import verifiers
from trio_beam.benchmark.sandbox.inside.channel import Channel
from trio_beam.benchmark.sandbox.inside.limits import Limits

def floods():
    while True:
        os.write(writer(), bytes(1 << 16))

def lies():
    os.write(writer(), b"done true\\ndone true\\n")
    os._exit(0)

def dies():
    os.kill(os.getpid(), 9)

def ends():
    os._exit(0)

def stays():
    if os.fork() == 0:
        os.setsid()
        while True: pass
    return 1

def writer():
    return max(number for number in range(64) if is_open(number))

def is_open(number):
    try:
        return bool(os.fstat(number))
    except OSError:
        return False

verifiers._JOBS = {job.__name__: job for job in (floods, lies, dies, ends, stays)}
limits = Limits(seconds=5, message=1 << 16)
for name in sys.argv[4:]:
    print(*verifiers._in_a_fork(Channel(0, 1, 100), limits, name, {}), flush=True)
"""


def test_a_job_that_is_taken_over_says_one_thing_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = find_bubblewrap()
    monkeypatch.setattr(bubblewrap, "_START", HOSTILE_JOBS)
    names = ["floods", "lies", "dies", "ends", "stays", "lies"]
    output = found.run(["verifiers", *names], Limits(seconds=60), b"")
    assert output.decode().splitlines() == [
        "raised reported more than 65536 bytes",
        "done true",
        "ended 9",
        "ended 0",
        "done 1",
        "done true",
    ]


NAMESPACE = """
import ctypes, os, platform

clone = {"x86_64": 56, "aarch64": 220}[platform.machine()]
child = ctypes.CDLL(None, use_errno=True).syscall(
    *map(ctypes.c_long, (clone, 0x10000000 | 17, 0, 0, 0, 0))
)
if child == 0:
    os._exit(0)
print(child, os.strerror(ctypes.get_errno()))
"""


def test_where_processes_may_be_started_there_are_still_no_new_namespaces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = find_bubblewrap()
    monkeypatch.setattr(bubblewrap, "_START", NAMESPACE)
    output = found.run(["verifiers"], Limits(seconds=60), b"")
    assert output == b"-1 No space left on device\n"


def test_outside_of_the_sandbox_no_process_is_ended() -> None:
    with pytest.raises(RuntimeError, match="not in the sandbox"):
        verifiers._end_all_others()


EVERY_TASK = """
import builtins, json, sys
from trio_beam.benchmark.sandbox.inside import verifiers

builtins.ran = []
verifiers.prepare("reasoning_gym")
from reasoning_gym.factory import DATASETS

asked = 0
for task in sorted(set(DATASETS) - {"composite", "zebra_puzzles"}):
    made = verifiers._dataset(task, 1, 500)
    entry = made[0]
    for answer in json.loads(sys.argv[1]):
        try:
            score = made.score_answer(answer, entry)
        except Exception as error:
            if isinstance(error, NameError):
                raise
        else:
            assert 0 <= score <= 1, (task, answer, score)
        asked += 1
        assert builtins.ran == [], (task, answer)
print()
print(asked)
"""
RUNS = "__import__('builtins').ran.append(1)"
ANSWERS = [RUNS, f"[{RUNS}]", f"exec({RUNS!r})", f"sympify({RUNS!r})", f"x + {RUNS}", f"{{{RUNS}}}"]


def test_no_verifier_of_any_task_runs_an_answer() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", EVERY_TASK, json.dumps(ANSWERS)],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        cwd=Path(__file__).parents[3],
    )
    assert int(done.stdout.split()[-1]) > 90 * len(ANSWERS)


WITHOUT_PYCOSAT = """
import importlib.abc, sys
from trio_beam.benchmark.sandbox.inside import verifiers

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "pycosat":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Hidden())
find_spec = verifiers.importlib.util.find_spec
verifiers.importlib.util.find_spec = lambda name: None if name == "pycosat" else find_spec(name)
verifiers.prepare("reasoning_gym")
assert len(verifiers.reasoning_gym_make("countdown", 1, 2, 2)["entries"]) == 2
print(verifiers.reasoning_gym_make("zebra_puzzles", 1, 1, 1)["error"])
"""


def test_without_the_compiled_package_the_other_tasks_work() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_PYCOSAT],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    assert done.stdout.strip().endswith("pip install pycosat")
