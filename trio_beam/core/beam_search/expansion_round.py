"""The requests of a round that expands beams."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.reference import next_block
from trio_beam.core.seeds import sample_number
from trio_beam.core.steps import Expansion, Round, Sampling


def expansion_round(
    config: BeamSearchConfig, number: int, beams: Sequence[Beam], block: int, seed: int | None
) -> Round:
    """Return the round that expands beams.

    Args:
        config: of the search.
        number: of the round, from 1.
        beams: to expand; one that follows the reference is not sampled.
        block: length of a block, in tokens.
        seed: the first of the search; None: without seeds.
    """
    expanded = [beam for beam in beams if not beam.is_reference]
    n = config.samples_of_beam(number)
    if number == 1 and config.selection_part.reference is not None:
        n -= 1  # one particle follows it
    if config.one_by_one:  # a request for each sample, so that each can be cancelled
        expanded, n = expanded * n, 1
    expansions = tuple(
        Expansion(
            rank=index,
            beam=beam,
            n=n,
            max_tokens=min(block, config.max_tokens - beam.length),
            seed=None if seed is None else seed + _place(config, number, index),
        )
        for index, beam in enumerate(expanded)
    )
    return Round(number=number, purpose="expand", expansions=expansions, sampling=_sampling(config))


def reference_block(
    config: BeamSearchConfig, beams: Sequence[Beam], block: int
) -> tuple[Beam, Continuation] | None:
    """Return the particle that follows the reference, and its next block; None if there is none."""
    reference = config.selection_part.reference
    particles = [beam for beam in beams if beam.is_reference or not beam.length]
    if reference is None or not particles:
        return None
    before = particles[0]
    count = min(block, config.max_tokens - before.length)
    return before, next_block(reference, before.length, count)


def _place(config: BeamSearchConfig, number: int, index: int) -> int:
    """Return the place of an expansion's first sample among all samples of the search."""
    return sample_number(number, index, 0, width=config.beam_width, n=config.n_per_beam)


def _sampling(config: BeamSearchConfig) -> Sampling:
    sampling = Sampling.of(
        config,
        enumerate=config.proposal == "enumerate",
        proposal_logprobs=config.needs_proposal_logprobs,
    )
    if config.answer_part.settles:
        sampling = attrs.evolve(sampling, interruptible=True)
    if config.confidence is not None:
        top = max(config.top_logprobs, config.confidence.top)
        needed = config.confidence.top > 0
        sampling = attrs.evolve(sampling, top_logprobs=top, alternatives=needed)
    if config.block_part is not None and not sampling.enumerate:
        delimiters = config.block_part.server_delimiters
        sampling = attrs.evolve(sampling, delimiters=delimiters, token_texts=True)
    return sampling
