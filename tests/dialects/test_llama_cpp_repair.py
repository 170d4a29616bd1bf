"""Log-probabilities that llama.cpp leaves out are asked for again, one token a request.

No native answer to a forced token was recorded: those here are constructed, one of them from what
the OpenAI route answered (its entries are the same).
"""

from __future__ import annotations

import json
from itertools import accumulate

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.dialects.hiding_server import PLAIN, HidingServer, Sampled, inside_a_character
from tests.dialects.replay import Capture, ask, capture, drive, encode, only, prepared, sent
from tests.dialects.strategies import cut, unhurried
from trio_beam.core.beam import Beam
from trio_beam.core.block import Token
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.llama_cpp import LlamaCpp
from trio_beam.errors import EndpointError, LogprobsUnavailable, RequestRejected

FIRST = Sampled(177, b"\xe6", -0.75)
SECOND = Sampled(137, b"\xbc", -0.01)
TOKENIZED = encode({"tokens": [PLAIN]})


def _forced(*alternatives: Sampled) -> bytes:
    entry = Sampled(PLAIN, b" a", -4.0).entry()
    top = [alternative.entry() for alternative in alternatives]
    return encode({"tokens": [PLAIN], "completion_probabilities": [entry | {"top_logprobs": top}]})


def _prompt(recorded: Capture) -> str:
    prompt = recorded.prompt()
    assert isinstance(prompt, str)
    return prompt


def test_what_is_found_is_put_in() -> None:
    recorded = capture("xllamacpp__native_utf8_mt3")
    answers = (recorded.body, TOKENIZED, _forced(SECOND, FIRST), _forced(SECOND))
    continuation = only(ask(recorded, *answers).value)
    assert [token.id for token in continuation.tokens] == [177, 137, 112]
    assert [token.bytes for token in continuation.tokens] == [b"\xe6", b"\xbc", b"\xa2"]
    assert [token.logprob for token in continuation.tokens] == [-0.75, -0.01, -0.01572740636765957]
    assert continuation.logprob == pytest.approx(-0.77572740636765957)
    assert continuation.data.decode() == "漢"
    assert continuation.exact


def test_what_is_asked() -> None:
    recorded = capture("xllamacpp__native_utf8_mt3")
    answers = (recorded.body, TOKENIZED, _forced(FIRST), _forced(SECOND))
    _, tokenizing, first, second = ask(recorded, *answers).requests
    assert tokenizing.path == "/tokenize"
    for request, before in ((first, []), (second, [177])):
        body = sent(request)
        assert request.path == "/completion"
        assert body["prompt"] == [_prompt(recorded), *before]
        assert body["n_predict"] == 1
        assert body["logit_bias"] == [[PLAIN, 1000]]
        # Nothing but the bias may move what is reported.
        assert body["samplers"] == ["temperature"]
        assert (body["top_k"], body["top_p"], body["min_p"]) == (0, 1, 0)


def test_a_block_may_end_inside_a_character() -> None:
    recorded = capture("xllamacpp__native_utf8_mt2")
    answers = (recorded.body, TOKENIZED, _forced(FIRST), _forced(SECOND))
    continuation = only(ask(recorded, *answers).value)
    assert continuation.data == b"\xe6\xbc"
    assert continuation.finish_reason == "length"
    beam = Beam().extend(continuation)
    assert (beam.fragment, beam.pending) == ("", b"\xe6\xbc")


def test_alternatives_of_a_repaired_token() -> None:
    recorded = capture("xllamacpp__native_utf8_mt1")
    replayed = ask(recorded, recorded.body, TOKENIZED, _forced(SECOND, FIRST), top_logprobs=1)
    (token,) = only(replayed.value).tokens
    assert token.top == (Token("\ufffd", -0.01, 137, b"\xbc"),)


def test_the_forced_token_is_one_that_was_seen_whole() -> None:
    """Then there is no need to ask for one."""
    whole = capture("xllamacpp__native_completion")
    dialect = whole.dialect()
    ask(whole, dialect=dialect)
    recorded = capture("xllamacpp__native_utf8_mt1")
    _, repair = ask(recorded, recorded.body, _forced(FIRST), dialect=dialect).requests
    ((forced, _),) = sent(repair)["logit_bias"]
    assert forced in whole.answer()["tokens"]


def test_an_end_of_text_is_not_forced() -> None:
    ended = capture("xllamacpp__native_eos")
    dialect = ended.dialect()
    ask(ended, dialect=dialect)
    recorded = capture("xllamacpp__native_utf8_mt1")
    _, repair = ask(recorded, recorded.body, _forced(FIRST), dialect=dialect).requests
    ((forced, _),) = sent(repair)["logit_bias"]
    assert forced != 2


def _answer_of_the_openai_route() -> bytes:
    content = capture("xllamacpp__score_forced_token_logit_bias").answer()["choices"][0]["logprobs"]
    return encode({"tokens": [3543], "completion_probabilities": content["content"]})


def test_more_alternatives_are_asked_for_until_the_token_is_among_them() -> None:
    recorded = capture("xllamacpp__native_utf8_mt1")
    without = _answer_of_the_openai_route()
    replayed = ask(recorded, recorded.body, TOKENIZED, without, without, _forced(FIRST))
    assert only(replayed.value).logprob == -0.75
    counts = [sent(request)["n_probs"] for request in replayed.requests[2:]]
    assert counts == sorted(set(counts))
    assert counts[-1] > 49152  # the whole of this model's vocabulary


def test_a_token_that_is_nowhere_has_no_log_probability() -> None:
    recorded = capture("xllamacpp__native_utf8_mt1")
    without = [_answer_of_the_openai_route()] * 3
    with pytest.raises(LogprobsUnavailable, match="177"):
        ask(recorded, recorded.body, TOKENIZED, *without)


@pytest.mark.parametrize("answer", [b"[]", b'{"tokens":[]}', b'{"tokens":[253]}'])
def test_an_answer_without_log_probabilities(answer: bytes) -> None:
    recorded = capture("xllamacpp__native_utf8_mt1")
    with pytest.raises(LogprobsUnavailable):
        ask(recorded, recorded.body, TOKENIZED, answer)


def test_a_refused_repair_is_the_callers_to_see() -> None:
    recorded = capture("xllamacpp__native_utf8_mt1")
    refusal = RequestRejected("no", status=400)
    with pytest.raises(RequestRejected) as raised:
        ask(recorded, recorded.body, TOKENIZED, refusal)
    assert raised.value is refusal


def test_a_tokenizer_that_gives_no_tokens() -> None:
    recorded = capture("xllamacpp__native_utf8_mt1")
    with pytest.raises(EndpointError):
        ask(recorded, recorded.body, encode({"tokens": []}))


# -- against a server that hides what the real one hides


@st.composite
def _blocks(draw: st.DrawFn, *, distinct: bool) -> list[Sampled]:
    """A block of a text cut into tokens anywhere; the same bytes are the same token.

    It may begin inside a character that the block before it began.

    Args:
        distinct: whether all tokens of a block differ.
    """
    data = draw(st.text("aé漢字🦜漼🟟𐀐", min_size=3, max_size=8)).encode()
    data = data[draw(st.integers(0, 1)) : max(2, len(data) - draw(st.integers(0, 3)))]
    parts = cut(data, draw(st.lists(st.integers(1, len(data)), max_size=20)))
    ids = {part: 1000 + place for place, part in enumerate(dict.fromkeys(parts))}
    logprobs = st.floats(-20, 0, allow_subnormal=False)
    tokens = [
        Sampled(2000 + place if distinct else ids[part], part, draw(logprobs))
        for place, part in enumerate(parts)
    ]
    silent = _silent(tokens)
    # A longer run, of tokens that all end inside a character, is taken for a server without any.
    assume(not any({at, at + 1, at + 2, at + 3} <= set(silent) for at in silent))
    return tokens


def _silent(tokens: list[Sampled]) -> list[int]:
    data = list(accumulate(token.data for token in tokens))
    return [place for place, before in enumerate(data) if inside_a_character(before)]


def _check(tokens: list[Sampled]) -> HidingServer:
    """The block is read as the model made it."""
    server = HidingServer(tokens)
    dialect = LlamaCpp("smol", "auto", Limits())
    request = SampleRequest(
        beam=Beam(), n=1, max_tokens=len(tokens), temperature=1, top_logprobs=0, seed=None
    )
    continuation = only(drive(dialect.sample(prepared(dialect, "x"), request), server).value)
    found = [Sampled(t.id or 0, t.data, t.logprob) for t in continuation.tokens]
    assert found == tokens
    assert continuation.data == b"".join(token.data for token in tokens)
    assert continuation.exact
    known = {token.id: token.data for token in tokens} | {PLAIN: b"a"}
    assert all(known[forced].decode() for forced in server.forced)  # whole characters
    return server


@unhurried()
@given(_blocks(distinct=True))
def test_any_block_of_different_tokens(tokens: list[Sampled]) -> None:
    assert _check(tokens).repairs == _silent(tokens)  # and nothing else is asked for again


@unhurried()
@given(_blocks(distinct=False))
@example([FIRST, SECOND, Sampled(137, b"\xbc", -3.5)])
@example([Sampled(place, bytes([place]), -0.1 * at) for at, place in enumerate("🟟".encode())])
@example([Sampled(place, bytes([place]), -0.1 * at) for at, place in enumerate("𐀐".encode())])
def test_any_block(tokens: list[Sampled]) -> None:
    """The same token can be hidden at one place and reported at the next: 漼 is E6 BC BC."""
    _check(tokens)


def test_a_block_that_begins_inside_a_character() -> None:
    """Bytes that end another block's character are reported, each by itself (recorded by hand)."""
    _check([SECOND, Sampled(112, b"\xa2", -0.02), Sampled(36518, "字".encode(), -0.1)])


def test_the_hiding_server_hides_what_the_real_one_does() -> None:
    recorded = capture("xllamacpp__native_utf8_mt7")
    answer = recorded.answer()
    pieces = capture("xllamacpp__tokenize_bytes_pieces").answer()["tokens"]
    data = {piece["id"]: bytes(piece["piece"]) for piece in pieces} | {36518: "字".encode()}
    logprobs = {entry["id"]: entry["logprob"] for entry in answer["completion_probabilities"]}
    tokens = [
        Sampled(number, data[number], logprobs.get(number, -1.0)) for number in answer["tokens"]
    ]
    dialect = recorded.dialect()
    request = next(dialect.sample(prepared(dialect, "x"), recorded.request()))
    constructed = json.loads(HidingServer(tokens)(request))
    assert constructed["tokens"] == answer["tokens"]
    assert constructed["completion_probabilities"] == answer["completion_probabilities"]
