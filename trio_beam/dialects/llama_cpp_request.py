"""The request for llama.cpp's native completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.encoding import splice
from trio_beam.dialects.common.exchange import WireRequest
from trio_beam.dialects.common.watch import watching
from trio_beam.dialects.llama_cpp_wire import (
    FIELDS,
    SAMPLING,
    STREAM_FIELDS,
    TEXT_FIELD,
    decoder,
    logprobs_in_event,
)


def completion_request(
    model: str,
    prompt: bytes,
    request: SampleRequest,
    n: int,
    stream: bool,
    more: Mapping[str, Any],
) -> WireRequest[Any]:
    """Return the request for continuations.

    Args:
        model: the model's name.
        prompt: elements of a JSON array: the prompt and the beam.
        request: what is asked for.
        n: number of continuations.
        stream: whether they are sent in a stream.
        more: further fields.
    """
    shown = max(1, request.top_logprobs) if request.shows_tokens else 0
    wanted = STREAM_FIELDS if stream else FIELDS
    fields: dict[str, Any] = {
        "model": model,
        "n_predict": request.max_tokens,
        "temperature": request.temperature,
        "n_probs": shown,
        "return_tokens": True,
        "response_fields": wanted if request.shows_tokens else [*wanted, TEXT_FIELD],
        **SAMPLING,
        **more,
    }
    if n > 1:
        fields["n_cmpl"] = n
    if request.seed is not None:
        fields["seed"] = request.seed
    if stream:
        fields["stream"] = True
        if request.delimiters:
            fields["stop"] = request.delimiters
    return WireRequest(
        path="/completion",
        decode=decoder(top=request.top_logprobs > 0, stream=stream),
        body=splice("prompt", b"[%s]" % prompt, fields),
        at_root=True,
        max_tokens=n * request.max_tokens,
        alternatives=shown,
        watch=watching(request.confidence if stream else None, logprobs_in_event),
    )
