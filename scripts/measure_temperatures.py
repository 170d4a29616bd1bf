"""Measure how well log Z at a temperature is estimated from 20 alternatives, on whole distributions.

    uv run --extra local python scripts/measure_temperatures.py
    uv run --extra local python scripts/measure_temperatures.py --tokens 3 gemma3-270m-q4_k_m.gguf

Asks llama.cpp for the log-probabilities of the whole vocabulary in a few contexts, shows the 20 most
probable to `dialects.common.temperature`, and prints the mean and the root mean square of the estimate's
error in nats at each temperature. ``--record FILE`` adds what was shown and the truth to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import httpx
import trio

from trio_beam import local_api_key, serve_local
from trio_beam.core.block import Token
from trio_beam.dialects.common.temperature import SHOWN, log_q

TEMPERATURES = (0.25, 0.5, 0.8, 0.99, 1.01, 1.2, 1.5, 2.0)
PROMPTS = (
    "Once upon a time",
    "The capital of France is",
    "def add(a, b):\n",
    "1, 2, 3,",
    "Die Katze sitzt",
    "In physics, energy is",
    "Dear Sir,",
    "Q: What is 17+25?\nA:",
)
_VOCABULARY = 300_000
_NO_PROBABILITY = -1e6


async def distributions(model_file: str | None, tokens: int) -> list[list[float]]:
    """Return the log-probabilities (nats) of the vocabulary in each context, most probable first."""
    rows: list[list[float]] = []

    async def start(task_status: trio.TaskStatus[str]) -> None:
        await serve_local(model_file, slots=1, context=512, task_status=task_status)

    async with trio.open_nursery() as nursery:
        url: str = await nursery.start(start)
        headers = {"Authorization": f"Bearer {local_api_key(url)}"}
        base_url = url.removesuffix("/v1")
        async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=900) as client:
            for number, prompt in enumerate(PROMPTS, 1):
                body = {
                    "prompt": prompt,
                    "n_predict": tokens,
                    "n_probs": _VOCABULARY,
                    "temperature": 1.0,
                    "top_k": 0,
                    "top_p": 1.0,
                    "min_p": 0.0,
                    "seed": 3,
                }
                answer = (await client.post("/completion", json=body)).raise_for_status().json()
                for place in answer["completion_probabilities"]:
                    values = [top["logprob"] for top in place["top_logprobs"]]
                    rows.append(sorted((v for v in values if v > _NO_PROBABILITY), reverse=True))
                print(f"{number} of {len(PROMPTS)} prompts", flush=True)
        nursery.cancel_scope.cancel()
    return rows


def shown(row: list[float]) -> dict[str, Any]:
    """Return what a server shows of a distribution, and the true log Z at each temperature."""
    total = math.log(math.fsum(map(math.exp, row)))  # rounding: not quite 0
    log_z = {
        str(temperature): math.log(math.fsum(math.exp((v - total) / temperature) for v in row))
        for temperature in TEMPERATURES
    }
    return {
        "top": [round(value, 4) for value in row[:SHOWN]],
        "log_z": {temperature: round(value, 4) for temperature, value in log_z.items()},
    }


def error(row: dict[str, Any], temperature: float) -> float:
    """Return the error (nats) of the estimate of log q."""
    top = tuple(Token(str(rank), value, rank) for rank, value in enumerate(row["top"]))
    found = log_q(Token("0", top[0].logprob, 0, top=top), temperature)
    truth: float = top[0].logprob / temperature - row["log_z"][str(temperature)]
    return found - truth


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model_file", nargs="?", help="a GGUF; without one, the embedded model")
    parser.add_argument("--tokens", type=int, default=6, help="contexts per prompt")
    parser.add_argument("--record", type=Path, help="JSON file to add the distributions to")
    args = parser.parse_args()
    rows = [shown(row) for row in trio.run(distributions, args.model_file, args.tokens)]
    print(f"{len(rows)} contexts; error of log q in nats: mean, root mean square, largest")
    for temperature in TEMPERATURES:
        errors = [error(row, temperature) for row in rows]
        mean = math.fsum(errors) / len(errors)
        rms = math.sqrt(math.fsum(value * value for value in errors) / len(errors))
        print(f"T = {temperature:<5g} {mean:+.4f} {rms:.4f} {max(map(abs, errors)):.3f}")
    if args.record is not None:
        name = Path(args.model_file).stem if args.model_file else "embedded"
        known = json.loads(args.record.read_text()) if args.record.exists() else {}
        args.record.write_text(json.dumps(known | {name: rows}))


if __name__ == "__main__":
    main()
