#!/usr/bin/env python
"""Check that the interface matches the documentation. Calls no model; exit code 1 on errors.

uv run --all-extras python scripts/test_syntax.py
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import trio_beam
from trio_beam.strategies import STRATEGIES

#: The parameters of the original's strategy, and of ours beyond it, with their defaults.
STRATEGY = {
    "alpha": 4.0,
    "beam_width": 2,
    "n_per_beam": 2,
    "tokens_per_step": 192,
    "use_length_penalty": True,
    "length_penalty": 0.6,
    "proposal_temperature": 1.0,
    "top_logprobs": 5,
    "debug": False,
    "supports_n_param": True,
    "max_concurrent": 100,
    "timeout": 300.0,
    "seed": None,
}
ASYNCHRONOUS = ("_generate_async", "_expand_beams_parallel", "_sample_continuation_multiple_async")
SYNCHRONOUS = ("generate", "get_num_expansions", "get_best_score")
COROUTINES = ("beam_search", "beam_search_within", "mcmc", "mcmc_within", "serve_local")
GROUPS = ("model", "benchmark", "prompt", "mcmc_parallel", "output")
COMMAND = (
    "beam_search.enabled=true beam_search.beam_width=5 beam_search.n_per_beam=5 "
    "beam_search.debug=true benchmark.num_problems=10"
)


def public_names() -> Iterator[str]:
    """All public names exist and are documented."""
    for name in trio_beam.__all__:
        thing = getattr(trio_beam, name, None)
        if thing is None:
            yield f"trio_beam.{name} is not there"
        elif (inspect.isclass(thing) or inspect.isroutine(thing)) and not inspect.getdoc(thing):
            yield f"trio_beam.{name} has no docstring"


def strategy() -> Iterator[str]:
    """`BeamSearchSampling` has the original's parameters and methods."""
    parameters = inspect.signature(trio_beam.BeamSearchSampling).parameters
    found = {name: parameter.default for name, parameter in parameters.items()}
    for name, wanted in STRATEGY.items():
        if found.get(name, "absent") != wanted:
            yield f"the default of {name} is {found.get(name, 'absent')!r}, not {wanted!r}"
    made = trio_beam.BeamSearchSampling()
    for names, wanted in ((ASYNCHRONOUS, True), (SYNCHRONOUS, False)):
        for name in names:
            method = getattr(made, name, None)
            if method is None:
                yield f"BeamSearchSampling.{name} is not there"
            elif inspect.iscoroutinefunction(method) != wanted:
                yield f"BeamSearchSampling.{name} is {'not ' if wanted else ''}asynchronous"
    arguments = list(inspect.signature(made.generate).parameters)
    if arguments[:3] != ["client", "prompt", "max_tokens"]:
        yield f"generate takes {', '.join(arguments)}"


def coroutines() -> Iterator[str]:
    """The functions for Trio are coroutine functions."""
    for name in COROUTINES:
        if not inspect.iscoroutinefunction(getattr(trio_beam, name)):
            yield f"trio_beam.{name} is not asynchronous"


def bad_values() -> Iterator[str]:
    """A value out of bounds is refused by name, before anything is sent."""
    refused: list[tuple[str, Callable[[], Any]]] = [
        ("beam_width", lambda: trio_beam.BeamSearchConfig(beam_width=0)),
        ("alpha", lambda: trio_beam.BeamSearchConfig(alpha=-1)),
        ("tokens_per_step", lambda: trio_beam.BeamSearchSampling(tokens_per_step=0)),
    ]
    for name, make in refused:
        try:
            make()
        except trio_beam.ConfigError as error:
            if error.field != name:
                yield f"a bad {name} is refused as {error.field}"
        else:
            yield f"a bad {name} is taken"


def benchmark_command() -> Iterator[str]:
    """The command of the original is understood, and a misspelt key is not."""
    from trio_beam.benchmark.config import (  # noqa: PLC0415  # of the extra bench
        known_keys,
        load_settings,
        parse_args,
    )
    from trio_beam.benchmark.strategies import enabled_strategies  # noqa: PLC0415

    for group in (*GROUPS, *STRATEGIES.names()):
        if not any(key.startswith(f"{group}.") for key in known_keys()):
            yield f"there is no group {group}"
    settings = load_settings(parse_args(COMMAND.split()))
    (beam_search,) = (one for one in enabled_strategies(settings) if one.kind == "beam_search")
    if beam_search.width != 5 or settings.benchmark.num_problems != 10:
        yield f"{COMMAND!r} is not taken as it says"
    try:
        load_settings(parse_args(["beam_search.beam_widht=5"]))
    except trio_beam.ConfigError as error:
        if "beam_search.beam_width" not in str(error):
            yield f"a misspelt key is refused without the nearest: {error}"
    else:
        yield "a misspelt key is taken"


def problem_sets() -> Iterator[str]:
    """Every problem set opens, grades asynchronously, and says how to answer."""
    from trio_beam.benchmark.registry import NAMES, open_benchmark  # noqa: PLC0415  # of bench

    for name in NAMES:
        benchmark = open_benchmark(name)
        if benchmark.name != name or not benchmark.instruction:
            yield f"{name} does not say what it is"
        for method in ("grade", "aclose"):
            if not inspect.iscoroutinefunction(getattr(benchmark, method)):
                yield f"{name}: {method} is not asynchronous"


CHECKS = (public_names, strategy, coroutines, bad_values, benchmark_command, problem_sets)


def run(checks: Iterable[Callable[[], Iterator[str]]] = CHECKS) -> int:
    """Print what each check finds; the exit code."""
    wrong = 0
    for check in checks:
        faults: list[str] = []
        try:
            faults.extend(check())
        except ModuleNotFoundError as error:
            install = 'install the extra "bench" (uv run --all-extras ...)'
            faults.append(f"{error.name} is missing: {install}")
        except Exception as error:  # one broken check must not hide the others
            faults.append(f"{type(error).__name__}: {error}")
        wrong += len(faults)
        print(f"{'FAILED' if faults else 'ok':6} {(check.__doc__ or '').strip()}")
        for fault in faults:
            print(f"       {fault}", file=sys.stderr)
    print("\nThe interface is as documented." if not wrong else f"\n{wrong} things are wrong.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run())
