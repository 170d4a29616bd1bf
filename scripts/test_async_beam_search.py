#!/usr/bin/env python
"""The original's test of a search on a real model, under its name and with its output.

It asks the model that run_benchmark.py would ask: the hosted one of XAI_API_KEY, the server at
OPENAI_BASE_URL, else the embedded one. ``model.key=value`` names another:

uv run --python 3.12 python test_async_beam_search.py
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import trio
from test_live import run_script  # first: it says what is missing

from trio_beam import BeamSearchSampling
from trio_beam.benchmark.config import load_settings, parse_args
from trio_beam.benchmark.models import choose_model, read_environment

RULE = "=" * 60
PROMPT = '''Write a Python function to calculate the factorial of a number.

def factorial(n):
    """Calculate factorial of n."""
'''
MODEL = "model.xai.name=grok-2-1212"


async def search(args: Sequence[str]) -> int:
    """Search as the original does, and print what it prints."""
    model = choose_model(load_settings(parse_args([MODEL, *args])), read_environment())
    print(RULE, "Testing Async Beam Search", RULE, sep="\n")
    print(*filter(None, [model.why]), f"\nPrompt:\n{PROMPT}\n", sep="\n")
    print("Generating with async beam search...")
    strategy = BeamSearchSampling(debug=True)
    start = trio.current_time()
    async with model.open() as endpoint:
        messages = [{"role": "user", "content": PROMPT}]
        completion, prompt_tokens, completion_tokens = await strategy._generate_async(  # noqa: SLF001  # the original's
            endpoint, messages, 512
        )
    elapsed = trio.current_time() - start
    total = prompt_tokens + completion_tokens
    print("", RULE, "RESULTS", RULE, f"\n✅ Completion ({elapsed:.2f}s):", completion, sep="\n")
    print(f"\n📊 Tokens: {prompt_tokens} prompt + {completion_tokens} completion = {total} total")
    print(f"⚡ Expansions: {strategy.get_num_expansions()}")
    print(f"🎯 Best score: {strategy.get_best_score():.4f}")
    print(f"⏱️  Time: {elapsed:.2f}s")
    if "def factorial" in completion or "return" in completion:
        print("\n✅ Test PASSED: Generated code contains expected patterns")
    else:
        print("\n⚠️  Test WARNING: Generated code may not be correct")
    print(f"\n{RULE}")
    return 0


if __name__ == "__main__":
    sys.exit(run_script(search, sys.argv[1:], __doc__))
