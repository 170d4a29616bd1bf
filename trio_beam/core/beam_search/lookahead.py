"""Estimate candidates' futures by short rollouts."""

from __future__ import annotations

from collections.abc import Sequence

from trio_beam.core import stop
from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, known
from trio_beam.core.config import BeamSearchConfig, Lookahead
from trio_beam.core.evaluation import Evaluation, evaluation_round, first_seed
from trio_beam.core.steps import Expansion, Sampling
from trio_beam.core.weights import log_mean
from trio_beam.errors import ContextOverflow


def look_ahead(
    number: int,
    beams: Sequence[Beam],
    lookahead: Lookahead,
    config: BeamSearchConfig,
    seed: int | None,
) -> Evaluation:
    """Build the evaluation that estimates the candidates' futures.

    Args:
        number: of the round, from 1.
        beams: the candidates that can go on.
        lookahead: number and length of rollouts.
        config: of the search.
        seed: of the first sample of the search; None: the server's own randomness.
    """
    sampling = Sampling.of(
        config, enumerate=False, proposal_logprobs=config.needs_proposal_logprobs
    )
    rollouts = _rollouts(number, beams, lookahead, config, seed)
    return Evaluation(
        round=evaluation_round(number, "rollout", rollouts, sampling),
        read=lambda beam, outcome: future(beam, outcome.blocks, config),
        ignored_error=ContextOverflow,  # with a full context there is no future
    )


def _rollouts(
    number: int,
    beams: Sequence[Beam],
    lookahead: Lookahead,
    config: BeamSearchConfig,
    seed: int | None,
) -> list[Expansion]:
    n = lookahead.rollouts
    seed = first_seed(number, n, config, seed)
    return [
        Expansion(
            rank=index,
            beam=beam,
            n=n,
            max_tokens=min(lookahead.tokens, config.max_tokens - beam.length),
            seed=None if seed is None else seed + index * n,
        )
        for index, beam in enumerate(beams)
    ]


def future(beam: Beam, blocks: Sequence[Continuation], config: BeamSearchConfig) -> float:
    """Estimate the log (nats) of the sum of p^alpha over a beam's continuations.

    This is the log of the mean of p(y)^alpha / q(y) over rollouts y from q. The mean is unbiased for the
    sum over all y of that length, and for the complete future if rollouts reach the end of the text.
    Returns 0 if there is no room for a rollout.
    """
    gained: list[float] = []
    for block in blocks:
        sampled = stop.extend(beam, block, config.stop).continuation if config.stop else block
        assert sampled is not None
        gained.append(config.alpha * known(sampled.logprob) - sampled.proposal_logprob)
    return log_mean(gained) if gained else 0.0
