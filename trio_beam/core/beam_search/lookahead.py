"""What lies before a candidate, estimated by short rollouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_beam.core import stop
from trio_beam.core.beam_search.actions import Expansion, Round
from trio_beam.core.beam_search.evaluation import Aside
from trio_beam.core.weights import log_mean
from trio_beam.errors import ContextOverflow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.beam import Beam
    from trio_beam.core.beam_search.evaluation import Fail
    from trio_beam.core.block import Continuation
    from trio_beam.core.config import BeamSearchConfig
    from trio_beam.core.usage import Ledger


def look_ahead(
    number: int,
    beams: Sequence[Beam],
    config: BeamSearchConfig,
    seed: int | None,
    ledger: Ledger,
    fail: Fail,
) -> Aside:
    """The rollouts of all candidates of a round, and their futures as the answers.

    Args:
        number: the round, from 1.
        beams: those that can go on.
        config: of the search.
        seed: of the first sample of the search; None: the server's own randomness.
        ledger: what they cost.
        fail: is told of each failure.
    """
    return Aside(
        what="lookahead",
        round=Round(number=number, expansions=_rollouts(number, beams, config, seed)),
        config=config,
        ledger=ledger,
        read=lambda beam, blocks: future(beam, blocks, config),
        fail=fail,
        forgives=ContextOverflow,  # where the context is full there is no future
    )


def _rollouts(
    number: int, beams: Sequence[Beam], config: BeamSearchConfig, seed: int | None
) -> tuple[Expansion, ...]:
    n = config.lookahead_rollouts
    if seed is not None:
        # The search's own samples come first; each candidate of each round has numbers behind them.
        most = config.samples_per_round + config.beam_width
        seed += config.rounds * config.samples_per_round + (number - 1) * most * n
    return tuple(
        Expansion(
            rank=index,
            beam=beam,
            n=n,
            max_tokens=min(config.lookahead_tokens, config.max_tokens - beam.length),
            seed=None if seed is None else seed + index * n,
        )
        for index, beam in enumerate(beams)
    )


def future(beam: Beam, blocks: Sequence[Continuation], config: BeamSearchConfig) -> float:
    """The logarithm (nats) of the sum of p^alpha over what may follow, estimated from samples of it.

    The mean of p(y)^alpha / q(y) over rollouts y of q: unbiased for the sum over all y of that length, and
    for the text's whole future where they reach its end. 0 if there is no room for any.
    """
    gained: list[float] = []
    for block in blocks:
        sampled = stop.extend(beam, block, config.stop).continuation if config.stop else block
        assert sampled is not None
        gained.append(config.alpha * sampled.logprob - sampled.proposal_logprob)
    return log_mean(gained) if gained else 0.0
