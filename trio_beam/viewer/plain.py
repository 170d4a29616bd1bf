"""Parts of a search as the plain values that the page is given."""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from trio_beam.traces import format as lines
from trio_beam.traces.format import Number
from trio_beam.traces.tree import TreeBeam

Plain: TypeAlias = dict[str, Any]
#: Characters of a judge's answer that are shown.
_ANSWER = 2_000
_NO_STANDING = [0.0, 1, [], None, 0.0, None, True]
#: Alternatives to a judge's first token that are shown.
_ALTERNATIVES = 5


def beam_row(beam: TreeBeam) -> list[Any]:
    """Return a beam as the page has it."""
    standing = beam.standing
    return [
        *(beam.number, beam.parent, beam.text, beam.length, beam.round, beam.state, beam.fate),
        *(finite(beam.score), finite(beam.logprob), beam.weight, beam.in_result),
        *(_NO_STANDING if standing is None else _standing(standing)),
    ]


def _standing(one: lines.Standing) -> list[Any]:
    return [
        *(finite(one.log_weight), one.multiplicity, one.step_scores, finite(one.future)),
        *(finite(one.reward), finite(one.confidence), one.confident),
    ]


def answer_of(block: lines.Block) -> Plain:
    """Return what a judge has said."""
    tokens = block.tokens or []
    text = "".join(token.text for token in tokens)
    top = sorted(tokens[0].top, key=lambda one: -_nats(one.logprob)) if tokens else []
    return {
        "text": text if len(text) <= _ANSWER else f"{text[:_ANSWER]} ...",
        "logprob": finite(block.logprob),
        "alternatives": [[one.text, math.exp(_nats(one.logprob))] for one in top[:_ALTERNATIVES]],
    }


def _nats(logprob: float | None) -> float:
    return -math.inf if logprob is None else logprob


def finite(value: Number) -> Number:
    """Return a number as JSON has it: those that are not finite as texts."""
    if isinstance(value, str) or value is None or math.isfinite(value):
        return value
    return str(value)


def strategy_name(parameters: dict[str, Any]) -> str:
    """Say in a few words which strategy it was."""
    name = str(parameters.get("strategy", "")).removesuffix("Config")
    parts = []
    for key in ("selection", "scorer", "answer"):
        part = parameters.get(key)
        part = part.get("name") if isinstance(part, dict) else part
        if part not in (None, "top_k", "power", "best"):
            parts.append(str(part).replace("_", " "))
    return ", ".join([{"BeamSearch": "beam search", "Mcmc": "chains"}.get(name, name), *parts])


def words_of(error: lines.Error) -> str:
    """Return an error in words."""
    return f"{error.type}: {error.message}" if error.message else error.type
