"""The two seams of a round: what a candidate is worth, and which candidates stay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig

#: All candidates of a round at once, to one score each; higher is better. A beam's own `score` is
#: not set yet when a scorer sees it.
Scorer: TypeAlias = Callable[[Sequence[Beam], BeamSearchConfig], Sequence[float]]

#: The scored candidates that can go on, best first, to those that stay active, best first.
Selection: TypeAlias = Callable[[Sequence[Beam], BeamSearchConfig], Sequence[Beam]]
