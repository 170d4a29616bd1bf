"""The log-probabilities that llama.cpp leaves out: of tokens inside a character that is not complete.

They are asked for again, each by a request of one token: another token, of whole characters, is forced
by a logit bias, since for that one the server does report, and its alternatives carry the unbiased
log-probabilities.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from trio_beam.core.block import Token
from trio_beam.dialects.common.detokenize import more_ids
from trio_beam.dialects.common.dialect import Exchange, WireRequest
from trio_beam.dialects.common.encoding import splice
from trio_beam.dialects.llama_cpp_wire import (
    FIELDS,
    SAMPLING,
    Native,
    NativeWithTop,
    decode_tokens,
    decode_with_top,
    token_of,
    token_of_top,
)
from trio_beam.errors import LogprobsUnavailable, MalformedResponse

#: Byte-level tokens inside one character: it has at most 4 bytes, and its last token is reported.
_MOST_SILENT = 3
#: How many alternatives a repair asks for, until the token is among them; the last is any vocabulary.
_REPAIR_TOP = (64, 4096, 1 << 20)
_WITHOUT = "the server sent tokens without log-probabilities"
_NOT_THEIRS = "the log-probabilities are not those of the tokens"


@attrs.define(eq=False)
class Repairer:
    """Finds what was left out, for all searches of an endpoint.

    Attributes:
        model: its name.
        plain: the id of a token that is whole characters by itself, once one is known.
    """

    model: str
    plain: int | None = None

    def note(self, token: Token) -> None:
        """Remember a token that is whole characters by itself."""
        if token.bytes and token.text.encode() == token.bytes:
            self.plain = token.id

    def tokens(
        self, native: Native, prompt: bytes, top: int, spent: list[int]
    ) -> Exchange[list[Token]]:
        """All tokens of a block.

        Args:
            native: the block as it came.
            prompt: what it was asked for behind, as elements of a JSON array.
            top: alternatives wanted beside each token.
            spent: takes the prompt tokens of each request that this takes.

        Raises:
            LogprobsUnavailable, MalformedResponse: there is no mending it.
        """
        check_entries(native)
        entries = native.completion_probabilities
        tokens: list[Token] = []
        silent: list[Token] = []  # of the character that is not yet complete
        place = 0
        for at, number in enumerate(native.tokens):
            entry = entries[place] if place < len(entries) else None
            token: Token | None = None
            if entry is not None and entry.id == number:
                token = token_of(entry, silent, top)
                if not silent or number not in native.tokens[at + 1 : at + 1 + _MOST_SILENT]:
                    repaired = token
                else:  # the entry may be that of the same token further on: only its bytes tell
                    repaired = yield from self._repair(prompt, native, at, top, spent)
                if repaired.bytes == token.bytes:
                    place += 1
                    silent = []
                    tokens.append(token)
                    self.note(token)
                    continue
                token = repaired
            if len(silent) == _MOST_SILENT:
                raise LogprobsUnavailable(_WITHOUT)
            if token is None:
                token = yield from self._repair(prompt, native, at, top, spent)
            silent.append(token)
            tokens.append(token)
        if place < len(entries):
            raise MalformedResponse(_NOT_THEIRS)
        return tokens

    def _repair(
        self, prompt: bytes, native: Native, at: int, top: int, spent: list[int]
    ) -> Exchange[Token]:
        """The log-probability and the bytes of token number `at` of a block."""
        number = native.tokens[at]
        prompt += more_ids(native.tokens[:at])
        for count in _REPAIR_TOP:
            alternatives = yield from self.next_tokens(prompt, count, spent)
            if alternatives is None:
                break
            for found in alternatives:
                if found.id == number:
                    return found._replace(top=tuple(alternatives[:top]))
        raise LogprobsUnavailable(f"the server gives no log-probability for token {number}")

    def next_tokens(
        self, prompt: bytes, count: int, spent: list[int]
    ) -> Exchange[list[Token] | None]:
        """The most probable tokens behind a prompt, the most probable first; None if it shows none.

        Args:
            prompt: elements of a JSON array.
            count: how many.
            spent: takes the prompt tokens of the request.
        """
        if self.plain is None:
            self.plain = yield from self._find_plain()
        answer = yield self._forced(prompt, self.plain, count)
        if not isinstance(answer, NativeWithTop) or not answer.completion_probabilities:
            return None
        spent.append(max(0, answer.tokens_evaluated))
        return [token_of_top(one) for one in answer.completion_probabilities[0].top_logprobs]

    def ends(self, number: int) -> Exchange[bool]:
        """Force a token, and see whether it ends the text."""
        if self.plain is None:
            self.plain = yield from self._find_plain()
        answer = yield self._forced(b"%d" % self.plain, number, 1)
        return isinstance(answer, Native) and answer.stop_type == "eos"

    def _forced(self, prompt: bytes, number: int, count: int) -> WireRequest[Any]:
        """A request of one token, which can only be this one, with so many alternatives."""
        fields = {
            "model": self.model,
            "n_predict": 1,
            "temperature": 1,
            "n_probs": count,
            "logit_bias": [[number, 1000]],
            "return_tokens": True,
            "response_fields": FIELDS,
            **SAMPLING,
        }
        return WireRequest(
            path="/completion",
            decode=decode_with_top,
            body=splice("prompt", b"[%s]" % prompt, fields),
            at_root=True,
            most_tokens=1,
            alternatives=count,
        )

    def _find_plain(self) -> Exchange[int]:
        body = msgspec.json.encode({"content": "a", "add_special": True, "parse_special": True})
        answer = yield WireRequest(path="/tokenize", decode=decode_tokens, body=body, at_root=True)
        ids: list[int] = answer.tokens
        if not ids:
            raise MalformedResponse("the tokenizer makes no token of a letter")
        return ids[-1]


def check_entries(native: Native) -> None:
    """Refuse what no repair can mend, before one is asked for."""
    entries, ids = native.completion_probabilities, native.tokens
    rest = iter(ids)
    if not all(entry.id in rest for entry in entries):  # in this order
        raise MalformedResponse(_NOT_THEIRS)
    if len(entries) == len(ids):
        return
    # Where the last entry may belong, if no run of silent tokens is longer than a character's.
    places = {-1}
    for entry in entries:
        steps = [place + step for place in places for step in range(1, _MOST_SILENT + 2)]
        places = {place for place in steps if place < len(ids) and ids[place] == entry.id}
    if not any(len(ids) - 1 - place <= _MOST_SILENT for place in places):
        raise LogprobsUnavailable(_WITHOUT)
