"""A scorer of one's own: likelihood, less a penalty for words that are said again and again."""

from collections.abc import Sequence

import trio

import trio_beam
from trio_beam.testing import ScriptedModel

#: Texts with their log-probabilities in nats: the more a text repeats, the more probable a model finds it.
TEXTS = [
    (" very very very very long", -2.0),
    (" long and cold, and nobody went out", -7.0),
    (" cold", -6.0),
]


def fresh(beams: Sequence[trio_beam.Beam], config: trio_beam.BeamSearchConfig) -> list[float]:
    """Return the mean log-probability of each beam (nats a token) less the share of its repeated words."""
    scores = []
    for beam in beams:
        words = beam.text.split()
        repeated = 1 - len(set(words)) / len(words) if words else 0.0
        scores.append(beam.logprob / max(1, beam.length) - 2 * repeated)
    return scores


async def main() -> None:
    model = ScriptedModel(TEXTS)
    for scorer in ("mean_logprob", fresh):
        config = trio_beam.BeamSearchConfig(
            scorer=scorer, beam_width=3, n_per_beam=1, tokens_per_step=4
        )
        result = await trio_beam.search(model, "The winter was", config)
        print(scorer if isinstance(scorer, str) else scorer.__name__)
        for beam in result.beams:
            print(f"  {beam.score:.2f}{beam.text}")


if __name__ == "__main__":
    trio.run(main)
