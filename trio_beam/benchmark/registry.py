"""The benchmarks by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from trio_beam.benchmark import original
from trio_beam.benchmark.common.nearest import nearest_keys
from trio_beam.benchmark.common.problem import Benchmark
from trio_beam.benchmark.sets.choice import Gpqa, Mmlu
from trio_beam.benchmark.sets.humaneval import HumanEval
from trio_beam.benchmark.sets.jsonl import JsonLines
from trio_beam.benchmark.sets.maths import Gsm8k, Math500
from trio_beam.benchmark.sets.reasoning import ReasoningGym
from trio_beam.benchmark.sets.sums import Sums
from trio_beam.errors import ConfigError

_FROM_THE_HUB: dict[str, Callable[..., Benchmark]] = {
    "gsm8k": Gsm8k,
    "gsm8k-train": Gsm8k,
    "math500": Math500,
    "mmlu": Mmlu,
    "mmlu-stem": Mmlu,
    "mmlu-humanities": Mmlu,
    "mmlu-social": Mmlu,
    "gpqa": Gpqa,
}
_PREFIXES = ("reasoning_gym", "jsonl")
#: Values of ``benchmark.name``; `original.BENCHMARKS` has other names of some.
NAMES = ("humaneval", "sums", *_FROM_THE_HUB, "reasoning_gym:TASK", "jsonl:PATH")


def open_benchmark(
    name: str, *, allow_code_execution: bool = False, data_dir: Path | None = None
) -> Benchmark:
    """Create a benchmark by name, without loading anything or importing packages of the extra.

    Args:
        name: one of `NAMES`, or an alias.
        allow_code_execution: whether model-written programs may run in the sandbox.
        data_dir: a folder with files to use instead of the hub's.

    Raises:
        ConfigError: the name is unknown; the message lists the nearest and all names.
    """
    name = original.BENCHMARKS.get(name, name)
    head, colon, rest = name.partition(":")
    if name == "humaneval":
        return HumanEval(can_grade=allow_code_execution)
    if name == "sums":
        return Sums()
    if name in _FROM_THE_HUB:
        return _FROM_THE_HUB[name](name=name, data_dir=data_dir)
    if head == "reasoning_gym" and rest:
        return ReasoningGym(name=name, task=rest)
    if head == "jsonl" and rest:
        return JsonLines(name=name, path=Path(rest).expanduser())
    nearest = nearest_keys(head, ["humaneval", "sums", *_FROM_THE_HUB, *_PREFIXES])
    meant = f" (did you mean {_shown(nearest[0])}?)" if nearest and not colon else ""
    if name in original.NO_BENCHMARKS:
        meant = f" ({original.NO_BENCHMARKS[name]})"
    raise ConfigError("benchmark.name", f"one of {', '.join(NAMES)}{meant}", name)


def _shown(name: str) -> str:
    return next(known for known in NAMES if known.partition(":")[0] == name)
