"""The plan of a run, made before anything starts: pure data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from trio_beam.benchmark import original
from trio_beam.benchmark.common.problem import Problem
from trio_beam.benchmark.models import Model, choose_model
from trio_beam.benchmark.prompts import check_template
from trio_beam.benchmark.records import Key, digest_of_problem
from trio_beam.benchmark.settings import Settings
from trio_beam.benchmark.strategies import LabelledStrategy, enabled_strategies
from trio_beam.records.identity import digest_of


@attrs.frozen(kw_only=True)
class Plan:
    """A benchmark, a model, and the strategies to compare.

    Attributes:
        folder: folder of all files.
        shared: everything that answers depend on besides the problem and the strategy.
    """

    settings: Settings
    model: Model
    strategies: Sequence[LabelledStrategy]
    folder: Path
    shared: Mapping[str, Any]

    def configuration(self, strategy: LabelledStrategy) -> str:
        """Return a digest of everything that a strategy's answers depend on except the problem."""
        return digest_of({**self.shared, "strategy": strategy.depends_on()})

    def key(self, problem: Problem, strategy: LabelledStrategy, sample: int = 0) -> Key:
        """Return the key of the record for a problem, a strategy and one of its answers."""
        digest, configuration = digest_of_problem(problem), self.configuration(strategy)
        return Key(problem.id, digest, strategy.kind, configuration, sample)


def make_plan(settings: Settings, environment: Mapping[str, str]) -> Plan:
    """Validate the settings and make a plan.

    The folder is named after everything that answers depend on, so that the same command finds its run
    again, also with more problems or with permission to execute code.

    Raises:
        ConfigError: a value is out of bounds; an API key or an address is missing.
    """
    name = settings.benchmark.name
    group = attrs.evolve(settings.benchmark, name=original.BENCHMARKS.get(name, name))
    settings = attrs.evolve(settings, benchmark=group)
    check_template(settings.prompt)
    strategies = enabled_strategies(settings)
    model = choose_model(settings, environment)
    shared = {
        "benchmark": group.name,
        "data_dir": group.data_dir,
        "max_tokens": group.max_tokens,
        "seed": group.seed,
        "prompt": attrs.asdict(settings.prompt),
        "model": dict(model.identity),
    }
    return Plan(
        settings=settings,
        model=model,
        strategies=strategies,
        folder=_folder(settings, model, strategies, shared),
        shared=shared,
    )


def _folder(
    settings: Settings,
    model: Model,
    strategies: Sequence[LabelledStrategy],
    shared: Mapping[str, Any],
) -> Path:
    if settings.output.dir is not None:
        return Path(settings.output.dir).expanduser()
    digest = digest_of({**shared, "strategies": [one.depends_on() for one in strategies]})
    of_model = "gguf" if "file" in model.identity else _plain(model.name)  # whatever it is called
    name = f"{_plain(settings.benchmark.name)}-{of_model}-{digest[:8]}"
    return Path(settings.output.results_dir).expanduser() / name


def _plain(text: str) -> str:
    """Turn a text into part of a file name."""
    return re.sub(r"[^\w.]+", "_", text.rpartition("/")[2]).strip("_.")[:40] or "run"
