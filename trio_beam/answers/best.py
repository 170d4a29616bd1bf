"""The best beam is the answer; where beams have weights, the one that was drawn."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.config import ANSWERS, AnswerRule
from trio_beam.core.result import Votes


@ANSWERS.register("best")
@attrs.frozen
class Best(AnswerRule):
    """The first beam, as the selection orders them."""

    def choose(self, beams: Sequence[Beam]) -> tuple[list[Beam], Votes]:
        """Leave the order as it is."""
        return list(beams), ()
