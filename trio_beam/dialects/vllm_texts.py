"""vLLM's texts of token ids: of blocks that its response does not spell, and of texts to append to beams."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import msgspec

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.dialects.common.detokenize import (
    BROKEN,
    added_bytes,
    forced_of,
    may_end_inside,
    unscored_block,
)
from trio_beam.dialects.common.exchange import Exchange, WireRequest
from trio_beam.dialects.vllm_next_tokens import detokenize
from trio_beam.dialects.vllm_wire import Choice, decode_tokenized
from trio_beam.errors import MalformedResponse


@attrs.define(eq=False)
class BlockTexts:
    """The texts of the blocks of one response.

    Attributes:
        model: the model's name.
        beam: the beam that they continue.
        before: the last ids of prompt and beam.
        known: the text of these, once asked for.
    """

    model: str
    beam: Beam
    before: Sequence[int]
    known: list[str]

    def unscored(self, choice: Choice, reason: str) -> Exchange[Continuation]:
        """Build a block without log-probabilities from its ids and its text.

        Raises:
            MalformedResponse: as `decode`.
        """
        text = choice.text
        if may_end_inside(self.beam):
            before = yield from self._before()
            if before.endswith(BROKEN):
                data = yield from self.decode(choice, reason)
                text = data.decode("utf-8", "replace")
        return unscored_block(text, choice.token_ids or [], reason)

    def decode(self, choice: Choice, reason: str) -> Exchange[bytes]:
        """Have the server decode a block's ids together with some before them.

        Raises:
            MalformedResponse: that alters the text before the block.
        """
        ids = choice.token_ids or []
        before = yield from self._before()
        visible = ids[:-1] if is_ended(choice, reason) else ids
        text = yield from detokenize(self.model, [*self.before, *visible])
        part = added_bytes(before, text, open_ended=reason == LENGTH)
        if part is None:
            raise MalformedResponse("the detokenizer alters the text before a block")
        return part

    def _before(self) -> Exchange[str]:
        if not self.known:
            self.known.append((yield from detokenize(self.model, [*self.before])))
        return self.known[0]


def is_ended(choice: Choice, reason: str) -> bool:
    """Return whether the last token is the end of the text."""
    return reason == STOP and choice.stop_reason is None


def force(model: str, text: str) -> Exchange[Sequence[Token]]:
    """Return the model's own tokens for a text to append to beams."""
    body = msgspec.json.encode({"model": model, "prompt": text, "add_special_tokens": False})
    response = yield WireRequest(path="/tokenize", decode=decode_tokenized, body=body, at_root=True)
    ids: list[int] = response.tokens
    decoded: list[str] = []
    while len(decoded) < len(ids) - 1:
        shown = yield from detokenize(model, ids[: len(decoded) + 1])
        decoded.append(shown)
    return forced_of(text, ids, decoded)
