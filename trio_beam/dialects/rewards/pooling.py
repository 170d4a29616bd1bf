"""vLLM's ``/pooling``: a row of numbers per step tag, per token, or per text.

A process reward model is served with ``--runner pooling --pooler-config '{"pooling_type": "STEP",
"step_tag_id": ID}'``; then there is a row per step tag in the text, with a number per class.

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
from trio_beam.errors import MalformedResponse


class _Row(msgspec.Struct):
    index: int
    data: list[list[float] | float]


class _Response(msgspec.Struct):
    data: list[_Row]
    usage: Any = None


_decode = decoder_of(_Response)


@REWARD_CALLS.register("pooling")
class Pooling(RewardCall):
    """``POST /pooling`` with texts or one conversation."""

    api = "pooling"
    rank = 6
    scores_steps = True
    takes_messages = True

    def request(
        self, model: str | None, inputs: Sequence[RewardInput], label: str | None
    ) -> WireRequest[Rewards]:
        """Build the request."""

        def decode(body: bytes) -> Rewards:
            response: _Response = _decode(body)
            indices = [row.index for row in response.data]
            rows = in_order(response.data, indices, len(inputs))
            scores = [_scores(row.data, one, label) for row, one in zip(rows, inputs, strict=True)]
            return Rewards(scores=scores, prompt_tokens=prompt_tokens(response.usage))

        body = encode(model, texts_or_conversation(inputs))
        return WireRequest(path="/pooling", decode=decode, body=body, at_root=True)


def _scores(data: Sequence[Any], given: RewardInput, label: str | None) -> tuple[float, ...]:
    rows = data if data and isinstance(data[0], list) else [data]
    if given.scores is None:
        return (one_of_row(rows[-1], label),)
    if len(rows) != given.scores or not data:
        count = len(rows) if data else 0
        raise MalformedResponse(
            f"the server sent {count} scores for {given.scores} steps: start vLLM with --pooler-config"
            ' \'{"pooling_type": "STEP", "step_tag_id": ID}\', where ID is the token of the separator'
        )
    return tuple(one_of_row(row, label) for row in rows)
