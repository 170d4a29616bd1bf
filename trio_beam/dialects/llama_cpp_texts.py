"""llama.cpp's texts of token ids: of blocks without log-probabilities, and of texts to append to beams."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from trio_beam.core.block import LENGTH, Continuation, Token
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.detokenize import (
    BROKEN,
    added_bytes,
    forced_of,
    last_ids,
    may_end_inside,
    unscored_block,
)
from trio_beam.dialects.common.exchange import Exchange, WireRequest
from trio_beam.dialects.llama_cpp_wire import (
    Completion,
    decode_detokenized,
    decode_pieces,
    reason_of,
)


def unscored(completion: Completion, request: SampleRequest) -> Exchange[Continuation]:
    """Build a block from its ids and its text.

    The text begins with U+FFFD if the beam ends inside a character: the server decodes the new ids alone.
    """
    reason = reason_of(completion, request)
    text = completion.content
    if may_end_inside(request.beam) and text.startswith(BROKEN):
        before = last_ids((), request.beam)
        known = yield from _detokenize(before)
        longer = yield from _detokenize([*before, *completion.tokens])
        part = added_bytes(known, longer, open_ended=reason == LENGTH)
        text = text if part is None else part.decode("utf-8", "replace")
    return unscored_block(text, completion.tokens, reason)


def force(text: str) -> Exchange[Sequence[Token]]:
    """Return the model's own tokens for a text to append to beams."""
    body = msgspec.json.encode({"content": text, "parse_special": True, "with_pieces": True})
    response = yield WireRequest(path="/tokenize", decode=decode_pieces, body=body, at_root=True)
    shown = b""
    decoded: list[str] = []
    for one in response.tokens:
        shown += one.piece.encode() if isinstance(one.piece, str) else bytes(one.piece)
        decoded.append(shown.decode("utf-8", "replace"))
    return forced_of(text, [one.id for one in response.tokens], decoded[:-1])


def _detokenize(ids: Sequence[int]) -> Exchange[str]:
    body = msgspec.json.encode({"tokens": ids})
    response = yield WireRequest(
        path="/detokenize", decode=decode_detokenized, body=body, at_root=True
    )
    text: str = response.content
    return text
