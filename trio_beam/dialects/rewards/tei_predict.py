"""``/predict`` of text-embeddings-inference: the probabilities of a text's classes, by name, best first.

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
from trio_beam.errors import MalformedResponse


class _Class(msgspec.Struct):
    label: str
    score: float


_decode = decoder_of(list[list[_Class]])
#: Name of class i in a model that names none.
_NAMELESS = "LABEL_{}"


@REWARD_CALLS.register("tei_predict")
class TeiPredict(RewardCall):
    """``POST /predict`` with texts."""

    api = "predict"
    rank = 2

    def request(
        self, model: str | None, inputs: Sequence[RewardInput], label: str | None
    ) -> WireRequest[Rewards]:
        """Build the request; the server has one model, without a name."""
        del model

        def decode(body: bytes) -> Rewards:
            response: list[list[_Class]] = _decode(body)
            rows = in_order(response, range(len(response)), len(inputs))
            return Rewards(scores=[(_score(row, label),) for row in rows])

        # A batch is a list of lists: a list of two texts would be a pair.
        fields = {"inputs": [[one.text] for one in inputs]}
        return WireRequest(path="/predict", decode=decode, body=encode(None, fields), at_root=True)


def _score(row: Sequence[_Class], label: str | None) -> float:
    scores = {one.label: one.score for one in row}
    if len(row) == 1:
        return finite(row[0].score)
    wanted = _NAMELESS.format(len(row) - 1) if label is None else label
    for name in (wanted, _NAMELESS.format(wanted)):
        if name in scores:
            return finite(scores[name])
    names = ", ".join(map(repr, scores)) or "none"
    raise MalformedResponse(f"set label to the class that means good; the model has {names}")
