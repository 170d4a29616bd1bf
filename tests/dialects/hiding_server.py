"""A llama.cpp that keeps silent about the tokens inside a character, as the real one does.

Its rule is that of `validate_utf8` in the server's code: while what it has generated ends in a
character that is begun and not ended, nothing is reported; the token that ends it is reported
with the bytes of all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from tests.dialects.replay import encode, sent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.dialects.common.exchange import WireRequest

#: The token that ``/tokenize`` knows.
PLAIN = 253


@attrs.frozen
class Sampled:
    """One token as the model has it."""

    id: int
    data: bytes
    logprob: float

    def entry(self, data: bytes | None = None) -> dict[str, Any]:
        """As it is reported, with other bytes where those before it were not."""
        data = self.data if data is None else data
        text = data.decode("utf-8", "replace")
        return {"id": self.id, "token": text, "bytes": list(data), "logprob": self.logprob}


#: The first byte of a character of so many bytes: mask and value.
_FIRST = {2: (0xE0, 0xC0), 3: (0xF0, 0xE0), 4: (0xF8, 0xF0)}


def inside_a_character(data: bytes) -> bool:
    """Whether the bytes end in a character that is begun and not ended."""
    return any(
        back < length and byte & mask == value
        for back, byte in enumerate(data[:-5:-1], start=1)
        for length, (mask, value) in _FIRST.items()
    )


@attrs.define
class HidingServer:
    """Answers to one block behind `before` elements of a prompt, and to what is asked for again.

    Attributes:
        tokens: the block.
        before: how many elements of the prompt come before it.
        repairs: the places that were asked for again.
        forced: the tokens that were forced for it.
    """

    tokens: Sequence[Sampled]
    before: int = 1
    repairs: list[int] = attrs.field(factory=list)
    forced: list[int] = attrs.field(factory=list)

    def __call__(self, request: WireRequest[Any]) -> bytes:
        """The answer."""
        if request.path == "/tokenize":
            return encode({"tokens": [PLAIN]})
        body = sent(request)
        if "logit_bias" in body:
            return self._repair(body)
        numbers = [token.id for token in self.tokens]
        return encode({"tokens": numbers, "completion_probabilities": self._entries()})

    def _entries(self) -> list[dict[str, Any]]:
        entries = []
        silent = b""
        for token in self.tokens:
            silent += token.data
            if not inside_a_character(silent):
                entries.append(token.entry(silent) | {"top_logprobs": [token.entry()]})
                silent = b""
        return entries

    def _repair(self, body: dict[str, Any]) -> bytes:
        assert body["n_predict"] == 1
        place = len(body["prompt"]) - self.before
        assert body["prompt"][self.before :] == [token.id for token in self.tokens[:place]]
        ((forced, bias),) = body["logit_bias"]
        assert bias >= 1000
        self.repairs.append(place)
        self.forced.append(forced)
        entry = Sampled(forced, b"a", -9.0).entry()
        top = [Sampled(1, b"x", -0.1).entry(), self.tokens[place].entry()]
        return encode(
            {"tokens": [forced], "completion_probabilities": [entry | {"top_logprobs": top}]}
        )
