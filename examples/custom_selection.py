"""A selection of one's own: the best beams that all begin with another word."""

import attrs
import trio

import trio_beam
from trio_beam.testing import FakeEndpoint


@attrs.frozen
class FirstWords(trio_beam.Selection):
    """The best beam for each first word, and of these the best ``beam_width``."""

    def select(
        self, scored: trio_beam.ScoredRound, config: trio_beam.BeamSearchConfig
    ) -> trio_beam.Population:
        best: dict[str, trio_beam.Beam] = {}
        for beam in [*scored.ended, *scored.candidates]:
            word = beam.text.split(maxsplit=1)[0] if beam.text.strip() else ""
            if word not in best or beam.score > best[word].score:
                best[word] = beam
        ranked = sorted(best.values(), key=lambda beam: -beam.score)
        return trio_beam.Population.of(ranked[: config.beam_width])


async def main() -> None:
    # A model without a server: eight words, each as probable as the one before it makes it.
    model = FakeEndpoint()
    for selection in ("top_k", FirstWords()):
        config = trio_beam.BeamSearchConfig(
            selection=selection, beam_width=4, n_per_beam=4, tokens_per_step=2, max_tokens=6, seed=3
        )
        result = await trio_beam.search(model, "Once upon a time", config)
        print(selection)
        for beam in result.beams:
            print(f"  {beam.score:.2f} {beam.text}")


if __name__ == "__main__":
    trio.run(main)
