"""What is done in confinement, by name. A job takes and returns what JSON can carry.

What a job raises is what its caller is told: the name of the error and the first line of its words.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import random
import sys
import types
from collections.abc import Callable
from typing import Any

_DETAIL = 200  # characters
#: What a package of cellular automata draws with; no task does, and it is half of the import.
_PICTURES = (
    "matplotlib",
    "matplotlib.pyplot",
    "matplotlib.animation",
    "matplotlib.collections",
    "mpl_toolkits",
    "mpl_toolkits.mplot3d",
)


def prepare(module: str) -> None:
    """Import what jobs need, once, before there is anything to confine."""
    if module == "reasoning_gym":
        _stand_in()
    importlib.import_module(module)
    if module == "math_verify":
        math_equal("\\frac{1}{2}", "0.5")  # the parser's tables are made at the first use


def run(name: str, argument: dict[str, Any]) -> Any:
    """Do a job."""
    return _JOBS[name](**argument)


def tell(error: BaseException) -> str:
    """An error in one short line, whatever its class does when it is asked for its words."""
    words = ""
    with contextlib.suppress(BaseException):  # it may be model code
        words = str(error).strip().split("\n", 1)[0]
    kind = type(error).__name__
    line = f"{kind}: {words}" if words else kind
    # The line goes through JSON and into files: half a character must not stop it there.
    return line[:_DETAIL].encode("utf-8", "replace").decode()


def run_program(source: str) -> None:
    """Run a Python program as a module of its own, to its end."""
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    sys.argv = ["solution"]
    exec(compile(source, "solution.py", "exec"), module.__dict__)  # noqa: S102  # it is the job


def math_equal(answer: str, reference: str) -> bool:
    """Whether an answer (LaTeX, without dollars) is worth the same as the reference, by math-verify."""
    from math_verify import parse, verify  # noqa: PLC0415  # a package of the extra

    # The keeper has the limit of time; the package's own would be signals.
    found, right = (parse(f"${text}$", parsing_timeout=None) for text in (answer, reference))
    return bool(verify(right, found, timeout_seconds=None))


def reasoning_gym_make(task: str, seed: int, size: int, count: int) -> list[dict[str, Any]]:
    """Question and answer of the first `count` entries of a task of reasoning-gym."""
    made = _dataset(task, seed, size)
    entries = (made[index] for index in range(count))
    return [{"question": entry["question"], "answer": entry["answer"]} for entry in entries]


def reasoning_gym_score(task: str, seed: int, size: int, index: int, answer: str | None) -> float:
    """The score of an answer by the task's verifier; some of them evaluate it as Python.

    The entry is made anew, since most have parts that JSON cannot carry.
    """
    made = _dataset(task, seed, size)
    entry = made[index]
    random.seed(0)  # verifiers may try examples
    return float(made.score_answer(answer, entry))


def _dataset(task: str, seed: int, size: int) -> Any:
    import reasoning_gym  # noqa: PLC0415  # a package of the extra

    return reasoning_gym.create_dataset(task, seed=seed, size=size)


def reasoning_gym_tasks() -> list[str]:
    """The names of all tasks."""
    from reasoning_gym.factory import DATASETS  # noqa: PLC0415  # a package of the extra

    return sorted(DATASETS)


def _stand_in() -> None:
    """Spare the import of what reasoning-gym only could use."""
    for name in _PICTURES:
        _enter(_Absent(name, "is not imported here"))
    _enter(types.ModuleType("mpl_toolkits.mplot3d.Axes3D"))  # asked for by name
    if importlib.util.find_spec("pycosat") is None:
        _enter(_Absent("pycosat", "has to be compiled: pip install pycosat"))


def _enter(module: types.ModuleType) -> None:
    """Make a module known, to the package that it is in as well."""
    sys.modules[module.__name__] = module
    package, _, name = module.__name__.rpartition(".")
    if package:
        setattr(sys.modules[package], name, module)


class _Absent(types.ModuleType):
    """Stands for a package that few tasks use, or none; raises in use.

    Args:
        name: of the package.
        why: it is not there, behind its name.
    """

    def __init__(self, name: str, why: str) -> None:
        super().__init__(name)
        self._why = why

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ModuleNotFoundError(f"this task needs the package {self.__name__}, which {self._why}")


_JOBS: dict[str, Callable[..., Any]] = {
    job.__name__: job
    for job in (
        run_program,
        math_equal,
        reasoning_gym_make,
        reasoning_gym_score,
        reasoning_gym_tasks,
    )
}
