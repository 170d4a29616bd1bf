"""``/rerank`` of text-embeddings-inference: a number for each candidate, best first.

From its documentation, not recorded.
"""

from __future__ import annotations

from collections.abc import Sequence

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
)


class _Row(msgspec.Struct):
    index: int
    score: float


_decode = decoder_of(list[_Row])


@REWARD_CALLS.register("tei_rerank")
class TeiRerank(RewardCall):
    """``POST /rerank`` with the prompt as query and the candidates as texts."""

    api = "rerank"
    rank = 5

    def request(
        self, model: str | None, inputs: Sequence[RewardInput], label: str | None
    ) -> WireRequest[Rewards]:
        """Build the request; the server has one model, without a name."""
        del model, label

        def decode(body: bytes) -> Rewards:
            response: list[_Row] = _decode(body)
            rows = in_order(response, [row.index for row in response], len(inputs))
            return Rewards(scores=[(finite(row.score),) for row in rows])

        fields = {"query": inputs[0].prompt, "texts": [one.answer for one in inputs]}
        return WireRequest(path="/rerank", decode=decode, body=encode(None, fields), at_root=True)
