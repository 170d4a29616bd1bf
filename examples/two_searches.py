"""Two searches in one nursery: the first good answer wins, and the other search is cancelled.

Nothing of the loser is left: its requests are closed, and the server has seen that.
"""

import os

import trio

import trio_beam
from trio_beam.strategies import best_of_n

PROMPT = "The capital of France is"


async def main() -> None:
    async with trio.open_nursery() as server:
        base_url = os.environ.get("OPENAI_BASE_URL") or await server.start(trio_beam.serve_local)
        async with trio_beam.Endpoint(base_url) as endpoint:
            name, result = await race(
                endpoint,
                {
                    "best of 8": best_of_n(8, max_tokens=24, seed=1),
                    "beam search": trio_beam.BeamSearchConfig(
                        beam_width=4, tokens_per_step=4, max_tokens=16, seed=1
                    ),
                },
            )
            print(f"{name}: {result.text.strip()!r}")
            print(f"requests still in flight: {endpoint.statistics().in_flight}")
        server.cancel_scope.cancel()


async def race(
    endpoint: trio_beam.Endpoint, strategies: dict[str, trio_beam.Strategy]
) -> tuple[str, trio_beam.SearchResult]:
    """Run one search for each strategy at the same time; return the first that mentions Paris."""
    send, receive = trio.open_memory_channel[tuple[str, trio_beam.SearchResult]](len(strategies))

    async def run(name: str, strategy: trio_beam.Strategy) -> None:
        await send.send((name, await trio_beam.search(endpoint, PROMPT, strategy)))

    async with trio.open_nursery() as nursery:
        for name, strategy in strategies.items():
            nursery.start_soon(run, name, strategy)
        for _ in strategies:
            outcome = await receive.receive()
            if "Paris" in outcome[1].text:
                break
        nursery.cancel_scope.cancel()
    return outcome


if __name__ == "__main__":
    trio.run(main)
