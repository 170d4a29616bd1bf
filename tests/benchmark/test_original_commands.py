"""Every command that the documents of the original give means here what it says.

They are the words behind ``run_benchmark.py`` in its README, its guides, its docstring and its script of
experiments.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import yaml

from trio_beam.benchmark.config import load_settings, parse_words
from trio_beam.benchmark.overrides import combinations
from trio_beam.benchmark.plan import Plan, make_plan
from trio_beam.benchmark.settings import Settings
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


def flat(settings: Settings) -> dict[str, Any]:
    def leaves(content: dict[str, Any], prefix: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in content.items():
            inner = leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else None
            found |= {f"{prefix}{name}": value} if inner is None else inner
        return found

    return leaves(attrs.asdict(settings), "")


def plans_of(command: str) -> list[Plan]:
    chosen = combinations(parse_words(command.split()))
    return [make_plan(load_settings(words), ENVIRONMENT) for words in chosen]


@pytest.mark.parametrize("command", [*COMMANDS, *NOTHING_SWITCHED_ON])
def test_each_word_sets_its_key_and_nothing_else(command: str) -> None:
    words = dict(word.split("=") for word in command.split())
    given = {key: yaml.safe_load(value) for key, value in words.items()}
    settings = load_settings(parse_words(command.split()))
    assert flat(settings) == flat(load_settings([])) | given


@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_a_plan_of_the_strategies_that_are_on(command: str) -> None:
    (plan,) = plans_of(command)
    kinds = [one.kind for one in plan.strategies]
    assert ("greedy" in kinds) == ("greedy.enabled=false" not in command)
    assert ("beam_search" in kinds) == ("beam_search.enabled=true" in command)
    assert ("mcmc" in kinds) == ("mcmc.enabled=true" in command)
    assert ("model.name=grok" in command) == (plan.model.provider == "xai")


@pytest.mark.parametrize("command", NOTHING_SWITCHED_ON)
def test_without_a_strategy_it_says_which_there_are(command: str) -> None:
    with pytest.raises(ConfigError, match=r"greedy\.enabled.*mcmc\.enabled"):
        plans_of(command)


@pytest.mark.parametrize("word", KEYS)
def test_each_key_of_its_file_of_defaults_is_known(word: str) -> None:
    key, _, text = word.partition("=")
    settings = load_settings(parse_words([word]))
    value = flat(settings)[key]
    assert str(value).lower() == text.replace("null", "none").lower()
    make_plan(settings, ENVIRONMENT)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("benchmark.name=humaneval,gsm8k", 2),
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
    swept = [word.split("=")[0] for word in command.split() if "," in word]
    seen = [tuple(flat(plan.settings)[key] for key in swept) for plan in plans]
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
        make_plan(load_settings(parse_words(["model.name=grok-3"])), {})
