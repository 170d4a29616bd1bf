"""A reasoning model without log-probabilities: a vote, and the best answer by a check of one's own."""

import os
import re
from collections.abc import Sequence

import trio

import trio_beam
from trio_beam.strategies import best_of_n, self_consistency

QUESTION = "What is 17 * 23? End with the number."


def divides(beams: Sequence[trio_beam.Beam], config: trio_beam.BeamSearchConfig) -> list[float]:
    """Score each answer, without the thinking before it: is its last number a multiple of 23?"""
    last = [re.findall(r"\d+", beam.text)[-1:] for beam in beams]
    return [float(bool(found) and int(found[0]) % 23 == 0) for found in last]


async def main() -> None:
    async with trio.open_nursery() as nursery:
        base_url = os.environ.get("OPENAI_BASE_URL") or await nursery.start(trio_beam.serve_local)
        async with trio_beam.Endpoint(base_url) as endpoint:
            messages = [{"role": "user", "content": QUESTION}]
            # Room for the thinking: an answer that never comes casts no vote.
            vote = self_consistency(n=8, key=r"\d+", max_tokens=400, seed=2)
            voted = await trio_beam.search(endpoint, messages, vote)
            check = best_of_n(n=8, scorer=divides, max_tokens=400, seed=3)
            checked = await trio_beam.search(endpoint, messages, check)
        nursery.cancel_scope.cancel()

    for answer, share in voted.votes:
        print(f"{share:4.0%}  {answer}")
    best = checked.beams[0]
    print(f"checked: {best.text.strip()!r} (score {best.score:g}, log-probability {best.logprob})")
    print(
        f"{len(best.reasoning)} characters of thinking, {checked.usage.reasoning_tokens} tokens of it in all"
    )


if __name__ == "__main__":
    trio.run(main)
