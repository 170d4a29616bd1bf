"""The runner's keys, declared like the parameters of strategies, and the settings built from all keys.

`keys` takes the keys of strategies from the declarations in `trio_beam.strategies`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from trio_beam.benchmark.providers import PROVIDERS
from trio_beam.core.validation import Parameter, boolean, field, integer, number, one_of
from trio_beam.endpoint.retry import RetryPolicy


def text(default: str | None = None, *, optional: bool = False, help: str) -> Any:  # noqa: A002
    """Declare a text, possibly empty; optional without a default."""
    optional = optional or default is None
    parameter = Parameter(kind="text", choices=("",), optional=optional, help=help)
    return field(parameter, default)


def mapping(*, help: str) -> Any:  # noqa: A002
    """Declare an open mapping, which accepts any key below its own."""
    parameter = Parameter(kind="mapping", help=help)
    return field(parameter, attrs.Factory(dict))


@attrs.frozen(kw_only=True)
class LocalModel:
    """The embedded model, or another GGUF file."""

    model_file: str | None = text(help="A GGUF file; null: the embedded model.")
    slots: int = integer(8, minimum=1, help="Number of concurrent sequences.")
    context: int = integer(4096, minimum=1, unit="tokens", help="Context length per slot.")
    threads: int | None = integer(
        None,
        minimum=1,
        optional=True,
        help="null: one per core; on a busy machine fewer are faster.",
    )


@attrs.frozen(kw_only=True)
class ServedModel:
    """A model on a provider's server."""

    name: str | None = text(help="null: the provider's default, or the only one the server lists.")
    base_url: str | None = text(help="null: the environment's, or the provider's own.")
    api_key_env: str | None = text(help="Environment variable with the API key.")


def _served() -> dict[str, ServedModel]:
    return {
        name: ServedModel(
            name=one.model if one.elsewhere else None,
            base_url=None if one.base_url_env else one.base_url,
            api_key_env=one.api_key_env,
        )
        for name, one in PROVIDERS.items()
    }


def _price(words: str) -> Any:
    unit = "USD per million tokens"
    return number(None, minimum=0, optional=True, unit=unit, help=words)


@attrs.frozen(kw_only=True)
class ModelGroup:
    """The model and the options of its requests."""

    provider: str = one_of(
        "auto",
        "local",
        *PROVIDERS,
        help="Kind of server; auto: inferred from the base URL, the name or the environment.",
    )
    name: str | None = text(help="Overrides the provider's model name.")
    base_url: str | None = text(help="Overrides the provider's address.")
    api: Literal["auto", "completions", "chat"] = one_of(
        "auto", "completions", "chat", help="OpenAI call to use; auto: chat for messages."
    )
    dialect: str = text("auto", help="The server's dialect; auto: detect it.")
    headers: Mapping[str, str] = mapping(
        help="Headers of every request. Their values may be secret and are never written."
    )
    extra_body: Mapping[str, Any] = mapping(
        help="Fields of every request, such as reasoning_effort or chat_template_kwargs."
    )
    max_concurrent: int | Literal["auto"] = integer(
        100, minimum=1, choices=("auto",), help="Maximum number of requests in flight."
    )
    requests_per_minute: int | None = integer(
        None, minimum=1, optional=True, help="Sent in any minute; null: what the server says."
    )
    tokens_per_minute: int | None = integer(
        None, minimum=1, optional=True, help="Prompt and new tokens in any minute, likewise."
    )
    rate_file: str | None = text(help="File through which processes share these two limits.")
    attempt_timeout: float | None = number(
        300.0, above=0, optional=True, unit="seconds", help="Limit for one attempt of a request."
    )
    stream: bool = boolean(default=False, help="Whether to request streamed responses.")
    prices: str = text(
        "auto",
        help="Whose price list holds: a provider's, such as openai; none; auto: by the server's address, or"
        " by the model's name if only its maker offers it.",
    )
    price_input: float | None = _price("Tokens of prompts: a price list of your own.")
    price_output: float | None = _price("Generated tokens.")
    price_cached: float | None = _price("Tokens of prompts that are cached; null: as price_input.")
    cache: str | None = text(
        help="Folder of responses, which are kept there and not asked for again; answers need benchmark.seed."
    )
    retry: RetryPolicy = attrs.field(factory=RetryPolicy)
    local: LocalModel = attrs.field(factory=LocalModel)
    served: Mapping[str, ServedModel] = attrs.field(factory=_served)


@attrs.frozen(kw_only=True)
class BenchmarkGroup:
    """The problems, and how many run concurrently."""

    name: str = text("humaneval", help="Name of the benchmark: see docs/problems.md.")
    num_problems: int | None = integer(
        10, minimum=1, optional=True, help="Number of problems, from the first; null: all."
    )
    # As in the original: 16 blocks of the default length.
    max_tokens: int = integer(
        3072, minimum=1, unit="tokens", help="Maximum length of a completion, in every strategy."
    )
    seed: int | None = integer(
        42, minimum=0, optional=True, help="null: the server's own randomness."
    )
    samples: int = integer(
        1,
        minimum=1,
        help="Number of independent answers of each strategy to each problem, for pass@k, avg@k and maj@k.",
    )
    max_concurrent_problems: int = integer(
        8, minimum=1, help="Maximum number of concurrent problems."
    )
    allow_code_execution: bool = boolean(
        default=False,
        help="Whether to run answers that are programs, in a sandbox; if not, they are not graded.",
    )
    data_dir: str | None = text(help="Folder with files to use instead of the hub's.")
    stop_after_failures: int = integer(
        10, minimum=1, help="Number of consecutive failures that ends the run."
    )


@attrs.frozen(kw_only=True)
class PromptGroup:
    """The text around a problem."""

    chat: bool = boolean(
        default=True, help="Whether to send a user message; if not, a text to continue."
    )
    system: str | None = text(
        help="System message; null: the benchmark's own instruction (with chat), empty: none."
    )
    template: str = text("{prompt}", help="Template around the prefix, the problem and the suffix.")
    prefix: str = text("", help="Text before the problem.")
    suffix: str = text("", help="Text after the problem.")


@attrs.frozen(kw_only=True)
class StrategyGroup:
    """A strategy of a run.

    Attributes:
        given: its parameters that were set; the others have their declared defaults.
        extra: the original's keys that are not parameters of the strategy.
    """

    enabled: bool = boolean(default=False, help="Whether to run it.")
    suffix: str | None = text(help="Replaces prompt.suffix for this strategy.")
    debug: bool = boolean(default=False, help="Whether to print the [BeamSearch] lines.")
    given: Mapping[str, Any] = attrs.field(factory=dict)
    extra: Mapping[str, Any] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class OutputGroup:
    """The output files."""

    results_dir: str = text("./results", help="Parent folder of all runs.")
    dir: str | None = text(
        help="Folder of this run; null: one in results_dir, named after everything answers depend on."
    )
    save_results: bool = boolean(
        default=True,
        help="Whether to write results.json, results.csv, report.md and predictions.",
    )
    predictions_dir: str | None = text(
        "./predictions",
        optional=True,
        help="Folder for predictions under the original's names; null: none.",
    )
    plots: bool = boolean(default=True, help="Whether to draw plots.")
    verbose: bool = boolean(default=False, help="Whether to print the configuration first.")
    retry_failed: bool = boolean(
        default=False, help="Whether a resumed run retries failed problems."
    )


@attrs.frozen(kw_only=True)
class Settings:
    """The settings of one run.

    Attributes:
        strategies: by group name.
    """

    model: ModelGroup = attrs.field(factory=ModelGroup)
    benchmark: BenchmarkGroup = attrs.field(factory=BenchmarkGroup)
    prompt: PromptGroup = attrs.field(factory=PromptGroup)
    strategies: Mapping[str, StrategyGroup] = attrs.field(factory=dict)
    output: OutputGroup = attrs.field(factory=OutputGroup)
