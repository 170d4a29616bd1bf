"""The most frequent answer of n samples (Wang et al. 2022, arXiv 2203.11171)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from trio_beam.answers.vote import Vote, VoteKey
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.settling import Settle
from trio_beam.core.validation import Parameter
from trio_beam.strategies._registry import evolve, one_block, preset


@preset("self_consistency")
def self_consistency(
    n: Annotated[
        int, Parameter(kind="integer", minimum=1, help="Number of samples that vote.")
    ] = 8,
    key: Annotated[
        VoteKey | str | None,
        Parameter(
            kind="part",
            accepts=callable,
            accepted="a function of a text, or a regular expression",
            optional=True,
            topic="answer",
            help="Extracts the answer from a text; a regular expression's last match counts.",
        ),
    ] = None,
    *,
    by: Annotated[
        Literal["count", "score", "reward", "confidence"],
        Parameter(
            kind="choice",
            choices=("count", "score", "reward", "confidence"),
            topic="answer",
            help="Weight of a vote: 1, exp(score), the score itself, or the confidence.",
        ),
    ] = "count",
    settle: Annotated[
        Settle | None,
        Parameter(
            kind="number",
            minimum=0.5,
            maximum=0.9999,
            optional=True,
            choices=("certain",),
            topic="answer",
            help="Stop before all n samples are there: 'certain' when the others cannot change the winner, or"
            " as soon as it is, with this probability, that of all n.",
        ),
    ] = None,
    ahead: Annotated[
        int,
        Parameter(
            kind="integer",
            minimum=1,
            unit="samples",
            topic="answer",
            help="With settle, how many samples are under way beyond those counted.",
        ),
    ] = 8,
    temperature: Annotated[
        float, Parameter(kind="number", minimum=0, above=True, help="Sampling temperature.")
    ] = 1.0,
    **others: Any,
) -> BeamSearchConfig:
    """Sample n independent texts and return one with the most frequent answer.

    A vote by count needs no log-probabilities: it returns the first text with that answer, or, with a
    ``scorer``, the best one.

    Args:
        n: number of samples.
        key: as for `Vote`.
        by: as for `Vote`.
        settle: as for `Vote`.
        ahead: as for `Vote`.
        temperature: sampling temperature, above 0.
        others: further parameters of `BeamSearchConfig`.

    Raises:
        ConfigError: a parameter is out of bounds, or fixed by the preset.
    """
    if by in ("count", "confidence"):
        others.setdefault("scorer", "equal")
    fixed = {
        "beam_width": n,
        "proposal_temperature": temperature,
        "early_stopping": False,
        "answer": Vote(key, by, settle, ahead),
        **one_block(others),
    }
    return evolve(BeamSearchConfig, others, **fixed)
