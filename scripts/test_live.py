#!/usr/bin/env python
"""Run one small, real beam search and check its result; exit code 1 if it is wrong.

It asks the server at OPENAI_BASE_URL, or the model whose key is in the environment or in a file .env
(XAI_API_KEY, OPENAI_API_KEY), else the embedded one. ``group.key=value`` changes anything, as for
run_benchmark.py:

uv run --all-extras python scripts/test_live.py beam_search.beam_width=5
"""

from __future__ import annotations

import math
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import trio

try:
    import click

    from trio_beam.benchmark.config import load_settings, parse_args
    from trio_beam.benchmark.models import choose_model, read_environment
    from trio_beam.benchmark.strategies import enabled_strategies
    from trio_beam.command.runner import run
    from trio_beam.core.config import BeamSearchConfig
    from trio_beam.core.result import SearchResult
    from trio_beam.observers.debug import DebugLines
except ModuleNotFoundError as missing:
    sys.exit(
        f"{missing.name} is missing: install the extra bench"
        ' (pip install "trio-beam[bench]", or uv run --all-extras python scripts/test_live.py)'
    )

PROMPT = "What is 2 + 2? Please explain step by step."
SMALL = (
    "greedy.enabled=false",
    "beam_search.enabled=true",
    "beam_search.beam_width=3",
    "beam_search.tokens_per_step=16",
    "beam_search.debug=true",
    "benchmark.max_tokens=48",
)
KEYS = {"XAI_API_KEY": "xai", "OPENAI_API_KEY": "openai"}
SECONDS = 300.0


def faults_of(result: SearchResult, config: BeamSearchConfig) -> Iterator[str]:
    """Return the errors in a result, checked against the documented formulas."""
    if not result.text.strip():
        yield "there is no text"
    if len(result.beams) > config.beam_width:
        yield f"{len(result.beams)} beams came back for a width of {config.beam_width}"
    if [beam.score for beam in result.beams] != sorted(
        (beam.score for beam in result.beams), reverse=True
    ):
        yield "the beams are not in the order of their scores"
    for beam in result.beams:
        length = len(beam.tokens) ** (config.length_penalty if config.use_length_penalty else 0)
        score = config.alpha * sum(token.logprob for token in beam.tokens) / max(length, 1)
        if config.scorer == "power" and not math.isclose(beam.score, score, rel_tol=1e-6):
            yield f"a score is {beam.score}, and {score} by its tokens"
        if len(beam.tokens) > config.max_tokens:
            yield f"a beam has {len(beam.tokens)} tokens, more than {config.max_tokens}"
    longest = max((len(beam.tokens) for beam in result.beams), default=0)
    if result.usage.completion_tokens < longest:
        yield f"{result.usage.completion_tokens} tokens were paid for, and {longest} came back"
    for failure in result.failures:
        yield f"a beam failed: {failure.error}"


def provider_args(args: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    """The provider whose key is there, unless the arguments or OPENAI_BASE_URL name a model."""
    named = any(arg.lstrip("+").startswith("model.") for arg in args)
    if named or environment.get("OPENAI_BASE_URL"):
        return []
    return [f"model.provider={KEYS[key]}" for key in KEYS if environment.get(key)][:1]


async def search(args: Sequence[str]) -> int:
    """Search once and check the result; the exit code."""
    environment = read_environment()
    chosen = provider_args(args, environment)
    settings = load_settings(parse_args([*SMALL, *chosen, *args]))
    model = choose_model(settings, environment)
    (strategy,) = enabled_strategies(settings)
    assert isinstance(strategy.config, BeamSearchConfig)
    print(*filter(None, [model.why]), f"Model: {model.name}", f"Prompt: {PROMPT}", sep="\n")
    print(f"Strategy: {strategy.label}\n")
    observers = [DebugLines(print)] if strategy.debug else []
    with trio.move_on_after(SECONDS) as limit:
        async with model.open() as endpoint:
            prompt = [{"role": "user", "content": PROMPT}]
            result = await strategy.search(endpoint, prompt, settings.benchmark.seed, observers)
    if limit.cancelled_caught:
        print(f"Error: not done within {SECONDS:.0f} s", file=sys.stderr)
        return 1
    show(result)
    faults = list(faults_of(result, strategy.config))
    for fault in faults:
        print(f"Wrong: {fault}", file=sys.stderr)
    print("\nThe live test failed." if faults else "\nThe live test passed.")
    return 1 if faults else 0


def show(result: SearchResult) -> None:
    """Print the result."""
    usage = result.usage
    print(f"\nCompletion: {result.text}")
    print(f"Prompt tokens: {usage.prompt_tokens}")
    print(f"Completion tokens: {usage.completion_tokens}")
    print(f"Total tokens: {usage.prompt_tokens + usage.completion_tokens}")
    print(f"Expansions: {result.rounds}")
    print(f"Best score: {result.score:.4f}")


def run_script(
    work: Callable[[Sequence[str]], Awaitable[int]], args: Sequence[str], doc: str | None
) -> int:
    """Run the work of a script; turn what goes wrong into a line and an exit code."""
    if "-h" in args or "--help" in args:
        print(doc)
        return 0
    try:
        return run(lambda _: work(args))
    except click.ClickException as error:
        print(f"Error: {error.format_message()}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(run_script(search, sys.argv[1:], __doc__))
