"""One search over the embedded model, or over the server that OPENAI_BASE_URL names."""

import os

import trio

import trio_beam


async def main() -> None:
    async with trio.open_nursery() as nursery:
        # The embedded model's server is a task of this nursery, and ends with it.
        base_url = os.environ.get("OPENAI_BASE_URL") or await nursery.start(trio_beam.serve_local)
        async with trio_beam.Endpoint(base_url) as endpoint:
            config = trio_beam.BeamSearchConfig(
                beam_width=3, n_per_beam=2, tokens_per_step=8, max_tokens=32, seed=1
            )
            messages = [{"role": "user", "content": "What is a black hole, in one sentence?"}]
            result = await trio_beam.search(endpoint, messages, config)
        nursery.cancel_scope.cancel()

    print(result.text)
    for beam in result.beams:
        print(f"{beam.score:8.2f}  {beam.length} tokens, {beam.finish_reason}")
    print(f"{result.rounds} rounds, {result.usage.completion_tokens} tokens generated")


if __name__ == "__main__":
    trio.run(main)
