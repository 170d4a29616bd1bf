"""vLLM's ``/score``: a cross-encoder's number for the prompt and each candidate.

Recorded: 0.32.0.
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
    score: float


class _Response(msgspec.Struct):
    data: list[_Row]
    usage: Any = None


_decode = decoder_of(_Response)


@REWARD_CALLS.register("score")
class Score(RewardCall):
    """``POST /score`` with the prompt and the candidates."""

    api = "score"
    rank = 3

    def request(
        self, model: str | None, inputs: Sequence[RewardInput], label: str | None
    ) -> WireRequest[Rewards]:
        """Build the request."""
        del label

        def decode(body: bytes) -> Rewards:
            response: _Response = _decode(body)
            indices = [row.index for row in response.data]
            rows = in_order(response.data, indices, len(inputs))
            return Rewards(
                scores=[(finite(row.score),) for row in rows],
                prompt_tokens=prompt_tokens(response.usage),
            )

        fields = {"text_1": inputs[0].prompt, "text_2": [one.answer for one in inputs]}
        return WireRequest(path="/score", decode=decode, body=encode(model, fields), at_root=True)
