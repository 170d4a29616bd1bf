"""SGLang's ``/classify``: the outputs of a reward model's head, as a list of "embeddings".

From its documentation, not recorded.
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
)


class _Row(msgspec.Struct):
    embedding: list[float]
    meta_info: Any = None


_decode = decoder_of(list[_Row])


@REWARD_CALLS.register("sglang_classify")
class SglangClassify(RewardCall):
    """``POST /classify`` with ``text``."""

    api = "classify"
    rank = 1

    def request(
        self, model: str | None, inputs: Sequence[RewardInput], label: str | None
    ) -> WireRequest[Rewards]:
        """Build the request."""

        def decode(body: bytes) -> Rewards:
            response: list[_Row] = _decode(body)
            rows = in_order(response, range(len(response)), len(inputs))
            return Rewards(
                scores=[(one_of_row(row.embedding, label),) for row in rows],
                prompt_tokens=sum(prompt_tokens(row.meta_info) for row in rows),
            )

        body = encode(model, {"text": [one.text for one in inputs]})
        return WireRequest(path="/classify", decode=decode, body=body, at_root=True)
