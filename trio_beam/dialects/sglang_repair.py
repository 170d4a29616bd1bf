"""Request what SGLang's blocks lack: log-probabilities at temperature 1, and bytes of partial characters.

From documentation and source, as of the summer of 2026 (see `sglang`). Not run.
"""

from __future__ import annotations

from collections.abc import Sequence

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.detokenize import (
    BROKEN,
    added_bytes,
    last_ids,
    last_text,
    may_end_inside,
    more_ids,
)
from trio_beam.dialects.common.encoding import splice
from trio_beam.dialects.common.exchange import Exchange, WireRequest
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.sglang_blocks import Block
from trio_beam.dialects.sglang_next_tokens import detokenize
from trio_beam.dialects.sglang_wire import PLAIN, Generated, decode, reason_of, request_fields
from trio_beam.errors import LogprobsUnavailable, MalformedResponse


def score_as_prompt(
    model: str,
    limits: Limits,
    prompt: bytes,
    length: int,
    request: SampleRequest,
    blocks: Sequence[Block],
) -> Exchange[int]:
    """Read the blocks' log-probabilities as parts of prompts; return the prompt tokens spent.

    Args:
        model: the model's name.
        limits: of the server.
        prompt: ids of prompt and beam in JSON.
        length: number of these ids.
        request: what was asked for.
        blocks: their log-probabilities are set.

    Raises:
        LogprobsUnavailable: the server sends none of a prompt.
        MalformedResponse: they are those of other tokens.
    """
    read = [block for block in blocks if block.rows]
    if not read:
        return 0
    ids = b",".join([b"[%s%s]" % (prompt, more_ids(block.ids)) for block in read])
    # The first token of the requested range has none, so start one token before the block.
    start = length - 1
    sampling = {"max_new_tokens": 0, "temperature": 1, **PLAIN}
    top = limits.cap_logprobs(request.top_logprobs)
    response = yield WireRequest(
        path="/generate",
        decode=decode,
        body=splice("input_ids", b"[%s]" % ids, request_fields(model, sampling, top, start)),
        at_root=True,
        alternatives=top,
    )
    given: list[Generated] = response if isinstance(response, list) else [response]
    if len(given) != len(read):
        raise MalformedResponse(f"{len(given)} answers to {len(read)} prompts")
    for block, one in zip(read, given, strict=True):
        reason_of(one.meta_info)
        count = len(block.rows)
        rows = (one.meta_info.input_token_logprobs or [])[-count:]
        if not rows:
            raise LogprobsUnavailable("the server sends no log-probabilities of a prompt")
        if [number for _, number, _ in rows] != block.ids:
            raise MalformedResponse("the log-probabilities are not those of the tokens")
        block.rows = rows
        block.tops = (one.meta_info.input_top_logprobs or [])[-count:]
    return sum(max(0, one.meta_info.prompt_tokens) for one in given)


def spell(model: str, ids: Sequence[int], beam: Beam, blocks: Sequence[Block]) -> Exchange[None]:
    """Set the blocks' bytes so that, joined to the beam's, they form complete characters.

    Args:
        model: the model's name.
        ids: of the prompt.
        beam: which the blocks continue.
        blocks: their bytes are set.
    """
    begins_inside = (last_text(beam) or "").endswith(BROKEN) or may_end_inside(beam)
    unclear: list[Block] = []
    for block in blocks:
        block.data = block.text.encode("utf-8", "replace")
        if block.visible and (begins_inside or block.text.endswith(BROKEN)):
            unclear.append(block)
    if not unclear:
        return
    before = last_ids(ids, beam)
    lists = [before, *([*before, *block.visible] for block in unclear)]
    known, *texts = yield from detokenize(model, lists)
    for block, text in zip(unclear, texts, strict=True):
        data = added_bytes(known, text, open_ended=block.reason == LENGTH)
        if data is not None:
            block.data = data
        else:  # the tokenizer alters the preceding text: the ids are right, the text is close
            block.data = block.text.rstrip(BROKEN).encode("utf-8", "replace")
            block.exact = False
