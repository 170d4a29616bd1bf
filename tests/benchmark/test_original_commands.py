"""Every command that the documents of the original give means here what it says.

They are the words behind ``run_benchmark.py`` in its README, its guides, its docstring and its script of
experiments.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from trio_beam.benchmark.config import all_values, load_settings, parse_args
from trio_beam.benchmark.config_files import find_config
from trio_beam.benchmark.keys import canonical
from trio_beam.benchmark.overrides import combinations
from trio_beam.benchmark.plan import Plan, make_plan
from trio_beam.core.config import BeamSearchConfig
from trio_beam.errors import ConfigError

ENVIRONMENT = {"XAI_API_KEY": "a key"}

COMMANDS = [
    "",
    "mcmc.steps=5",
    "mcmc.alpha=2.0",
    "mcmc.alpha=4.0 benchmark.num_problems=20",
    "mcmc.steps=5 mcmc.alpha=2.0 benchmark.num_problems=20",
    "mcmc.enabled=true mcmc.steps=10 mcmc.alpha=4.0",
    "benchmark.num_problems=20",
    "benchmark.num_problems=5",
    "model.name=grok-3",
    "model.name=grok-beta",
    "benchmark.name=humaneval",
    "benchmark.name=swebench benchmark.num_problems=5",
    "benchmark.name=swebench-verified benchmark.num_problems=5",
    "benchmark.name=swebench benchmark.num_problems=5 benchmark.max_tokens=2048",
    "benchmark.name=humaneval benchmark.num_problems=10 benchmark.max_tokens=512",
    "benchmark.name=gsm8k benchmark.num_problems=30 benchmark.max_tokens=512",
    (
        "benchmark.name=humaneval model.name=grok-2-1212 benchmark.num_problems=20 mcmc.alpha=4.0"
        " mcmc.steps=10"
    ),
    "beam_search.enabled=true",
    "beam_search.enabled=true mcmc.enabled=false greedy.enabled=false",
    "beam_search.enabled=true mcmc.enabled=false greedy.enabled=false benchmark.num_problems=10",
    (
        "beam_search.enabled=true mcmc.enabled=false temperature_sampling.enabled=false"
        " greedy.enabled=false"
    ),
    "beam_search.enabled=true mcmc.enabled=true",
    "beam_search.enabled=true mcmc.enabled=true benchmark.num_problems=10",
    (
        "beam_search.enabled=true beam_search.beam_width=5 beam_search.n_per_beam=5"
        " beam_search.debug=true benchmark.num_problems=10"
    ),
    (
        "beam_search.enabled=true beam_search.beam_width=5 beam_search.n_per_beam=5 beam_search.alpha=4.0"
        " beam_search.tokens_per_step=192 beam_search.length_penalty=0.6"
    ),
    (
        "beam_search.enabled=true beam_search.beam_width=5 beam_search.n_per_beam=5"
        " beam_search.tokens_per_step=256 beam_search.length_penalty=0.8 benchmark.name=gsm8k"
        " benchmark.num_problems=30 benchmark.max_tokens=512"
    ),
    (
        "beam_search.enabled=true beam_search.alpha=2.0 beam_search.beam_width=10"
        " beam_search.tokens_per_step=100 beam_search.debug=true benchmark.num_problems=5"
    ),
    (
        "beam_search.enabled=true beam_search.alpha=4.0 beam_search.beam_width=5"
        " beam_search.tokens_per_step=192 beam_search.debug=true benchmark.num_problems=10"
    ),
    (
        "beam_search.enabled=true beam_search.alpha=4.0 beam_search.beam_width=5"
        " beam_search.length_penalty=0.7"
    ),
    (
        "beam_search.enabled=true beam_search.beam_width=3 beam_search.tokens_per_step=256"
        " beam_search.alpha=2.0 benchmark.num_problems=5"
    ),
    (
        "beam_search.enabled=true beam_search.beam_width=10 beam_search.tokens_per_step=50"
        " beam_search.alpha=6.0"
    ),
    "beam_search.enabled=true beam_search.beam_width=10 beam_search.n_per_beam=5",
    "beam_search.enabled=true beam_search.beam_width=3 beam_search.n_per_beam=3",
    "beam_search.enabled=true beam_search.debug=true benchmark.num_problems=2",
    "beam_search.enabled=true beam_search.debug=true benchmark.num_problems=1",
    "beam_search.enabled=true benchmark.num_problems=5",
    "beam_search.enabled=true benchmark.num_problems=50 benchmark.max_tokens=1024",
    "beam_search.alpha=6.0 beam_search.beam_width=3",
    "beam_search.alpha=6.0 beam_search.beam_width=3 benchmark.num_problems=20",
    (
        "beam_search.enabled=true beam_search.beam_width=10 beam_search.tokens_per_step=50"
        " beam_search.length_penalty=0.8 benchmark.num_problems=20"
    ),
    "beam_search.beam_width=3",
    "beam_search.beam_width=3 beam_search.tokens_per_step=256",
    "beam_search.tokens_per_step=256",
    "beam_search.beam_width=10 beam_search.alpha=6.0",
    "beam_search.length_penalty=0.8",
    "beam_search.debug=true beam_search.enabled=true",
    "beam_search.debug=true benchmark.num_problems=1",
    "benchmark.num_problems=2 beam_search.debug=true",
    (
        "benchmark.name=gsm8k benchmark.num_problems=30 benchmark.max_tokens=2048 beam_search.enabled=true"
        " beam_search.beam_width=3 beam_search.n_per_beam=5 beam_search.alpha=4.0"
        " beam_search.tokens_per_step=256 greedy.enabled=true mcmc.enabled=false"
        " temperature_sampling.enabled=false"
    ),
]

#: In its documents MCMC was still switched on by default; in its last configuration it is not.
NOTHING_SWITCHED_ON = [
    "greedy.enabled=false temperature_sampling.enabled=false",
    "greedy.enabled=false temperature_sampling.enabled=false mcmc.alpha=4.0 mcmc.steps=5",
]

#: Of its file of defaults: each key that is no command of its own.
KEYS = [
    "model.provider=xai",
    "model.xai.name=grok-3-mini",
    "model.xai.base_url=https://example.org/v1",
    "model.ollama.name=smollm2:1.7b",
    "model.ollama.base_url=http://localhost:11434/v1",
    "model.vllm.name=HuggingFaceTB/SmolLM2-1.7B-Instruct",
    "model.vllm.base_url=http://localhost:8000/v1",
    "model.runpod.name=Qwen/Qwen3-8B",
    "model.runpod.base_url=null",
    "benchmark.seed=42",
    "benchmark.seed=null",
    "benchmark.num_problems=null",
    r"prompt.prefix=Think: ",
    "prompt.suffix=, step by step",
    "mcmc.top_logprobs=5",
    "mcmc.proposal_temperature=0.59",
    "mcmc.restrict_to_last_n=null",
    "mcmc.block_size=192",
    "mcmc.debug=true",
    "mcmc_parallel.enabled=true",
    "mcmc_parallel.alpha=1.67",
    "mcmc_parallel.steps=1",
    "mcmc_parallel.top_logprobs=10",
    "mcmc_parallel.proposal_temperature=0.1",
    "mcmc_parallel.block_size=256",
    "mcmc_parallel.debug=true",
    "mcmc_parallel.use_length_penalty=false",
    "mcmc_parallel.length_penalty=0.6",
    "mcmc_parallel.num_proposals=10",
    "mcmc_parallel.max_concurrent=100",
    "mcmc_parallel.timeout=60.0",
    "mcmc_parallel.max_retries=3",
    "beam_search.max_concurrent=100",
    "beam_search.timeout=300.0",
    "beam_search.use_length_penalty=false",
    "beam_search.length_penalty=0.0",
    "beam_search.proposal_temperature=0.5",
    "beam_search.top_logprobs=15",
    "temperature_sampling.temperature=0.8",
    "greedy.suffix=, step by step",
    "output.verbose=true",
    "output.save_results=false",
    "output.results_dir=./results",
]


def plans_of(command: str) -> list[Plan]:
    chosen = combinations(parse_args(command.split()))
    return [make_plan(load_settings(words), ENVIRONMENT) for words in chosen]


@pytest.mark.parametrize("command", [*COMMANDS, *NOTHING_SWITCHED_ON])
def test_each_word_sets_its_key_and_nothing_else(command: str) -> None:
    args = dict(arg.split("=") for arg in command.split())
    given = {canonical(key): yaml.safe_load(value) for key, value in args.items()}
    settings = load_settings(parse_args(command.split()))
    assert all_values(settings) == all_values(load_settings([])) | given


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_a_plan_of_the_strategies_that_are_on(command: str) -> None:
    (plan,) = plans_of(command)
    kinds = [one.kind for one in plan.strategies]
    assert ("greedy" in kinds) == ("greedy.enabled=false" not in command)
    assert ("beam_search" in kinds) == ("beam_search.enabled=true" in command)
    assert ("mcmc" in kinds) == ("mcmc.enabled=true" in command)
    assert plan.model.provider == "xai"  # its key is there


@pytest.mark.parametrize("command", NOTHING_SWITCHED_ON)
def test_without_a_strategy_it_says_which_there_are(command: str) -> None:
    with pytest.raises(ConfigError, match=r"greedy\.enabled.*mcmc\.enabled"):
        plans_of(command)


@pytest.mark.parametrize("word", KEYS)
def test_each_key_of_its_file_of_defaults_is_known(word: str) -> None:
    key, _, text = word.partition("=")
    settings = load_settings(parse_args([word]))
    value = all_values(settings)[canonical(key)]
    assert str(value).lower() == text.replace("null", "none").lower()
    make_plan(settings, ENVIRONMENT)


def plain(text: str) -> Any:
    """A value as its files have it: quoted, where it would not be a text."""
    return text if text.startswith((",", "Think")) else yaml.safe_load(text)


def test_a_file_of_all_its_keys_is_taken(tmp_path: Path) -> None:
    content: dict[str, Any] = {"defaults": ["_self_"]}
    for arg in KEYS:
        key, _, text = arg.partition("=")
        *groups, name = key.split(".")
        inner = content
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[name] = plain(text)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    settings = load_settings([], find_config(None, tmp_path, Path()))
    values = all_values(settings)
    last = {arg.partition("=")[0]: arg for arg in KEYS}
    for arg in last.values():
        key, _, text = arg.partition("=")
        assert values[canonical(key)] == plain(text), key
    parallel = settings.strategies["mcmc_parallel"]
    assert (parallel.given["tokens_per_step"], parallel.given["chains"]) == (256, 10)
    make_plan(settings, ENVIRONMENT)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("mcmc.restrict_to_last_n=4", "mcmc.restrict_to_last_n must be null: to propose changes"),
        (
            "mcmc_parallel.use_length_penalty=true",
            "mcmc_parallel.use_length_penalty must be false: with a length penalty it would",
        ),
    ],
)
def test_what_would_sample_from_another_distribution_is_refused(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(parse_args([word]))
    assert str(caught.value).startswith(message)


def test_its_debug_lines_have_16_blocks_of_192() -> None:
    (plan,) = plans_of("beam_search.enabled=true greedy.enabled=false")
    (config,) = (one.config for one in plan.strategies)
    assert (config.rounds, config.tokens_per_step) == (16, 192)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("benchmark.name=humaneval,gsm8k", 2),
        ("mcmc.enabled=true mcmc.steps=range(1,4)", 3),
        ("beam_search.enabled=true beam_search.alpha=choice(2.0,4.0)", 2),
        ("benchmark.name=humaneval,swebench", 2),
        ("mcmc.enabled=true mcmc.alpha=1.0,1.67,4.0", 3),
        ("mcmc.alpha=1.0,1.67,4.0", 3),
        ("benchmark.name=humaneval,swebench mcmc.alpha=1.67,4.0", 4),
        ("beam_search.alpha=2.0,4.0,6.0", 3),
        ("beam_search.enabled=true beam_search.beam_width=2,5,10", 3),
        ("beam_search.enabled=true beam_search.beam_width=2,5 beam_search.n_per_beam=2,5", 4),
    ],
)
def test_its_sweeps_have_each_combination_once(command: str, expected: int) -> None:
    plans = plans_of(command)
    assert len(plans) == expected
    swept = [canonical(word.split("=")[0]) for word in command.split() if "," in word]
    seen = [tuple(all_values(plan.settings)[key] for key in swept) for plan in plans]
    assert len(set(seen)) == expected


def test_the_sweep_of_widths_is_in_its_order() -> None:
    plans = plans_of(
        "beam_search.enabled=true beam_search.beam_width=2,5 beam_search.n_per_beam=2,5"
    )
    configs = [plan.strategies[-1].config for plan in plans]
    assert all(isinstance(config, BeamSearchConfig) for config in configs)
    assert [(c.beam_width, c.n_per_beam) for c in configs if isinstance(c, BeamSearchConfig)] == [
        (2, 2),
        (2, 5),
        (5, 2),
        (5, 5),
    ]
    assert len({plan.folder for plan in plans}) == 4


def test_its_own_model_wants_its_key() -> None:
    with pytest.raises(ConfigError, match="XAI_API_KEY"):
        make_plan(load_settings(parse_args(["model.name=grok-3"])), {})
