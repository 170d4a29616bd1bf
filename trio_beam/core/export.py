"""Convert results to JSON-compatible data."""

from __future__ import annotations

import math
from typing import Any

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Token
from trio_beam.core.result import BeamFailure, SearchResult


def result_to_dict(result: SearchResult) -> dict[str, Any]:
    """Return the complete result as JSON-compatible values; infinite scores become None."""
    return {
        "text": result.text,
        "score": _finite(result.score),
        "stop_reason": result.stop_reason,
        "rounds": result.rounds,
        "exact": result.exact,
        "log_evidence": None if result.log_evidence is None else _finite(result.log_evidence),
        "effective_sample_size": result.effective_sample_size,
        "particle_rounds": [attrs.asdict(one) for one in result.particle_rounds],
        "acceptance_rates": list(result.acceptance_rates),
        "r_hat": None if result.r_hat is None else _finite(result.r_hat),
        "usage": attrs.asdict(result.usage),
        "beams": [_beam(beam) for beam in result.beams],
        "votes": [{"answer": str(answer), "share": share} for answer, share in result.votes],
        "vote_intervals": [list(interval) for interval in result.vote_intervals],
        "effective_votes": result.effective_votes,
        "effective_answers": result.effective_answers,
        "failures": [_failure(failure) for failure in result.failures],
    }


def _beam(beam: Beam) -> dict[str, Any]:
    return {
        "text": beam.text,
        "reasoning": beam.reasoning,
        **({"tool_calls": [one.as_dict() for one in beam.tool_calls]} if beam.tool_calls else {}),
        "score": _finite(beam.score),
        "logprob": beam.logprob,
        "finished": beam.finished,
        "finish_reason": beam.finish_reason,
        "exact": beam.exact,
        "multiplicity": beam.multiplicity,
        **({"forced_tokens": beam.forced} if beam.forced else {}),
        **({"step_scores": list(beam.step_scores)} if beam.step_scores else {}),
        **({} if beam.weight is None else {"weight": beam.weight}),
        **_confidence(beam),
        "tokens": [_token(token) for token in beam.tokens],
    }


def _confidence(beam: Beam) -> dict[str, Any]:
    if beam.confidence is None:
        return {}
    return {"confidence": _finite(beam.confidence), "confident": beam.confident}


def _token(token: Token) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "text": token.text,
        "logprob": None if token.forced else token.logprob,
        "id": token.id,
        "bytes": None if token.bytes is None else list(token.bytes),
    }
    if token.forced:
        plain["forced"] = True
    if token.top:
        plain["top"] = [_token(other) for other in token.top]
    return plain


def _failure(failure: BeamFailure) -> dict[str, Any]:
    return {
        "round": failure.round,
        "beam": failure.beam.text,
        "error": type(failure.error).__name__,
        "message": str(failure.error),
        "attempts": failure.attempts,
    }


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
