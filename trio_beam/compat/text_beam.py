"""Convert beams, candidates and samples between the original's form and ours.

All three are tuples (text, tokens, log p, alpha * log p, whether the model ended it). Those created here
also hold their `Beam`, so a search without overrides continues by token ids. Those created by an override
are continued by their text.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from trio_beam.core.beam import Beam
from trio_beam.core.block import CONTEXT, LENGTH, STOP, Continuation, Token


class _Parts(NamedTuple):
    text: str
    tokens: list[str]
    log_p: list[float]
    log_target: list[float]
    finished: bool


class TextBeam(_Parts):
    """A beam, candidate or sample in the original's form.

    Attributes:
        text: the full text; for a sample, only its own.
        tokens: the text of each token.
        log_p: log-probability of each token, in nats.
        log_target: ``alpha * log_p``; its sum enters the score.
        finished: whether the model ended it.
        beam: the corresponding `Beam`; None if unknown.
        score: higher is better.
        max_tokens: maximum length of its next block in tokens; None: ``tokens_per_step``.
        seed: of the first sample of its next block; None: derived from block and index.
    """

    beam: Beam | None = None
    score: float = -math.inf
    max_tokens: int | None = None
    seed: int | None = None

    @property
    def logprob(self) -> float:
        """Sum of the log-probabilities, in nats."""
        return sum(self.log_p)

    @classmethod
    def of_beam(cls, beam: Beam, alpha: float) -> TextBeam:
        """Convert a beam to the original's form."""
        log_p = [token.logprob for token in beam.tokens]
        made = cls(
            beam.full_text,
            [token.text for token in beam.tokens],
            log_p,
            [alpha * value for value in log_p],
            beam.finished,
        )
        made.beam = beam
        return made


def text_beam(given: Any, alpha: float) -> TextBeam:
    """Convert to the original's form with a `Beam`.

    Args:
        given: a `TextBeam`, a `Beam`, a sequence of the five parts, or an object with them as attributes.
        alpha: of the search.
    """
    if isinstance(given, Beam):
        return TextBeam.of_beam(given, alpha)
    if isinstance(given, TextBeam) and given.beam is not None:
        return given
    parts = given if isinstance(given, Sequence) else [getattr(given, f) for f in _Parts._fields]
    made = TextBeam(*parts)
    made.beam = _beam_of(made.text, made.tokens, made.log_p, finished=made.finished)
    return made


def extend(beam: TextBeam, sample: TextBeam) -> TextBeam:
    """Append a sample to a beam; both must have a `Beam`."""
    assert beam.beam is not None
    assert sample.beam is not None
    whole = beam.beam
    for node in sample.beam.lineage():
        assert node.continuation is not None
        whole = whole.extend(
            node.continuation, finish_reason=node.finish_reason, finished=node.finished
        )
    made = TextBeam(
        whole.full_text,  # decoded from joined bytes: a character may be split between the two
        beam.tokens + sample.tokens,
        beam.log_p + sample.log_p,
        beam.log_target + sample.log_target,
        sample.finished,
    )
    made.beam = whole
    return made


def full(beam: TextBeam) -> TextBeam:
    """Return a beam with a `Beam` marked as filling the model's context."""
    assert beam.beam is not None
    made = TextBeam(*beam)
    made.beam, made.score = beam.beam.replace(finish_reason=CONTEXT), beam.score
    return made


class Prefix(str):
    """The text of a beam to continue; a plain string works too.

    Attributes:
        beam: the beam.
        seed: of the first sample; None: the server's own randomness.
    """

    beam: Beam
    seed: int | None

    @classmethod
    def of(cls, beam: TextBeam, seed: int | None) -> Prefix:
        """Return the prefix of a beam that has a `Beam`."""
        assert beam.beam is not None
        made = cls(beam.text)
        made.beam, made.seed = beam.beam, seed
        return made


def beam_of_prefix(prefix: str) -> Beam:
    """Return the beam of a prefix."""
    return prefix.beam if isinstance(prefix, Prefix) else _beam_of(prefix, (), (), finished=False)


def _beam_of(text: str, tokens: Sequence[str], log_p: Sequence[float], *, finished: bool) -> Beam:
    """Build a beam of one block without token ids."""
    if not (text or tokens or finished):
        return Beam()
    block = Continuation(
        tokens=tuple(Token(*pair) for pair in zip(tokens, log_p, strict=True)),
        data=text.encode("utf-8", "replace"),
        finish_reason=STOP if finished else LENGTH,
        exact=False,
    )
    # A text without tokens can be continued, unlike a model's empty block.
    return Beam().extend(block, finish_reason=block.finish_reason, finished=finished)
