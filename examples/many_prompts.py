"""Many prompts on one endpoint, a line of JSON for each as it is ready.

One that fails has its error in its line, and stops none of the others.
"""

import json
import os

import trio

import trio_beam

PROMPTS = [f"{name} lives in the" for name in ("A whale", "A camel", "A monkey", "A penguin")]


async def main() -> None:
    config = trio_beam.BeamSearchConfig(beam_width=2, tokens_per_step=6, max_tokens=12, seed=1)
    async with trio.open_nursery() as nursery:
        base_url = os.environ.get("OPENAI_BASE_URL") or await nursery.start(trio_beam.serve_local)
        async with (
            trio_beam.Endpoint(base_url) as endpoint,
            # Prompts may come from an endless source: they are read as searches end.
            trio_beam.search_many(endpoint, PROMPTS, config, max_searches=2) as outcomes,
        ):
            async for outcome in outcomes:
                line = {"prompt": PROMPTS[outcome.index]}
                if outcome.result is not None:
                    line["text"] = outcome.result.text
                else:
                    line["error"] = str(outcome.error)
                print(json.dumps(line), flush=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
