"""SGLang's text by halves of characters, and how the sglang dialect makes whole ones of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.dialects.replay import drive, encode, only, sent
from tests.dialects.sglang import (
    PROMPT,
    ask,
    documented,
    sglang,
    taken_by,
    wish,
)
from tests.dialects.strategies import pieces, unhurried
from trio_beam.core.beam import Beam
from trio_beam.errors import MalformedResponse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.dialects.common.exchange import WireRequest


@attrs.define
class ByteServer:
    """A server whose model has the pieces of a text as tokens, and says them one after the other.

    The ids from `FIRST` on are the pieces; the prompt is of one more token, which is a letter.
    Its text is decoded as the real one does: with the five tokens before, of which the text is
    taken off again.
    """

    FIRST = 1000
    pieces: list[bytes]
    detokenized: int = 0

    def decode(self, numbers: Sequence[int]) -> str:
        joined = b"".join(
            self.pieces[number - self.FIRST] if number >= self.FIRST else b"x" for number in numbers
        )
        return joined.decode("utf-8", "replace")

    def __call__(self, request: WireRequest[Any]) -> bytes:
        body = sent(request)
        if request.path == "/detokenize":
            self.detokenized += 1
            return encode({"text": [self.decode(numbers) for numbers in body["tokens"]]})
        numbers: list[int] = body["input_ids"]
        begin = len(numbers) - 1
        assert numbers == [1, *range(self.FIRST, self.FIRST + begin)], "the ids are not the beam's"
        count = min(body["sampling_params"]["max_new_tokens"], len(self.pieces) - begin)
        block = list(range(self.FIRST + begin, self.FIRST + begin + count))
        before = numbers[-5:]
        return encode(
            {
                "text": self.decode([*before, *block])[len(self.decode(before)) :],
                "meta_info": {
                    "finish_reason": {"type": "length", "length": count},
                    "prompt_tokens": len(numbers),
                    "completion_tokens": count,
                    "output_token_logprobs": [
                        [-0.5, number, self.decode([number])] for number in block
                    ],
                },
            }
        )


@unhurried(200)
@given(pieces(), st.lists(st.integers(1, 4), min_size=1, max_size=12))
@example([b"\xe6", b"\xbc", b"\xa2", "字".encode()], [1, 1, 1, 1])
@example([b"\xf0\x9f", b"\xa6\x9c"] * 6, [1] * 12)
def test_a_character_that_is_split_between_blocks(parts: list[bytes], sizes: list[int]) -> None:
    server = ByteServer(parts)
    dialect = sglang()
    prepared = taken_by(dialect, [1])
    beam = Beam()
    for size in sizes:
        if beam.length == len(parts):
            break
        request = wish(beam=beam, max_tokens=size)
        beam = beam.extend(only(drive(dialect.sample(prepared, request), server).value))
        whole = server.decode([server.FIRST + place for place in range(beam.length)])
        assert beam.text == whole.rstrip("\ufffd")
        assert beam.exact
    assert [token.id for token in beam.tokens] == [
        server.FIRST + place for place in range(beam.length)
    ]


@unhurried()
@given(st.lists(st.sampled_from(["a", " b", "漢", "🦜"]), min_size=1, max_size=8))
def test_whole_characters_cost_no_more_requests(words: list[str]) -> None:
    server = ByteServer([word.encode() for word in words])
    dialect = sglang()
    prepared = taken_by(dialect, [1])
    beam = Beam()
    for _ in words:
        request = wish(beam=beam, max_tokens=1)
        beam = beam.extend(only(drive(dialect.sample(prepared, request), server).value))
    assert beam.text == "".join(words)
    assert server.detokenized == 0


def test_what_is_left_of_a_character_at_an_end_is_shown() -> None:
    """Nothing comes behind it any more."""
    rows = [[-0.5, 28, "\ufffd"], [-0.25, 2, "<|im_end|>"]]
    reason = {"type": "stop", "matched": 2}
    answer = documented(
        "\ufffd", output_token_logprobs=rows, completion_tokens=2, finish_reason=reason
    )
    replayed = ask(answer, {"text": ["upon a time", "upon a time\ufffd"]})
    assert sent(replayed.requests[1])["tokens"] == [PROMPT, [*PROMPT, 28]]
    assert only(replayed.value).data == "\ufffd".encode()


def test_a_tokenizer_that_changes_what_is_before() -> None:
    answer = documented(" could\ufffd")
    replayed = ask(answer, {"text": ["upon a time", "Upon a time could\ufffd"]})
    assert only(replayed.value).data == b" could"
    assert not only(replayed.value).exact


def test_as_many_texts_as_were_asked_for() -> None:
    with pytest.raises(MalformedResponse, match="1 texts for 2 lists"):
        ask(documented(" could\ufffd"), {"text": ["upon a time"]})
