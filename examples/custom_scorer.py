"""A scorer of one's own: likelihood, less a penalty for words that are said again and again."""

import os
from collections.abc import Sequence

import trio

import trio_beam


def fresh(beams: Sequence[trio_beam.Beam], config: trio_beam.BeamSearchConfig) -> list[float]:
    """Return the mean log-probability of each beam, in nats a token, less the share of its repeated words."""
    scores = []
    for beam in beams:
        words = beam.text.lower().split()
        repeated = 1 - len(set(words)) / len(words) if words else 0.0
        scores.append(beam.logprob / max(1, beam.length) - repeated)
    return scores


async def main() -> None:
    async with trio.open_nursery() as nursery:
        base_url = os.environ.get("OPENAI_BASE_URL") or await nursery.start(trio_beam.serve_local)
        async with trio_beam.Endpoint(base_url) as endpoint:
            for scorer in ("mean_logprob", fresh):
                config = trio_beam.BeamSearchConfig(
                    scorer=scorer, beam_width=3, tokens_per_step=8, max_tokens=24, seed=3
                )
                result = await trio_beam.search(endpoint, "The sea was", config)
                name = scorer if isinstance(scorer, str) else scorer.__name__
                print(f"{name}: {result.score:.2f} {result.text.strip()!r}")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main)
