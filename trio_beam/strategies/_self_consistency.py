"""The answer that most of n samples come to (Wang et al. 2022, arXiv 2203.11171)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from trio_beam.answers.vote import Vote, VoteKey
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.validation import Parameter
from trio_beam.strategies._registry import evolve, one_block, preset


@preset("self_consistency")
def self_consistency(
    n: Annotated[int, Parameter(kind="integer", minimum=1, help="Samples that vote.")] = 8,
    key: Annotated[
        VoteKey | str | None,
        Parameter(
            kind="part",
            accepts=callable,
            accepted="a function of a text, or a regular expression",
            optional=True,
            topic="answer",
            help="Finds the answer in a text; a regular expression, whose last match counts.",
        ),
    ] = None,
    *,
    by: Annotated[
        Literal["count", "score"],
        Parameter(
            kind="choice", choices=("count", "score"), topic="answer", help="Weight of a vote."
        ),
    ] = "count",
    temperature: Annotated[
        float, Parameter(kind="number", minimum=0, above=True, help="Temperature of the sampling.")
    ] = 1.0,
    **others: Any,
) -> BeamSearchConfig:
    """The best of the texts whose answer most of n independent texts come to.

    Args:
        n: samples.
        key: as for `Vote`.
        by: as for `Vote`.
        temperature: of the sampling, above 0.
        others: further parameters of `BeamSearchConfig`.

    Raises:
        ConfigError: one of them is out of bounds, or set here.
    """
    fixed = {
        "beam_width": n,
        "proposal_temperature": temperature,
        "early_stopping": False,
        "answer": Vote(key, by),
        **one_block(others),
    }
    return evolve(BeamSearchConfig, others, **fixed)
