"""An observer: the best text so far, after every round."""

import os

import trio

import trio_beam


def show(event: trio_beam.Event) -> None:
    match event:
        case trio_beam.RoundFinished(round=number, rounds=rounds, best=best):
            print(f"round {number} of {rounds}, {best.length} tokens: {best.text!r}")
        case trio_beam.RequestRetried(error=error, wait=wait):
            print(f"again in {wait:.1f} s: {error}")
        case trio_beam.SearchFinished(result=result):
            print(f"done: {result.stop_reason}")


async def main() -> None:
    async with trio.open_nursery() as nursery:
        base_url = os.environ.get("OPENAI_BASE_URL") or await nursery.start(trio_beam.serve_local)
        async with trio_beam.Endpoint(base_url) as endpoint:
            config = trio_beam.BeamSearchConfig(tokens_per_step=6, max_tokens=30, seed=2)
            await trio_beam.search(endpoint, "Once upon a time", config, observers=[show])
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
