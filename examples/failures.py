"""What a failing server leaves you: the other beams, or the best so far."""

import trio

import trio_beam
from trio_beam.testing import FakeEndpoint

PROMPT = "Once upon a time"


async def main() -> None:
    for on_failure in ("drop_beam", "cancel_siblings"):
        print(on_failure)
        config = trio_beam.BeamSearchConfig(
            beam_width=3, tokens_per_step=2, max_tokens=8, seed=1, on_beam_failure=on_failure
        )
        try:
            result = await trio_beam.search(flaky_model(), PROMPT, config)
        except trio_beam.SearchFailed as failed:
            # Raised from a group of the causes. What was paid for is not lost.
            print(f"  failed: {failed}")
            result = failed.partial
        print(f"  {result.stop_reason}, {result.rounds} rounds: {result.text!r}")
        for failure in result.failures:
            print(f"  a beam failed in round {failure.round}: {failure.error}")


def flaky_model() -> FakeEndpoint:
    """A model that fails for one beam of the third round."""
    lengths: list[int] = []

    async def before(request: trio_beam.SampleRequest) -> None:
        await trio.lowlevel.checkpoint()
        lengths.append(request.beam.length)
        if lengths.count(4) == 2 and request.beam.length == 4:
            raise trio_beam.RequestRejected("the model is not available", status=404)

    return FakeEndpoint(before=before)


if __name__ == "__main__":
    trio.run(main)
