"""Recover the log-probabilities llama.cpp omits: those of tokens inside an incomplete character.

Each takes a request of one token that forces a token of complete characters by a logit bias. The server
reports that token, and its alternatives carry the unbiased log-probabilities.

A forced token also shows its text, which a stream with stop strings holds back where one may have begun.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from trio_beam.core.block import Token
from trio_beam.dialects.common.detokenize import more_ids
from trio_beam.dialects.common.encoding import splice
from trio_beam.dialects.common.exchange import Exchange, WireRequest
from trio_beam.dialects.llama_cpp_wire import (
    FIELDS,
    SAMPLING,
    Completion,
    CompletionWithTop,
    decode_tokens,
    decode_with_top,
    token_of,
    token_of_top,
)
from trio_beam.errors import LogprobsUnavailable, MalformedResponse

#: Maximum number of unreported tokens in a row: a character has at most 4 bytes, and its last token is
#: reported.
_MAX_SILENT = 3
#: Numbers of alternatives to request until they include the token; the last covers any vocabulary.
_REPAIR_TOP = (64, 4096, 1 << 20)
_WITHOUT = "the server sent tokens without log-probabilities"
_NOT_THEIRS = "the log-probabilities are not those of the tokens"


@attrs.define(eq=False)
class Repairer:
    """Recovers omitted log-probabilities, for all searches of an endpoint.

    Attributes:
        model: its name.
        plain: the id of a token of complete characters, once one is known.
    """

    model: str
    plain: int | None = None
    _spellings: dict[int, bytes | None] = attrs.field(factory=dict, init=False)

    def note(self, token: Token) -> None:
        """Remember the token if it consists of complete characters."""
        if token.bytes and token.text.encode() == token.bytes:
            self.plain = token.id

    def tokens(
        self, completion: Completion, prompt: bytes, top: int, spent: list[int]
    ) -> Exchange[list[Token]]:
        """Return all tokens of a block.

        Args:
            completion: the block as received.
            prompt: the prompt it continues, as elements of a JSON array.
            top: number of alternatives per token.
            spent: receives the prompt tokens of each repair request.

        Raises:
            LogprobsUnavailable, MalformedResponse: it cannot be repaired.
        """
        check_entries(completion)
        entries = completion.completion_probabilities
        tokens: list[Token] = []
        silent: list[Token] = []  # tokens of the incomplete character
        place = 0
        for at, number in enumerate(completion.tokens):
            entry = entries[place] if place < len(entries) else None
            token: Token | None = None
            if entry is not None and entry.id == number:
                token = token_of(entry, silent, top)
                if not silent or number not in completion.tokens[at + 1 : at + 1 + _MAX_SILENT]:
                    repaired = token
                else:  # the entry may belong to a later token with the same id: compare the bytes
                    repaired = yield from self._repair(prompt, completion, at, top, spent)
                if repaired.bytes == token.bytes:
                    place += 1
                    silent = []
                    tokens.append(token)
                    self.note(token)
                    continue
                token = repaired
            if len(silent) == _MAX_SILENT:
                raise LogprobsUnavailable(_WITHOUT)
            if token is None:
                token = yield from self._repair(prompt, completion, at, top, spent)
            silent.append(token)
            tokens.append(token)
        if place < len(entries):
            raise MalformedResponse(_NOT_THEIRS)
        return tokens

    def _repair(
        self, prompt: bytes, completion: Completion, at: int, top: int, spent: list[int]
    ) -> Exchange[Token]:
        """Recover the token at index `at` of a block."""
        number = completion.tokens[at]
        prompt += more_ids(completion.tokens[:at])
        for count in _REPAIR_TOP:
            alternatives = yield from self.next_tokens(prompt, count, spent)
            if alternatives is None:
                break
            for found in alternatives:
                if found.id == number:
                    return found._replace(top=tuple(alternatives[:top]))
        raise LogprobsUnavailable(f"the server sends no log-probability for token {number}")

    def next_tokens(
        self, prompt: bytes, count: int, spent: list[int]
    ) -> Exchange[list[Token] | None]:
        """Return the most probable tokens after a prompt, best first; None if the server sends none.

        Args:
            prompt: elements of a JSON array.
            count: number of tokens to return.
            spent: receives the prompt tokens of the request.
        """
        if self.plain is None:
            self.plain = yield from self._find_plain()
        response = yield self._forced(prompt, self.plain, count)
        if not isinstance(response, CompletionWithTop) or not response.completion_probabilities:
            return None
        spent.append(max(0, response.tokens_evaluated))
        return [token_of_top(one) for one in response.completion_probabilities[0].top_logprobs]

    def ends(self, number: int) -> Exchange[bool]:
        """Force a token and return whether it ends the text."""
        response = yield from self._force(number)
        return isinstance(response, Completion) and response.stop_type == "eos"

    def spell(self, completion: Completion, spent: list[int]) -> Exchange[bool]:
        """Restore the texts that a stream held back, in place; return whether that was possible.

        A token behind whose text a stop string may have begun is shown as "", its text with that of the next
        one. Of the token that completes a stop string only what stands before the string is shown.

        Args:
            completion: the block as received, without missing tokens.
            spent: receives the prompt tokens of each request.
        """
        held = b""
        last = len(completion.completion_probabilities) - 1
        for place, entry in enumerate(completion.completion_probabilities):
            if place == last and completion.stop_type == "eos":
                break
            if entry.bytes and not (place == last and completion.stop_type == "word"):
                if not held:
                    continue
                data = bytes(entry.bytes)
                if not data.startswith(held):
                    return False
                data, held = data.removeprefix(held), b""
            else:
                if entry.id not in self._spellings:
                    response = yield from self._force(entry.id)
                    spent.append(max(0, response.tokens_evaluated))
                    found = response.completion_probabilities
                    self._spellings[entry.id] = bytes(found[0].bytes) if found else None
                spelling = self._spellings[entry.id]
                if spelling is None:  # a part of a character
                    return False
                data, held = spelling, held + spelling
            entry.bytes, entry.token = list(data), data.decode("utf-8", "replace")
        return True

    def _force(self, number: int) -> Exchange[Any]:
        """Request one token behind any text."""
        if self.plain is None:
            self.plain = yield from self._find_plain()
        response = yield self._forced(b"%d" % self.plain, number, 1)
        return response

    def _forced(self, prompt: bytes, number: int, count: int) -> WireRequest[Any]:
        """Build a request that forces one token and asks for `count` alternatives."""
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
            max_tokens=1,
            alternatives=count,
        )

    def _find_plain(self) -> Exchange[int]:
        body = msgspec.json.encode({"content": "a", "add_special": True, "parse_special": True})
        response = yield WireRequest(
            path="/tokenize", decode=decode_tokens, body=body, at_root=True
        )
        ids: list[int] = response.tokens
        if not ids:
            raise MalformedResponse("the tokenizer turns a letter into no tokens")
        return ids[-1]


def check_entries(completion: Completion) -> None:
    """Reject a block that cannot be repaired, before requesting repairs."""
    entries, ids = completion.completion_probabilities, completion.tokens
    rest = iter(ids)
    if not all(entry.id in rest for entry in entries):  # in this order
        raise MalformedResponse(_NOT_THEIRS)
    if len(entries) == len(ids):
        return
    # Possible positions of the last entry if no run of silent tokens exceeds one character.
    places = {-1}
    for entry in entries:
        steps = [place + step for place in places for step in range(1, _MAX_SILENT + 2)]
        places = {place for place in steps if place < len(ids) and ids[place] == entry.id}
    if not any(len(ids) - 1 - place <= _MAX_SILENT for place in places):
        raise LogprobsUnavailable(_WITHOUT)
