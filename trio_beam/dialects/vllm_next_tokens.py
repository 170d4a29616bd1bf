"""vLLM's most probable next tokens by their ids, with the text that each adds.

The alternatives of a token come by their texts, and those of the same text as one; with
``return_tokens_as_token_ids`` they come by their ids. ``/detokenize`` has their texts.

Recorded: 0.32.0.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from trio_beam.core.block import STOP, Continuation
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.detokenize import BROKEN, last_text, whole_part
from trio_beam.dialects.common.dialect import Exchange, WireRequest
from trio_beam.dialects.common.next_tokens import Candidate, Endings, blocks_of
from trio_beam.dialects.common.sampled_tokens import checked_logprobs
from trio_beam.dialects.vllm_wire import Choice, decode_detokenized, decode_tokenized, decoder
from trio_beam.errors import LogprobsUnavailable, MalformedResponse

ALTERNATIVES_BY_ID: dict[str, Any] = {"return_tokens_as_token_ids": True}
_PREFIX = "token_id:"


def detokenize(model: str, ids: list[int]) -> Exchange[str]:
    """The text of token ids."""
    if not ids:
        return ""
    body = msgspec.json.encode({"model": model, "tokens": ids})
    answer = yield WireRequest(
        path="/detokenize", decode=decode_detokenized, body=body, at_root=True
    )
    text: str = answer.prompt
    return text


@attrs.define(eq=False)
class NextTokens:
    """What is known of single tokens, for all searches of an endpoint.

    Attributes:
        model: its name.
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
        """Continuations of one token each, and how many tokens had to be forced for them.

        Args:
            choice: one sampled token with its alternatives, by their ids.
            before: the last ids in front of it.
            request: with n, the number of continuations.

        Raises:
            LogprobsUnavailable: the server shows fewer.
        """
        found = _alternatives(choice)
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
                data = whole_part(known, longer, open_ended=True)
                if data is None:
                    raise MalformedResponse("the detokenizer changes the text in front of a token")
            candidates.append(Candidate(number, value, text, data or b""))
        asked: list[int] = []
        ends = yield from self._endings.of(candidates, asked)
        return blocks_of(candidates, ends, request.n, request.top_logprobs), len(asked)

    def _text_of(self, number: int) -> Exchange[str]:
        """The text of a token behind one of whole characters; by itself it may lose a blank."""
        if number not in self._texts:
            plain, before = yield from self._plain_token()
            text = yield from detokenize(self.model, [plain, number])
            self._texts[number] = text[len(before) :] if text.startswith(before) else BROKEN
        return self._texts[number]

    def _plain_token(self) -> Exchange[tuple[int, str]]:
        if self._plain is None:
            fields = {"model": self.model, "prompt": "a", "add_special_tokens": False}
            answer = yield WireRequest(
                path="/tokenize",
                decode=decode_tokenized,
                body=msgspec.json.encode(fields),
                at_root=True,
            )
            if not answer.tokens:
                raise MalformedResponse("the tokenizer makes no token of a letter")
            number: int = answer.tokens[-1]
            self._plain = number, (yield from detokenize(self.model, [number]))
        return self._plain

    def _ends(self, number: int) -> Exchange[bool]:
        """Force a token, and see whether it ends the text."""
        plain, _ = yield from self._plain_token()
        fields = {
            "model": self.model,
            "prompt": [plain],
            "max_tokens": 1,
            "temperature": 0,
            "allowed_token_ids": [number],
        }
        answer = yield WireRequest(
            path="/completions",
            decode=decoder(stream=False),
            body=msgspec.json.encode(fields),
            most_tokens=1,
        )
        return bool(answer.choices) and answer.choices[0].finish_reason == STOP


def _alternatives(choice: Choice) -> list[tuple[int, float]]:
    """The ids and log-probabilities (nats) of the next tokens, the most probable first."""
    rows = choice.logprobs.top_logprobs if choice.logprobs else None
    row = rows[0] if rows else None
    if not row:
        raise LogprobsUnavailable("the server shows no next tokens")
    if not all(name.startswith(_PREFIX) for name in row):
        raise LogprobsUnavailable(
            "the server does not show its next tokens by their ids: use a newer vLLM, or"
            " dialect='openai' (inexact)"
        )
    checked = checked_logprobs(row.values())
    numbers = [int(name.removeprefix(_PREFIX)) for name in row]
    return sorted(zip(numbers, checked, strict=True), key=lambda item: (-item[1], item[0]))
