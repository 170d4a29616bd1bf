"""The fields of every record of a search: how it ended, and its usage."""

from __future__ import annotations

from typing import Any

import msgspec

from trio_beam.core.result import SearchResult


class SearchRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A record of a search; applications add what they need.

    Attributes:
        seed: of the search; None: the server's own randomness.
        rounds: completed rounds.
        stop_reason: the search's.
        exact: whether all scores are the model's own for the sampled tokens.
        votes: each answer's share of the votes, if there was a vote.
        prompt_tokens: over all requests.
        cached_tokens: those that the server has read from its cache; None if unknown.
        completion_tokens: generated tokens, dropped beams included.
        reasoning_tokens: those that were thinking; None if unknown.
        requests: requests sent.
        cost: in US dollars; None if no price is known.
        uncertain_cost: the part of it that is an upper bound, for requests without a complete response.
        unpriced: requests whose price is not known, where that of others is.
        cached_responses: responses from the cache, which were not sent.
        seconds: duration of the search, with others running.
        error: why there is no answer; "" otherwise.
    """

    seed: int | None = None
    rounds: int = 0
    stop_reason: str = ""
    exact: bool = True
    votes: list[tuple[str, float]] = []
    prompt_tokens: int = 0
    cached_tokens: int | None = None
    completion_tokens: int = 0
    reasoning_tokens: int | None = None
    requests: int = 0
    cost: float | None = None
    uncertain_cost: float = 0.0
    unpriced: int = 0
    cached_responses: int = 0
    seconds: float = 0.0
    error: str = ""


def facts_of(result: SearchResult) -> dict[str, Any]:
    """Return the fields of a `SearchRecord` that a result tells."""
    usage = result.usage
    return {
        "rounds": result.rounds,
        "stop_reason": result.stop_reason,
        "exact": result.exact,
        "votes": [(str(answer), share) for answer, share in result.votes],
        "prompt_tokens": usage.prompt_tokens,
        "cached_tokens": usage.cached_tokens,
        "completion_tokens": usage.completion_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
        "requests": usage.requests,
        "cost": usage.cost,
        "uncertain_cost": usage.uncertain_cost,
        "unpriced": 0 if usage.cost is None else usage.unpriced,
        "cached_responses": usage.cached_responses,
    }
