"""SGLang's most probable next tokens, with the bytes that each adds.

They come by their ids; ``/detokenize`` takes many lists at a time.

From documentation and source, as of the summer of 2026 (see `sglang`). Not run.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import msgspec

from trio_beam.core.block import STOP, Continuation
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.detokenize import whole_part
from trio_beam.dialects.common.dialect import Exchange, WireRequest
from trio_beam.dialects.common.encoding import splice
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
    """The texts of lists of token ids."""
    body = msgspec.json.encode({"model": model, "tokens": lists})
    answer: Detokenized = yield WireRequest(
        path="/detokenize", decode=decode_texts, body=body, at_root=True
    )
    if len(answer.text) != len(lists):
        raise MalformedResponse(f"{len(answer.text)} texts for {len(lists)} lists of tokens")
    return answer.text


@attrs.define(eq=False)
class NextTokens:
    """What is known of single tokens, for all searches of an endpoint.

    Attributes:
        model: its name.
    """

    model: str
    _endings: Endings = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._endings = Endings(self._ends)

    def blocks(
        self, generated: Generated, before: list[int], request: SampleRequest
    ) -> Exchange[tuple[tuple[Continuation, ...], int]]:
        """Continuations of one token each, and how many tokens had to be forced for them.

        Args:
            generated: one sampled token with its alternatives.
            before: the last ids in front of it.
            request: with n, the number of continuations.

        Raises:
            LogprobsUnavailable: the server shows fewer.
        """
        meta = generated.meta_info
        for _, number, _ in (meta.output_token_logprobs or [])[:1]:
            self._endings.note(number, ends=_ended(generated, number))
        rows = (meta.output_top_logprobs or [None])[0] or []
        if not rows:
            raise LogprobsUnavailable("the server shows no next tokens")
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
        """Force a token, and see whether it ends the text."""
        sampling = {"max_new_tokens": 1, "temperature": 0, "logit_bias": {str(number): 1000}}
        answer = yield WireRequest(
            path="/generate",
            decode=decode,
            body=splice("input_ids", b"[%d]" % number, request_fields(self.model, sampling, 0)),
            at_root=True,
            most_tokens=1,
        )
        return _ended(answer[0] if isinstance(answer, list) else answer, number)


def _ended(generated: Generated, number: int) -> bool:
    """Whether a block ended at this token."""
    reason = reason_of(generated.meta_info)
    return reason.type == STOP and reason.matched in (number, [number])


def _added(before: str, text: str) -> bytes:
    data = whole_part(before, text, open_ended=True)
    if data is None:
        raise MalformedResponse("the detokenizer changes the text in front of a token")
    return data
