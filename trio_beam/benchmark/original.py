"""The original's names that differ from ours, and its keys with another meaning here.

They make its commands and default files work. Unsupported features are refused by name: keys here by
their `Parameter`, benchmarks in `registry`.
"""

from __future__ import annotations

from typing import Any

import attrs

from trio_beam.core.validation import Parameter

#: Aliases of benchmarks.
BENCHMARKS = {"math": "math500"}
#: Its unsupported benchmarks, with the reason.
NO_BENCHMARKS = {
    **dict.fromkeys(
        ("swebench", "swebench-verified"),
        "SWE-bench is graded by its own harness, in a container for each repository",
    ),
    **dict.fromkeys(
        ("arcagi2", "arcagi2-train"), "reasoning_gym:arc_agi has puzzles of the kind of ARC-AGI"
    ),
}
#: Aliases of groups: the original's, and one of our earlier names.
GROUPS = {"temperature_sampling": "sample", "power": "power_sampling"}
#: Aliases of keys.
KEYS = {
    "mcmc.block_size": "mcmc.tokens_per_step",
    "mcmc_parallel.block_size": "mcmc_parallel.tokens_per_step",
    # It sends the proposals of one step concurrently, as our chains send their steps.
    "mcmc_parallel.num_proposals": "mcmc_parallel.chains",
    "self_consistency.vote_by": "self_consistency.by",
}
#: Groups besides those of the registered strategies, with the strategy that each runs.
MORE_GROUPS = {"mcmc_parallel": "mcmc"}
#: The runner's defaults that differ from the declared ones.
DEFAULTS: dict[str, Any] = {
    "greedy.enabled": True,
    "sample.temperature": 0.8,
    "mcmc_parallel.chains": 4,
}
#: Its label formats; labels of other strategies list their own parameters.
LABELS = {
    "beam_search": "BeamSearch(α={alpha},width={beam_width},n={n_per_beam},tps={tokens_per_step})",
    "greedy": "Greedy",
    "mcmc": "MCMC(α={alpha},steps={steps},B={tokens_per_step})",
    "mcmc_parallel": "ParallelMCMC(α={alpha},steps={steps},B={tokens_per_step},N={chains})",
    "sample": "Temperature(T={temperature})",
}


@attrs.frozen
class Extra:
    """A key of a strategy's group that is not a parameter of the strategy."""

    parameter: Parameter
    default: Any = None


def _only(value: Any, why: str) -> Extra:
    """A key with only one supported value."""
    return Extra(Parameter(kind="choice", choices=(value,), help=why), value)


_SAME_DISTRIBUTION = "with {} it would sample from another distribution"
_LIMITS = {
    "max_concurrent": Extra(
        Parameter(kind="integer", minimum=1, optional=True, help="Overrides model.max_concurrent.")
    ),
    "timeout": Extra(
        Parameter(
            kind="number",
            minimum=0,
            above=True,
            optional=True,
            unit="seconds",
            help="Overrides model.attempt_timeout.",
        )
    ),
}
#: These keys by group. Limits apply to all requests of a run, since it has one endpoint.
EXTRA: dict[str, dict[str, Extra]] = {
    "beam_search": _LIMITS,
    "mcmc": {
        "restrict_to_last_n": _only(
            None,
            "null: to propose changes near the end alone would sample from another distribution",
        )
    },
    "mcmc_parallel": {
        **_LIMITS,
        "max_retries": Extra(
            Parameter(
                kind="integer",
                minimum=0,
                optional=True,
                help="Retries of a request; overrides model.retry.attempts, less one.",
            )
        ),
        "use_length_penalty": _only(
            False, "false: with a length penalty it would sample from another distribution"
        ),
        "length_penalty": Extra(
            Parameter(
                kind="number", minimum=0, optional=True, help="No effect: see use_length_penalty."
            )
        ),
    },
}
