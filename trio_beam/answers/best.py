"""Answer with the best beam, or with the drawn one if beams have weights."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from trio_beam.core.answer_rule import ANSWERS, AnswerRule
from trio_beam.core.beam import Beam
from trio_beam.core.result import Votes


@ANSWERS.register("best")
@attrs.frozen
class Best(AnswerRule):
    """Chooses the first beam in the selection's order."""

    def choose(self, beams: Sequence[Beam]) -> tuple[list[Beam], Votes]:
        """Keep the order."""
        return list(beams), ()
