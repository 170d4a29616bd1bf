"""vLLM's most probable next tokens, by id, and the text each adds.

By default vLLM lists alternatives by text and merges those of equal text; with
``return_tokens_as_token_ids`` it lists them by id. ``/detokenize`` returns their texts.

Recorded: 0.32.0.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from trio_beam.core.block import STOP, Continuation
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.detokenize import BROKEN, added_bytes, last_text
from trio_beam.dialects.common.exchange import Exchange, WireRequest
from trio_beam.dialects.common.next_tokens import Candidate, Endings, blocks_of
from trio_beam.dialects.common.sampled_tokens import checked_logprobs
from trio_beam.dialects.vllm_wire import Choice, decode_detokenized, decode_tokenized, decoder
from trio_beam.errors import LogprobsUnavailable, MalformedResponse

ALTERNATIVES_BY_ID: dict[str, Any] = {"return_tokens_as_token_ids": True}
_PREFIX = "token_id:"


def tokenize(model: str, text: str) -> Exchange[list[int]]:
    """Encode a text that follows others."""
    fields = {"model": model, "prompt": text, "add_special_tokens": False}
    response = yield WireRequest(
        path="/tokenize", decode=decode_tokenized, body=msgspec.json.encode(fields), at_root=True
    )
    ids: list[int] = response.tokens
    return ids


def detokenize(model: str, ids: list[int]) -> Exchange[str]:
    """Decode token ids."""
    if not ids:
        return ""
    body = msgspec.json.encode({"model": model, "tokens": ids})
    response = yield WireRequest(
        path="/detokenize", decode=decode_detokenized, body=body, at_root=True
    )
    text: str = response.prompt
    return text


@attrs.define(eq=False)
class NextTokens:
    """Enumerates next tokens and remembers their texts and endings, for all searches of an endpoint.

    Attributes:
        model: the model's name.
    """

    model: str
    _endings: Endings = attrs.field(init=False)
    _plain: tuple[int, str] | None = attrs.field(default=None, init=False)
    _texts: dict[int, str] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._endings = Endings(self._ends)

    def blocks(
        self, choice: Choice, before: list[int], request: SampleRequest
    ) -> Exchange[tuple[tuple[Continuation, ...], int]]:
        """Return one-token continuations and the number of tokens that had to be forced.

        Args:
            choice: one sampled token with its alternatives, by id.
            before: the last ids before it.
            request: its `n` is the number of continuations.

        Raises:
            LogprobsUnavailable: the server lists fewer.
        """
        found = alternatives_of(choice)
        if choice.token_ids:
            ended = choice.finish_reason == STOP and choice.stop_reason is None
            self._endings.note(choice.token_ids[0], ends=ended)
        wanted = found[: max(request.n, request.top_logprobs)]
        inside = last_text(request.beam) == ""
        known = (yield from detokenize(self.model, before)) if inside else None
        candidates = []
        for number, value in wanted:
            text = yield from self._text_of(number)
            data: bytes | None = text.encode()
            if known is None and BROKEN in text:
                known = yield from detokenize(self.model, before)
            if known is not None and (inside or BROKEN in text):
                longer = yield from detokenize(self.model, [*before, number])
                data = added_bytes(known, longer, open_ended=True)
                if data is None:
                    raise MalformedResponse("the detokenizer alters the text before a token")
            candidates.append(Candidate(number, value, text, data or b""))
        asked: list[int] = []
        ends = yield from self._endings.of(candidates, asked)
        return blocks_of(candidates, ends, request.n, request.top_logprobs), len(asked)

    def _text_of(self, number: int) -> Exchange[str]:
        """Decode a token after one of complete characters; alone it may lose a leading space."""
        if number not in self._texts:
            plain, before = yield from self._plain_token()
            text = yield from detokenize(self.model, [plain, number])
            self._texts[number] = text[len(before) :] if text.startswith(before) else BROKEN
        return self._texts[number]

    def _plain_token(self) -> Exchange[tuple[int, str]]:
        if self._plain is None:
            ids = yield from tokenize(self.model, "a")
            if not ids:
                raise MalformedResponse("the tokenizer turns a letter into no tokens")
            number: int = ids[-1]
            self._plain = number, (yield from detokenize(self.model, [number]))
        return self._plain

    def _ends(self, number: int) -> Exchange[bool]:
        """Force a token and return whether it ends the text."""
        plain, _ = yield from self._plain_token()
        fields = {
            "model": self.model,
            "prompt": [plain],
            "max_tokens": 1,
            "temperature": 0,
            "allowed_token_ids": [number],
        }
        response = yield WireRequest(
            path="/completions",
            decode=decoder(stream=False),
            body=msgspec.json.encode(fields),
            max_tokens=1,
        )
        return bool(response.choices) and response.choices[0].finish_reason == STOP


def alternatives_of(choice: Choice) -> list[tuple[int, float]]:
    """Return the ids and log-probabilities (nats) of the next tokens, most probable first."""
    rows = choice.logprobs.top_logprobs if choice.logprobs else None
    row = rows[0] if rows else None
    if not row:
        raise LogprobsUnavailable("the server lists no next tokens")
    if not all(name.startswith(_PREFIX) for name in row):
        raise LogprobsUnavailable(
            "the server does not list its next tokens by id: use a newer vLLM, or"
            " dialect='openai' (inexact)"
        )
    checked = checked_logprobs(row.values())
    numbers = [int(name.removeprefix(_PREFIX)) for name in row]
    return sorted(zip(numbers, checked, strict=True), key=lambda item: (-item[1], item[0]))
