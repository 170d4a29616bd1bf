"""Turn SGLang's generated text into blocks and continuations. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from trio_beam.core.block import STOP, Continuation, Token, too_long
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.detokenize import unscored_block
from trio_beam.dialects.common.sampled_tokens import checked_logprobs
from trio_beam.dialects.sglang_wire import Generated, Row, reason_of, tops_of
from trio_beam.errors import LogprobsUnavailable, MalformedResponse


@attrs.define(eq=False)
class Block:
    """A sampled block whose log-probabilities and bytes are filled in later.

    Attributes:
        text: as the server decoded it.
        rows: its tokens with their log-probabilities (nats).
        tops: their alternatives.
        reason: why it ended.
        ended: whether the last token is the end of text.
        generated: number of tokens by the server's count.
        data: its bytes.
        exact: whether tokens, log-probabilities and bytes are exactly those sampled.
    """

    text: str
    rows: list[Row]
    tops: Sequence[list[Row] | None]
    reason: str
    ended: bool
    generated: int
    data: bytes = b""
    exact: bool = True

    @property
    def ids(self) -> list[int]:
        """The ids of its tokens."""
        return [number for _, number, _ in self.rows]

    @property
    def visible(self) -> list[int]:
        """The ids without the end of text."""
        return self.ids[:-1] if self.ended else self.ids


def block_of(one: Generated, request: SampleRequest) -> Block:
    """Read one continuation; the dialect sets its bytes afterwards.

    Raises:
        LogprobsUnavailable: it has text without log-probabilities.
        MalformedResponse: it is longer than requested.
    """
    meta = one.meta_info
    reason = reason_of(meta)
    rows = meta.output_token_logprobs or []
    if not request.shows_tokens and not rows:
        rows = [(None, number, None) for number in one.output_ids or []]
    if not rows and (one.text or meta.completion_tokens):
        raise LogprobsUnavailable("the server sent tokens without log-probabilities")
    if len(rows) > request.max_tokens:
        raise MalformedResponse(too_long(len(rows), request.max_tokens))
    generated = max(len(rows), min(meta.completion_tokens or 0, request.max_tokens))
    return Block(
        text=one.text,
        rows=rows,
        tops=meta.output_top_logprobs or [],
        reason=reason.type,
        ended=reason.type == STOP and bool(rows) and reason.matched in (rows[-1][1], [rows[-1][1]]),
        generated=generated,
        exact=generated == len(rows),
    )


def continuation_of(block: Block, request: SampleRequest) -> Continuation:
    """Turn a completed block into a continuation."""
    if not request.shows_tokens:
        unscored = unscored_block(block.data.decode("utf-8", "replace"), block.ids, block.reason)
        return attrs.evolve(unscored, exact=block.exact, generated=block.generated)
    values = checked_logprobs(value for value, _, _ in block.rows)
    top = request.top_logprobs
    shown = [tops_of(row, top) for row in block.tops] if top else []
    if shown and len(shown) != len(values):
        raise MalformedResponse(f"{len(values)} tokens with {len(shown)} rows of alternatives")

    def make() -> tuple[Token, ...]:
        tokens = [
            Token(text or "", values[place], number, None, shown[place] if shown else ())
            for place, (_, number, text) in enumerate(block.rows)
        ]
        if block.ended:
            tokens[-1] = tokens[-1]._replace(text="", bytes=b"")
        return tuple(tokens)

    return Continuation(
        tokens=make,
        data=block.data,
        finish_reason=block.reason,
        exact=block.exact,
        keys=block.ids,
        logprob=sum(values),
        generated=block.generated,
    )
