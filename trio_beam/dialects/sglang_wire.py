"""Responses of SGLang's native calls as data."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from trio_beam.core.block import LENGTH, Token
from trio_beam.dialects.common.encoding import decoder_of
from trio_beam.dialects.common.sampled_tokens import checked_logprobs
from trio_beam.errors import ServerError

#: Turns off everything that a model file or the server's preferences may turn on.
PLAIN: dict[str, Any] = {
    "top_p": 1,
    "top_k": -1,
    "min_p": 0,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "repetition_penalty": 1,
}

#: Log-probability, token id, text.
Row: TypeAlias = tuple[float | None, int, str | None]


class Reason(msgspec.Struct):
    """Why a block ended, and at which token or text."""

    type: str
    matched: Any = None
    message: str | None = None
    status_code: int | None = None


class Meta(msgspec.Struct):
    """Everything but a block's text; `input_...` fields describe the requested part of its prompt."""

    finish_reason: Reason | None = None
    prompt_tokens: int = 0
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    output_token_logprobs: list[Row] | None = None
    output_top_logprobs: list[list[Row] | None] | None = None
    output_token_ids_logprobs: list[list[Row] | None] | None = None
    input_token_logprobs: list[Row] | None = None
    input_top_logprobs: list[list[Row] | None] | None = None


class Generated(msgspec.Struct):
    """One continuation."""

    text: str
    meta_info: Meta
    output_ids: list[int] | None = None


class Tokenized(msgspec.Struct):
    """The ids of a prompt."""

    tokens: list[int]


class Detokenized(msgspec.Struct):
    """The texts of lists of ids."""

    text: list[str]


decode = decoder_of(list[Generated] | Generated)
decode_tokens = decoder_of(Tokenized)
decode_texts = decoder_of(Detokenized)


def reason_of(meta: Meta) -> Reason:
    """Return why a block ended.

    Raises:
        ServerError: the server gave up on it.
    """
    reason = meta.finish_reason or Reason(LENGTH)
    if reason.type == "abort":
        message = f"the server gave up on the request: {reason.message or 'no reason given'}"
        raise ServerError(message, status=reason.status_code or 500)
    return reason


def tops_of(rows: list[Row] | None, top: int) -> tuple[Token, ...]:
    """Return the first `top` alternatives that have a log-probability."""
    given = [row for row in rows or [] if row[0] is not None][:top]
    values = checked_logprobs(value for value, _, _ in given)
    return tuple(
        [
            Token(text or "", value, number)
            for value, (_, number, text) in zip(values, given, strict=True)
        ]
    )


def request_fields(
    model: str, sampling: Any, top: int, start: int = -1, *, logprobs: bool = True
) -> dict[str, Any]:
    """Return the fields of a ``/generate`` call other than its prompt.

    Args:
        model: the model's name.
        sampling: the sampling parameters, or a list with one set per prompt.
        top: number of alternatives per token.
        start: index of the first prompt token to return log-probabilities for; -1 for none.
        logprobs: whether to return log-probabilities; otherwise there are only the ids and their text.
    """
    if not logprobs:
        return {"model": model, "sampling_params": sampling, "stream": False}
    return {
        "model": model,
        "sampling_params": sampling,
        "return_logprob": True,
        "logprob_start_len": start,
        "top_logprobs_num": top,
        "return_text_in_logprobs": True,
        "stream": False,
    }
