"""The keys of a benchmark run and their types; ``config.yaml`` beside this file has their defaults."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.define(kw_only=True)
class LocalModel:
    """The embedded model, or another GGUF file."""

    model_file: str | None
    slots: int
    context: int
    threads: int | None


@attrs.define(kw_only=True)
class ServedModel:
    """A model on a server."""

    name: str | None
    base_url: str | None
    api_key_env: str


@attrs.define(kw_only=True)
class ModelGroup:
    """Which model answers, and how it is asked."""

    provider: str
    name: str | None
    base_url: str | None
    api: str
    dialect: str
    max_concurrent: Any
    attempt_timeout: float
    stream: bool
    local: LocalModel
    xai: ServedModel
    ollama: ServedModel
    vllm: ServedModel
    runpod: ServedModel
    openai: ServedModel


@attrs.define(kw_only=True)
class BenchmarkGroup:
    """Which problems, and how many at the same time."""

    name: str
    num_problems: int | None
    max_tokens: int
    seed: int | None
    max_concurrent_problems: int
    allow_code_execution: bool
    data_dir: str | None
    stop_after_failures: int


@attrs.define(kw_only=True)
class PromptGroup:
    """What is made of a problem before the model sees it."""

    chat: bool
    system: str | None
    template: str
    prefix: str
    suffix: str


@attrs.define(kw_only=True)
class GreedyGroup:
    """The most probable token, one after the other."""

    enabled: bool
    suffix: str | None


@attrs.define(kw_only=True)
class TemperatureGroup:
    """One sample."""

    enabled: bool
    temperature: float


@attrs.define(kw_only=True)
class BeamSearchGroup:
    """Block-level beam search."""

    enabled: bool
    alpha: float
    beam_width: int
    n_per_beam: int
    tokens_per_step: int
    use_length_penalty: bool
    length_penalty: float
    proposal_temperature: float
    top_logprobs: int
    early_stopping: Any
    selection: str
    scorer: str
    proposal: str
    max_total_tokens: int | None
    max_concurrent: int | None
    timeout: float | None
    debug: bool


@attrs.define(kw_only=True)
class McmcGroup:
    """Metropolis-Hastings for p^alpha."""

    enabled: bool
    alpha: float
    steps: int
    chains: int
    block_size: int
    proposal_temperature: float
    top_logprobs: int
    restrict_to_last_n: int | None
    debug: bool


@attrs.define(kw_only=True)
class BestOfNGroup:
    """The best-scored one of n samples."""

    enabled: bool
    n: int
    temperature: float
    alpha: float
    use_length_penalty: bool
    length_penalty: float


@attrs.define(kw_only=True)
class SelfConsistencyGroup:
    """The answer that most of n samples give."""

    enabled: bool
    n: int
    temperature: float
    vote_by: str


@attrs.define(kw_only=True)
class PowerGroup:
    """Sampling from p^alpha by sequential Monte Carlo: selection by resampling."""

    enabled: bool
    alpha: float
    particles: int
    n_per_beam: int
    tokens_per_step: int
    ess_threshold: float
    lookahead_tokens: int
    lookahead_rollouts: int
    debug: bool


@attrs.define(kw_only=True)
class OutputGroup:
    """What is written, and where."""

    results_dir: str
    dir: str | None
    save_results: bool
    plots: bool
    verbose: bool
    retry_failed: bool


@attrs.define(kw_only=True)
class Settings:
    """Everything that a run is told."""

    model: ModelGroup
    benchmark: BenchmarkGroup
    prompt: PromptGroup
    greedy: GreedyGroup
    temperature_sampling: TemperatureGroup
    beam_search: BeamSearchGroup
    mcmc: McmcGroup
    best_of_n: BestOfNGroup
    self_consistency: SelfConsistencyGroup
    power: PowerGroup
    output: OutputGroup
