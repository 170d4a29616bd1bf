"""The anytime search: a deadline, and the best that there is by then.

It runs in virtual time, so that ten minutes for each answer of the model take none.
"""

import trio
import trio.testing

import trio_beam
from trio_beam.testing import FakeEndpoint

MINUTE = 60.0


async def main() -> None:
    model = FakeEndpoint(latency=10 * MINUTE)
    config = trio_beam.BeamSearchConfig(tokens_per_step=2, max_tokens=12, seed=11)
    for minutes in (5, 25, 120):
        start = trio.current_time()
        result = await trio_beam.search_within(minutes * MINUTE, model, "Once upon a time", config)
        took = (trio.current_time() - start) / MINUTE
        print(
            f"{minutes} minutes: {result.stop_reason} after {took:g},"
            f" {result.rounds} rounds, {result.text!r}"
        )


if __name__ == "__main__":
    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
