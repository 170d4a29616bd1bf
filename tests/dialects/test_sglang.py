"""The sglang dialect, against answers in the documented shape: nothing here was recorded."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import attrs
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.dialects.replay import capture, drive, encode, only, replay, sent
from tests.dialects.strategies import (
    beams,
    ids,
    limits,
    messages,
    pieces,
    prompts,
    unhurried,
    wishes,
)
from tests.dialects.test_broken_answers import EXPECTED, _places, _with
from trio_beam.core.beam import Beam
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.base import ModelEntry, ModelList
from trio_beam.dialects.limits import Limits
from trio_beam.dialects.refusals import error_of
from trio_beam.dialects.sglang import SGLang, Taken
from trio_beam.errors import (
    ContextOverflow,
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
    RequestRejected,
    ServerError,
)
from trio_beam.language_model import SampleRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.dialects.replay import Replayed
    from trio_beam.dialects.base import Answer, WireRequest

DOCUMENTED = capture("documented_sglang__generate")
PROMPT = [6403, 1980, 253, 655]
CHAT = [{"role": "user", "content": "Hello"}]
PLAIN = {
    "top_p": 1,
    "top_k": -1,
    "min_p": 0,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "repetition_penalty": 1,
}


def _dialect(known: Limits | None = None) -> SGLang:
    return SGLang("smol", "auto", known or Limits())


def _taken(dialect: SGLang, numbers: Sequence[int] = PROMPT) -> Taken:
    exchange = dialect.take(check_prompt("Once upon a time"))
    return replay(exchange, encode({"tokens": numbers, "count": len(numbers)})).value


def _wish(**changes: Any) -> SampleRequest:
    values: dict[str, Any] = {
        "beam": Beam(),
        "n": 1,
        "max_tokens": 3,
        "temperature": 1,
        "top_logprobs": 0,
        "seed": None,
    }
    return SampleRequest(**(values | changes))


def _ask(*answers: Any, **changes: Any) -> Replayed[Answer]:
    dialect = _dialect()
    played = [answer if isinstance(answer, EndpointError) else encode(answer) for answer in answers]
    exchange = dialect.sample(_taken(dialect), _wish(**changes))
    return replay(exchange, *(played or [DOCUMENTED.body]))


def _documented(text: str | None = None, **meta: Any) -> dict[str, Any]:
    """The documented answer with other values in it."""
    answer: dict[str, Any] = DOCUMENTED.answer()
    answer["text"] = answer["text"] if text is None else text
    answer["meta_info"] |= meta
    return answer


# -- what is sent


def _expected(prompt: Sequence[int], request: SampleRequest, known: Limits) -> dict[str, Any]:
    n = request.n if known.n is None else min(request.n, known.n)
    numbers = [*prompt, *(token.id for token in request.beam.tokens)]
    sampling = {"max_new_tokens": request.max_tokens, "temperature": request.temperature, **PLAIN}
    fields: dict[str, Any] = {"input_ids": numbers, "sampling_params": sampling}
    if request.seed is not None and n > 1:
        # One seed for all of them would make them the same.
        fields["input_ids"] = [numbers] * n
        fields["sampling_params"] = [
            sampling | {"sampling_seed": request.seed + place} for place in range(n)
        ]
    elif request.seed is not None:
        sampling["sampling_seed"] = request.seed
    elif n > 1:
        sampling["n"] = n
    return fields | {
        "model": "smol",
        "return_logprob": True,
        "logprob_start_len": -1,
        "top_logprobs_num": request.top_logprobs,
        "return_text_in_logprobs": True,
        "stream": False,
    }


@unhurried()
@given(st.lists(ids, min_size=1), wishes(beams()), limits())
def test_a_request(prompt: list[int], request: SampleRequest, known: Limits) -> None:
    known.logprobs = None
    dialect = _dialect(known)
    wire = next(dialect.sample(_taken(dialect, prompt), request))
    n = known.cap_n(request.n)
    assert (wire.path, wire.at_root) == ("/generate", True)
    assert wire.most_tokens == n * request.max_tokens
    assert sent(wire) == _expected(prompt, request, known)


@given(prompts)
def test_a_string_becomes_ids(prompt: str) -> None:
    replayed = replay(_dialect().take(check_prompt(prompt)), encode({"tokens": [1, 2]}))
    (wire,) = replayed.requests
    assert (wire.path, wire.at_root, wire.most_tokens) == ("/tokenize", True, 0)
    assert sent(wire) == {"model": "smol", "prompt": prompt}
    assert list(replayed.value.ids) == [1, 2]


@given(messages)
def test_messages_become_ids(chat: list[dict[str, Any]]) -> None:
    replayed = replay(_dialect().take(check_prompt(chat)), encode({"tokens": [1, 2]}))
    (wire,) = replayed.requests
    assert sent(wire) == {"model": "smol", "messages": chat}
    assert list(replayed.value.ids) == [1, 2]


def test_a_string_as_a_chat() -> None:
    dialect = SGLang("smol", "chat", Limits())
    replayed = replay(dialect.take(check_prompt("Hello")), encode({"tokens": [1]}))
    assert sent(replayed.requests[0])["messages"] == CHAT


# -- what is read


def test_a_whole_block() -> None:
    answer = _ask(top_logprobs=2).value
    continuation = only(answer)
    assert answer.prompt_tokens == 4
    assert continuation.data == b", I could"
    assert list(continuation.keys) == [28, 339, 746]
    assert [(token.text, token.id) for token in continuation.tokens] == [
        (",", 28),
        (" I", 339),
        (" could", 746),
    ]
    assert continuation.logprob == pytest.approx(-0.429 - 2.059 - 4.124)
    assert (continuation.finish_reason, continuation.generated) == ("length", 3)
    assert continuation.exact
    first = continuation.tokens[0].top
    assert [(top.text, top.id, top.logprob) for top in first] == [
        (",", 28, -0.429),
        (" in", 281, -2.548),
    ]


def test_end_of_text_counts_in_the_score_and_adds_no_text() -> None:
    rows = [[-0.5, 28, ","], [-0.25, 2, "<|im_end|>"]]
    reason = {"type": "stop", "matched": 2}
    answer = _documented(",", output_token_logprobs=rows, completion_tokens=2, finish_reason=reason)
    continuation = only(_ask(answer).value)
    assert continuation.finish_reason == "stop"
    assert continuation.data == b","
    assert continuation.logprob == -0.75
    assert continuation.tokens[-1].data == b""
    assert continuation.exact


def test_several_choices_keep_their_order() -> None:
    first, second = _documented(), _documented(" there was")
    replayed = _ask([first, second], n=2)
    assert sent(replayed.requests[0])["sampling_params"]["n"] == 2
    data = [continuation.data for continuation in replayed.value.continuations]
    assert data == [b", I could", b" there was"]
    assert replayed.value.prompt_tokens == 4  # it was computed once


def test_fewer_choices_are_remembered() -> None:
    dialect = _dialect()
    replay(dialect.sample(_taken(dialect), _wish(n=3)), encode([_documented()]))
    assert dialect.limits.n == 1


def test_two_blocks() -> None:
    dialect = _dialect()
    taken = _taken(dialect)
    first = replay(dialect.sample(taken, _wish()), DOCUMENTED.body)
    beam = Beam().extend(only(first.value))
    second = replay(dialect.sample(taken, _wish(beam=beam)), DOCUMENTED.body)
    assert sent(second.requests[0])["input_ids"] == [*PROMPT, 28, 339, 746]
    child = beam.extend(only(second.value))
    assert child.text == ", I could, I could"
    assert child.exact


# -- another temperature


def _as_prompt(*values: float) -> dict[str, Any]:
    """The answer to prompt and block, with the documented block's tokens."""
    rows: list[list[Any]] = [[None, 655, " time"]]
    rows += [
        [value, number, text]
        for value, (_, number, text) in zip(
            values, DOCUMENTED.answer()["meta_info"]["output_token_logprobs"], strict=True
        )
    ]
    tops = [None, *([[-0.1, 1, "x"], [None, 2, "y"]] for _ in values)]
    return _documented(
        "", input_token_logprobs=rows, input_top_logprobs=tops, output_token_logprobs=[]
    )


@pytest.mark.parametrize("temperature", [0.5, 2])
def test_a_scaled_block_is_read_again(temperature: float) -> None:
    replayed = _ask(
        [_documented(), _documented()],
        [_as_prompt(-1, -2, -3), _as_prompt(-4, -5, -6)],
        temperature=temperature,
        top_logprobs=2,
        n=2,
    )
    _, again = replayed.requests
    assert (again.path, again.at_root, again.most_tokens) == ("/generate", True, 0)
    assert sent(again) == {
        "input_ids": [[*PROMPT, 28, 339, 746]] * 2,
        "sampling_params": {"max_new_tokens": 0, "temperature": 1, **PLAIN},
        "model": "smol",
        "return_logprob": True,
        "logprob_start_len": 3,
        "top_logprobs_num": 2,
        "return_text_in_logprobs": True,
        "stream": False,
    }
    first, second = replayed.value.continuations
    assert [token.logprob for token in first.tokens] == [-1, -2, -3]
    assert (first.logprob, second.logprob) == (-6, -15)
    assert [top.logprob for top in first.tokens[0].top] == [-0.1]
    assert first.exact
    assert replayed.value.prompt_tokens == 4 + 4 + 4


@pytest.mark.parametrize("temperature", [0, 0.0, 1, 1.0])
def test_no_second_request_where_nothing_is_scaled(temperature: float) -> None:
    assert len(_ask(temperature=temperature).requests) == 1


def test_the_second_reading_is_of_the_same_tokens() -> None:
    other = _as_prompt(-1, -2, -3)
    other["meta_info"]["input_token_logprobs"][-1][1] = 99
    with pytest.raises(MalformedResponse, match="not those of the tokens"):
        _ask(_documented(), [other], temperature=0.5)


def test_a_server_that_reads_no_prompt() -> None:
    with pytest.raises(LogprobsUnavailable, match="of a prompt"):
        _ask(_documented(), [_documented(input_token_logprobs=[])], temperature=0.5)


def test_a_second_reading_that_is_short() -> None:
    answers = [_documented(), _documented()], [_as_prompt(-1, -2, -3)]
    with pytest.raises(MalformedResponse, match="1 answers to 2 prompts"):
        _ask(*answers, temperature=0.5, n=2)


# -- characters


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
    dialect = _dialect()
    taken = _taken(dialect, [1])
    beam = Beam()
    for size in sizes:
        if beam.length == len(parts):
            break
        request = _wish(beam=beam, max_tokens=size)
        beam = beam.extend(only(drive(dialect.sample(taken, request), server).value))
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
    dialect = _dialect()
    taken = _taken(dialect, [1])
    beam = Beam()
    for _ in words:
        request = _wish(beam=beam, max_tokens=1)
        beam = beam.extend(only(drive(dialect.sample(taken, request), server).value))
    assert beam.text == "".join(words)
    assert server.detokenized == 0


def test_what_is_left_of_a_character_at_an_end_is_shown() -> None:
    """Nothing comes behind it any more."""
    rows = [[-0.5, 28, "\ufffd"], [-0.25, 2, "<|im_end|>"]]
    reason = {"type": "stop", "matched": 2}
    answer = _documented(
        "\ufffd", output_token_logprobs=rows, completion_tokens=2, finish_reason=reason
    )
    replayed = _ask(answer, {"text": ["upon a time", "upon a time\ufffd"]})
    assert sent(replayed.requests[1])["tokens"] == [PROMPT, [*PROMPT, 28]]
    assert only(replayed.value).data == "\ufffd".encode()


def test_a_tokenizer_that_changes_what_is_before() -> None:
    answer = _documented(" could\ufffd")
    replayed = _ask(answer, {"text": ["upon a time", "Upon a time could\ufffd"]})
    assert only(replayed.value).data == b" could"
    assert not only(replayed.value).exact


def test_as_many_texts_as_were_asked_for() -> None:
    with pytest.raises(MalformedResponse, match="1 texts for 2 lists"):
        _ask(_documented(" could\ufffd"), {"text": ["upon a time"]})


# -- what is refused


def _refusal(status: int, words: str) -> EndpointError:
    body = encode({"error": {"message": words}})
    return error_of(status, {}, body, url="http://server", now=0)


@pytest.mark.parametrize(
    ("prompt", "status", "words"),
    [
        ("Hello", 404, "this SGLang has no /tokenize;"),
        (CHAT, 404, "this SGLang has no /tokenize for chat messages"),
        (CHAT, 400, "this SGLang has no /tokenize for chat messages"),
        (CHAT, 422, "this SGLang has no /tokenize for chat messages"),
    ],
)
def test_a_server_that_is_too_old(prompt: Any, status: int, words: str) -> None:
    with pytest.raises(RequestRejected, match=words) as raised:
        replay(_dialect().take(check_prompt(prompt)), _refusal(status, "Field required"))
    assert raised.value.status == status
    assert "Field required" in raised.value.message
    assert raised.value.url == "http://server"


@pytest.mark.parametrize("prompt", ["Hello", CHAT])
@pytest.mark.parametrize("status", [400, 401])
def test_another_refusal_is_passed_on(status: int, prompt: Any) -> None:
    refusal = _refusal(status, "the template raised an error")
    with pytest.raises(RequestRejected) as raised:
        replay(_dialect().take(check_prompt(prompt)), refusal)
    assert raised.value is refusal


def test_a_prompt_that_is_too_long() -> None:
    words = "The input (9000 tokens) is longer than the model's context length (4096 tokens)."
    with pytest.raises(ContextOverflow):
        replay(_dialect().take(check_prompt(CHAT)), _refusal(400, words))
    with pytest.raises(ContextOverflow):
        _ask(_refusal(400, words))


def test_a_prompt_of_no_tokens() -> None:
    with pytest.raises(MalformedResponse):
        replay(_dialect().take(check_prompt("Hello")), encode({"tokens": []}))


def test_a_request_that_was_given_up() -> None:
    reason = {"type": "abort", "message": "Out of memory", "status_code": 503}
    answer = _documented("", finish_reason=reason, output_token_logprobs=[])
    with pytest.raises(ServerError, match="Out of memory") as raised:
        _ask(answer)
    assert raised.value.status == 503
    with pytest.raises(ServerError, match="Out of memory"):
        _ask(_documented(), [answer], temperature=0.5)


@pytest.mark.parametrize("rows", [None, []])
def test_an_answer_without_log_probabilities(rows: Any) -> None:
    with pytest.raises(LogprobsUnavailable):
        _ask(_documented(output_token_logprobs=rows))


def test_a_token_without_its_log_probability() -> None:
    rows = [[-0.5, 28, ","], [None, 339, " I"]]
    with pytest.raises(LogprobsUnavailable):
        _ask(_documented(output_token_logprobs=rows))


def test_fewer_log_probabilities_than_tokens() -> None:
    continuation = only(_ask(_documented(completion_tokens=5), max_tokens=8).value)
    assert continuation.generated == 5
    assert not continuation.exact


def test_more_tokens_than_were_asked_for() -> None:
    with pytest.raises(MalformedResponse, match="at most 2"):
        _ask(max_tokens=2)


def test_a_log_probability_above_0() -> None:
    rows = [[0.5, 28, ","]]
    with pytest.raises(MalformedResponse, match="above 0"):
        _ask(_documented(",", output_token_logprobs=rows))
    tops = [[[0.5, 28, ","]]] * 3
    with pytest.raises(MalformedResponse, match="above 0"):
        _ask(_documented(output_top_logprobs=tops), top_logprobs=1)


def test_alternatives_that_are_missing() -> None:
    with pytest.raises(MalformedResponse, match="rows of alternatives"):
        _ask(_documented(output_top_logprobs=[None]), top_logprobs=1)


def test_no_choices() -> None:
    with pytest.raises(MalformedResponse):
        _ask([])


@pytest.mark.parametrize(("owner", "known"), [("sglang", True), ("vllm", False), (None, False)])
def test_it_is_known_by_the_owner_of_its_models(owner: str | None, known: bool) -> None:
    models = ModelList(data=[ModelEntry(id="smol", owned_by=owner)])
    assert SGLang.recognises(models) is known


SECOND = {"text": ["upon a time", "upon a time, I could\ufffd"]}


@unhurried(60)
@given(st.sampled_from([0, 1, 2]), st.data())
def test_a_truncated_body(which: int, data: st.DataObject) -> None:
    """Of each of the three answers that a block may take."""
    answers = [encode(_documented(", I could\ufffd")), encode([_as_prompt(-1, -2, -3)])]
    answers.append(encode(SECOND))
    length = data.draw(st.integers(0, len(answers[which]) - 1))
    answers[which] = answers[which][:length]
    dialect = _dialect()
    exchange = dialect.sample(_taken(dialect), _wish(temperature=0.5))
    with pytest.raises(EXPECTED):
        replay(exchange, *answers)


@unhurried(60)
@given(st.integers(0, 20))
def test_truncated_ids(length: int) -> None:
    body = json.dumps({"tokens": PROMPT}).encode()
    with pytest.raises(EXPECTED):
        replay(_dialect().take(check_prompt("Hello")), body[:length])


@unhurried(300)
@given(st.sampled_from([0, 1, 2]), st.data())
def test_a_value_of_another_kind(which: int, data: st.DataObject) -> None:
    answers: list[Any] = [_documented(", I could\ufffd"), [_as_prompt(-1, -2, -3)], SECOND]
    place = data.draw(st.sampled_from(_places(answers[which])))
    other: Any = data.draw(
        st.sampled_from([None, "", "x", "\ufffd", [], [None], {}, True, -1, 5.5])
    )
    assume(place or which == 0)
    answers[which] = _with(answers[which], place, other)
    dialect = _dialect()
    exchange = dialect.sample(_taken(dialect), _wish(temperature=0.5, top_logprobs=2))

    def by_path(request: WireRequest[Any]) -> bytes:
        if request.path == "/detokenize":
            return encode(answers[2])
        return encode(answers[0 if sent(request)["logprob_start_len"] < 0 else 1])

    try:
        continuation = only(drive(exchange, by_path).value)
    except EXPECTED:
        return
    assert continuation.logprob <= 0
    assert math.isfinite(continuation.logprob)
    assert all(top.logprob <= 0 for token in continuation.tokens for top in token.top)
