"""Self-consistency: eight answers to a question, and the one that most of them come to."""

import os

import trio

import trio_beam
from trio_beam.strategies import self_consistency

QUESTION = "What is 7 + 5? Answer with the number only."


async def main() -> None:
    async with trio.open_nursery() as nursery:
        base_url = os.environ.get("OPENAI_BASE_URL") or await nursery.start(trio_beam.serve_local)
        async with trio_beam.Endpoint(base_url) as endpoint:
            # The key finds the answer in a text: here the last number.
            strategy = self_consistency(n=8, key=r"\d+", temperature=0.7, max_tokens=24, seed=2)
            messages = [{"role": "user", "content": QUESTION}]
            result = await trio_beam.search(endpoint, messages, strategy)
        nursery.cancel_scope.cancel()

    for answer, share in result.votes:
        print(f"{share:4.0%}  {answer}")


if __name__ == "__main__":
    trio.run(main)
