"""vLLM's ``/classify``: the probabilities of a text's classes.

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
    in_order,
    one_of_row,
    prompt_tokens,
    texts_or_conversation,
)


class _Row(msgspec.Struct):
    index: int
    probs: list[float]


class _Response(msgspec.Struct):
    data: list[_Row]
    usage: Any = None


_decode = decoder_of(_Response)


@REWARD_CALLS.register("classify")
class Classify(RewardCall):
    """``POST /classify`` with texts or one conversation."""

    api = "classify"
    rank = 0
    takes_messages = True

    def request(
        self, model: str | None, inputs: Sequence[RewardInput], label: str | None
    ) -> WireRequest[Rewards]:
        """Build the request."""

        def decode(body: bytes) -> Rewards:
            response: _Response = _decode(body)
            indices = [row.index for row in response.data]
            rows = in_order(response.data, indices, len(inputs))
            return Rewards(
                scores=[(one_of_row(row.probs, label),) for row in rows],
                prompt_tokens=prompt_tokens(response.usage),
            )

        body = encode(model, texts_or_conversation(inputs))
        return WireRequest(path="/classify", decode=decode, body=body, at_root=True)
