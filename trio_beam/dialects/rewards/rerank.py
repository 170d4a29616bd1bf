"""``/v1/rerank`` in Cohere's form, of vLLM, llama.cpp and SGLang: a number for each candidate, best first.

Recorded: vLLM 0.32.0, llama.cpp of October 2026 (by xllamacpp 2026.10). SGLang from its documentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from trio_beam.dialects.common.encoding import decoder_of
from trio_beam.dialects.common.exchange import WireRequest
from trio_beam.dialects.rewards.common.call import (
    REWARD_CALLS,
    RewardCall,
    RewardInput,
    Rewards,
    encode,
    finite,
    in_order,
    prompt_tokens,
)


class _Row(msgspec.Struct):
    index: int
    relevance_score: float | None = None
    score: float | None = None  # SGLang


class _Response(msgspec.Struct):
    results: list[_Row]
    usage: Any = None


_decode = decoder_of(_Response | list[_Row])


@REWARD_CALLS.register("rerank")
class Rerank(RewardCall):
    """``POST /v1/rerank`` with the prompt as query and the candidates as documents."""

    api = "rerank"
    rank = 4

    def request(
        self, model: str | None, inputs: Sequence[RewardInput], label: str | None
    ) -> WireRequest[Rewards]:
        """Build the request."""
        del label

        def decode(body: bytes) -> Rewards:
            response: _Response | list[_Row] = _decode(body)
            return read_ranking(response, len(inputs))

        fields = {"query": inputs[0].prompt, "documents": [one.answer for one in inputs]}
        return WireRequest(
            path="/v1/rerank", decode=decode, body=encode(model, fields), at_root=True
        )


def read_ranking(response: _Response | list[_Row], count: int) -> Rewards:
    """Return the scores in the order of the inputs."""
    found = response if isinstance(response, list) else response.results
    rows = in_order(found, [row.index for row in found], count)
    scores = [row.score if row.relevance_score is None else row.relevance_score for row in rows]
    if None in scores:
        raise msgspec.ValidationError("Object missing required field `relevance_score`")
    return Rewards(
        scores=[(finite(one),) for one in scores if one is not None],
        prompt_tokens=0 if isinstance(response, list) else prompt_tokens(response.usage),
    )
