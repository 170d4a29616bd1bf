"""Run math-verify or reasoning-gym on answers, each in a fork of a process that has imported it.

It receives ``job`` with ``[name, arguments]`` as JSON. It answers ``done`` with the job's value as JSON,
``raised`` with a description, or ``ended`` with the number of the signal that killed the fork, 0 if none
did. Answers are never executed (`evaluate`). The fork has its own limits and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import random
import signal
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from trio_beam.benchmark.sandbox.inside import evaluate
from trio_beam.benchmark.sandbox.inside.channel import Channel, describe
from trio_beam.benchmark.sandbox.inside.limits import Limits, apply

#: The drawing package of a cellular automata package; no task draws, and it takes half of the import time.
_DRAWING = (
    "matplotlib",
    "matplotlib.pyplot",
    "matplotlib.animation",
    "matplotlib.collections",
    "mpl_toolkits",
    "mpl_toolkits.mplot3d",
)
#: Read before the first job, since the parser fills its tables as it reads, and what a fork learns is lost.
_FORMULAS = (
    "1",
    r"-\frac{\sqrt{3}}{2}",
    "(x+1)^2",
    "y = 2x + 3",
    r"\left[0, 1\right)",
    "1, 2",
    r"3 \ln 2",
)


def main(channel: Channel, limits: Limits, package: str) -> None:
    """Import the package, then do jobs until the input ends."""
    prepare(package)
    channel.send("ready")
    with contextlib.suppress(EOFError):
        while True:
            name, arguments = json.loads(channel.receive().rest)
            channel.send(*_in_a_fork(channel, limits, name, arguments))


def prepare(package: str) -> None:
    """Import a package, and replace its ``eval``."""
    if package == "reasoning_gym":
        _stand_in()
    importlib.import_module(package)
    evaluate.install(package)
    if package == "math_verify":
        for formula in _FORMULAS:
            math_equal(formula, f"{formula} + 1")


def _in_a_fork(
    channel: Channel, limits: Limits, name: str, arguments: dict[str, Any]
) -> tuple[str, str]:
    """Do a job in a forked process, and return its message."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.close(channel.reader)
        os.close(channel.writer)
        _do(Channel(-1, writer, limits.message), limits, name, arguments)
    os.close(writer)
    try:
        return Channel(reader, -1, limits.message).receive()
    except ValueError as error:
        return "raised", str(error)
    except EOFError:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return "ended", str(max(0, -status))
    finally:
        os.close(reader)
        _end_all_others()


def _end_all_others() -> None:
    """Kill all processes of the sandbox except this one and the first, which the kernel protects."""
    if Path("/proc/1").exists():
        raise RuntimeError("not in the sandbox, which has no /proc")
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _do(channel: Channel, limits: Limits, name: str, arguments: dict[str, Any]) -> NoReturn:
    try:
        apply(limits)
        channel.send("done", json.dumps(_JOBS[name](**arguments)))
    except BaseException as error:  # noqa: ASYNC103  # no Trio here
        channel.send("raised", describe(error))
    finally:
        os._exit(0)


def math_equal(answer: str, reference: str) -> bool:
    """Return whether math-verify considers an answer (LaTeX without dollars) equal to the reference."""
    from math_verify import parse, verify  # noqa: PLC0415  # a package of the extra

    # Time is limited from outside; the package's own limits would need signals.
    found, right = (parse(f"${text}$", parsing_timeout=None) for text in (answer, reference))
    return bool(verify(right, found, timeout_seconds=None, allow_set_relation_comp=True))


def reasoning_gym_make(task: str, seed: int, size: int, count: int) -> dict[str, Any]:
    """Make the first `count` entries of a task of reasoning-gym.

    Returns:
        ``entries``, each with its question and its answer; or ``error``, and the names of all ``tasks``.
    """
    try:
        made = _dataset(task, seed, size)
        entries = [made[index] for index in range(count)]
    except Exception as error:  # of somebody else's generators
        return {"error": describe(error), "tasks": _tasks()}
    return {"entries": [{key: entry[key] for key in ("question", "answer")} for entry in entries]}


def reasoning_gym_score(task: str, seed: int, size: int, index: int, answer: str) -> float:
    """Return the score of an answer by the task's verifier.

    The entry is generated again, since most have parts that JSON cannot represent.
    """
    made = _dataset(task, seed, size)
    entry = made[index]
    random.seed(0)  # verifiers may try examples
    return float(made.score_answer(answer, entry))


def _tasks() -> list[str]:
    """Return the names of all tasks."""
    from reasoning_gym.factory import DATASETS  # noqa: PLC0415  # a package of the extra

    return sorted(DATASETS)


def _dataset(task: str, seed: int, size: int) -> Any:
    import reasoning_gym  # noqa: PLC0415  # a package of the extra

    return reasoning_gym.create_dataset(task, seed=seed, size=size)


def _stand_in() -> None:
    """Replace packages that reasoning-gym imports but hardly uses."""
    for name in _DRAWING:
        _register(_Absent(name, "is not imported here"))
    _register(types.ModuleType("mpl_toolkits.mplot3d.Axes3D"))  # asked for by name
    if importlib.util.find_spec("pycosat") is None:
        _register(_Absent("pycosat", "has to be compiled: pip install pycosat"))


def _register(module: types.ModuleType) -> None:
    """Make a module known to the import system, and to the package that it is in."""
    sys.modules[module.__name__] = module
    package, _, name = module.__name__.rpartition(".")
    if package:
        setattr(sys.modules[package], name, module)


class _Absent(types.ModuleType):
    """Replaces a package that few or no tasks use, and raises when used.

    Args:
        name: name of the package.
        why: why it is absent, to follow its name in the message.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name)
        self._why = why

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ModuleNotFoundError(f"this task needs the package {self.__name__}, which {self._why}")


_JOBS: dict[str, Callable[..., Any]] = {
    job.__name__: job for job in (math_equal, reasoning_gym_make, reasoning_gym_score)
}
