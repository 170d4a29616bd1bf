"""SGLang's most probable next tokens and the bytes each adds.

The server lists them by id; ``/detokenize`` decodes many lists at once.

From documentation and source, as of the summer of 2026 (see `sglang`). Not run.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import msgspec

from trio_beam.core.block import STOP, Continuation
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.detokenize import added_bytes
from trio_beam.dialects.common.encoding import splice
from trio_beam.dialects.common.exchange import Exchange, WireRequest
from trio_beam.dialects.common.next_tokens import Candidate, Endings, blocks_of
from trio_beam.dialects.common.sampled_tokens import checked_logprobs
from trio_beam.dialects.sglang_wire import (
    Detokenized,
    Generated,
    decode,
    decode_texts,
    reason_of,
    request_fields,
)
from trio_beam.errors import LogprobsUnavailable, MalformedResponse


def detokenize(model: str, lists: Sequence[Sequence[int]]) -> Exchange[list[str]]:
    """Decode lists of token ids."""
    body = msgspec.json.encode({"model": model, "tokens": lists})
    response: Detokenized = yield WireRequest(
        path="/detokenize", decode=decode_texts, body=body, at_root=True
    )
    if len(response.text) != len(lists):
        raise MalformedResponse(f"{len(response.text)} texts for {len(lists)} lists of tokens")
    return response.text


@attrs.define(eq=False)
class NextTokens:
    """Enumerates next tokens and remembers which end the text, for all searches of an endpoint.

    Attributes:
        model: the model's name.
    """

    model: str
    _endings: Endings = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._endings = Endings(self._ends)

    def blocks(
        self, generated: Generated, before: list[int], request: SampleRequest
    ) -> Exchange[tuple[tuple[Continuation, ...], int]]:
        """Return one-token continuations and the number of tokens that had to be forced.

        Args:
            generated: one sampled token with its alternatives.
            before: the last ids before it.
            request: its `n` is the number of continuations.

        Raises:
            LogprobsUnavailable: the server lists fewer.
        """
        meta = generated.meta_info
        for _, number, _ in (meta.output_token_logprobs or [])[:1]:
            self._endings.note(number, ends=_ended(generated, number))
        rows = (meta.output_top_logprobs or [None])[0] or []
        if not rows:
            raise LogprobsUnavailable("the server lists no next tokens")
        rows = rows[: max(request.n, request.top_logprobs)]
        values = checked_logprobs(value for value, _, _ in rows)
        lists = [before, *([*before, number] for _, number, _ in rows)]
        known, *texts = yield from detokenize(self.model, lists)
        candidates = [
            Candidate(number, value, shown or "", _added(known, text))
            for value, (_, number, shown), text in zip(values, rows, texts, strict=True)
        ]
        asked: list[int] = []
        ends = yield from self._endings.of(candidates, asked)
        return blocks_of(candidates, ends, request.n, request.top_logprobs), len(asked)

    def _ends(self, number: int) -> Exchange[bool]:
        """Force a token and return whether it ends the text."""
        sampling = {"max_new_tokens": 1, "temperature": 0, "logit_bias": {str(number): 1000}}
        response = yield WireRequest(
            path="/generate",
            decode=decode,
            body=splice("input_ids", b"[%d]" % number, request_fields(self.model, sampling, 0)),
            at_root=True,
            max_tokens=1,
        )
        return _ended(response[0] if isinstance(response, list) else response, number)


def _ended(generated: Generated, number: int) -> bool:
    """Return whether a block ended at this token."""
    reason = reason_of(generated.meta_info)
    return reason.type == STOP and reason.matched in (number, [number])


def _added(before: str, text: str) -> bytes:
    data = added_bytes(before, text, open_ended=True)
    if data is None:
        raise MalformedResponse("the detokenizer changes the text in front of a token")
    return data
