"""Streams without a fault: what they amount to, however they are written and woven."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import ask, capture, encode, only, sent
from tests.dialects.strategies import unhurried
from tests.dialects.streams import (
    INTERLEAVED,
    STREAMS,
    as_stream,
    choices_of,
    native_events,
    shown,
    stream_of,
    woven,
)
from trio_beam.dialects.common.dialect import DIALECTS
from trio_beam.dialects.common.limits import Limits

HIDDEN = capture("xllamacpp__native_stream_utf8")
NATIVE = capture("xllamacpp__native_n_cmpl2_fields")


# -- the same stream, written in other ways


def _comments(body: bytes) -> bytes:
    return b": hello\n\n" + body.replace(b"\n\n", b"\n: ping\n\n:\n\n")


def _split(body: bytes) -> bytes:
    """Each event on several lines, cut where JSON allows a space."""
    return body.replace(b"data: {", b"data: {\ndata:").replace(
        b'"choices":[', b'"choices":\ndata:['
    )


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda body: body.replace(b"\n", b"\r\n"),
        lambda body: body.replace(b"\n", b"\r"),
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: b"\n\n" + body,
        lambda body: body.replace(b"data: ", b"data:"),
        lambda body: body.replace(b"\n\n", b"\n\n\n"),
        lambda body: body.replace(b"data: ", b"event: message\nid: 1\ndata: "),
        lambda body: body.removesuffix(b"\n"),  # without the empty line behind [DONE]
        lambda body: body.removesuffix(b"data: [DONE]\n\n"),
        _comments,
        _split,
    ],
    ids=[
        *("crlf", "cr", "bom", "leading", "tight", "blank"),
        *("fields", "unended", "undone", "comments", "split"),
    ],
)
@pytest.mark.parametrize("case", STREAMS)
def test_another_spelling_is_the_same_answer(case: str, rewrite: Any) -> None:
    recorded = capture(case)
    assert shown(ask(recorded, rewrite(recorded.body)).value) == shown(ask(recorded).value)


# -- choices and counts


@pytest.mark.parametrize("case", INTERLEAVED)
@unhurried(30)
@given(st.data())
def test_any_interleaving_is_the_same_answer(case: str, data: st.DataObject) -> None:
    """Also with the chunks that hold the counts among the tokens, wherever they come."""
    recorded = capture(case)
    sources = choices_of(case)
    order = data.draw(st.permutations([at for at, one in enumerate(sources) for _ in one]))
    body = stream_of(woven(sources, order))
    for kind in recorded.kinds():
        now, before = (ask(recorded, some, dialect=kind()) for some in (body, recorded.body))
        assert shown(now.value) == shown(before.value)


@unhurried(30)
@given(st.data())
def test_any_interleaving_of_native_events(data: st.DataObject) -> None:
    recorded = as_stream(NATIVE)
    sources = [native_events(native) for native in NATIVE.answer()]
    order = data.draw(st.permutations([at for at, one in enumerate(sources) for _ in one]))
    found = ask(recorded, stream_of(woven(sources, order), done=data.draw(st.booleans()))).value
    plain = ask(NATIVE).value
    assert shown(found)[:2] == shown(plain)[:2]
    assert found.prompt_tokens == 4


@pytest.mark.parametrize(
    ("case", "prompt", "counts"),
    [
        ("xllamacpp__stream_completions_n2", 4, 2),  # one for each choice
        ("xllamacpp__stream_chat_n2_prefill", 32, 2),
        ("vllm__stream_completions_n2", 4, 1),  # one for all
        ("vllm__stream_chat_n2_prefill", 32, 1),
    ],
)
def test_the_prompt_is_counted_once(case: str, prompt: int, counts: int) -> None:
    recorded = capture(case)
    assert sum(bool(event.get("usage")) for event in recorded.events()) == counts
    answer = ask(recorded).value
    assert answer.prompt_tokens == prompt
    assert [found.generated for found in answer.continuations] == [
        len(found.tokens) for found in answer.continuations
    ]


def test_hidden_tokens_of_a_choice_alone_are_in_the_count() -> None:
    found = only(ask(capture("xllamacpp__stream_utf8")).value)
    assert found.data.decode() == "漢字"
    assert (len(found.tokens), found.generated, found.exact) == (2, 6, False)


def test_choices_that_were_ignored_are_a_lesson() -> None:
    recorded = capture("llamacpppython0260__stream_completions")
    dialect = recorded.dialect()
    assert len(ask(recorded, dialect=dialect, n=3).value.continuations) == 1
    assert dialect.limits.n == 1


def test_what_is_asked_for() -> None:
    recorded = capture("vllm__stream_completions_n2")
    for kind in recorded.kinds():
        (request,) = ask(recorded, dialect=kind()).requests
        body = sent(request)
        assert body["stream"] is True
        assert body["stream_options"] == {"include_usage": True}
    (request,) = ask(as_stream(capture("xllamacpp__native_completion"))).requests
    assert sent(request)["stream"] is True


@pytest.mark.parametrize("name", DIALECTS.names())
def test_every_dialect_can_be_made_for_streams(name: str) -> None:
    """The endpoint makes all of them by the same arguments."""
    assert DIALECTS[name]("smol", "auto", Limits(), True).stream


# -- plain JSON


@pytest.mark.parametrize(
    "case",
    [
        "vllm__completions_n3_seed",
        "vllm__chat_n2",
        "xllamacpp__completions_n3_seed",
        "xllamacpp__chat_n2",
        "llamacpppython0260__completions_logprobs",
        "xllamacpp__native_completion",
        "xllamacpp__native_eos",
        "xllamacpp__native_n_cmpl2_fields",
    ],
)
@pytest.mark.parametrize("before", [b"", b"\n ", b"\r\n"])
def test_a_server_that_answers_by_plain_json(case: str, before: bytes) -> None:
    recorded = as_stream(capture(case))
    found = ask(recorded, before + recorded.body).value
    assert shown(found) == shown(ask(capture(case)).value)


# -- hidden tokens in llama.cpp's own stream


def test_a_native_stream_with_hidden_tokens_is_asked_again() -> None:
    """Without a stream, by the same seed; what both cost is counted. The repairs follow."""
    whole = capture("xllamacpp__native_utf8_mt4")  # the same prompt and temperature
    first = {"id": 177, "token": "\ufffd", "bytes": [230], "logprob": -0.75}
    second = {"id": 137, "token": "\ufffd", "bytes": [188], "logprob": -0.01}
    answers = [encode({"tokens": [253]})]
    for hidden in (first, second):
        entry = {"id": 253, "token": "a", "bytes": [97], "logprob": -9, "top_logprobs": [hidden]}
        counted = {"tokens_evaluated": 39}
        answers.append(encode({"tokens": [253], "completion_probabilities": [entry], **counted}))
    replayed = ask(HIDDEN, HIDDEN.body, whole.body, *answers)
    found = only(replayed.value)
    assert [token.id for token in found.tokens] == [177, 137, 112, 36518]
    assert [token.logprob for token in found.tokens[:2]] == [-0.75, -0.01]
    assert found.data.decode() == "漢字"
    assert found.exact
    stream, again, *_ = (sent(request) for request in replayed.requests if "/c" in request.path)
    fields = stream.pop("response_fields")
    assert set(fields) >= {*again.pop("response_fields"), "stop", "tokens_predicted"}
    assert stream == again | {"stream": True}
    assert isinstance(again["seed"], int)
    # 38 tokens of prompt twice and two repairs; 4 tokens in the stream, 2 of them not shown.
    assert replayed.value.prompt_tokens == 38 + 38 + 39 + 39
    assert replayed.value.extra_generated == 4 + 2


def test_a_seed_of_the_searchs_own_is_kept() -> None:
    whole = capture("xllamacpp__native_completion")
    requests = ask(HIDDEN, HIDDEN.body, whole.body, seed=11).requests
    assert [sent(request)["seed"] for request in requests] == [11, 11]


def test_two_choices_with_hidden_tokens_in_one_of_them() -> None:
    whole, hidden = capture("xllamacpp__native_completion").answer(), HIDDEN.events()
    events = [*native_events(whole | {"index": 1}), *hidden]
    again = [whole | {"index": place} for place in (0, 1)]
    replayed = ask(HIDDEN, stream_of(events, done=False), encode(again), n=2)
    assert len(replayed.requests) == 2
    assert [found.data for found in replayed.value.continuations] == [b", I've"] * 2
    assert replayed.value.extra_generated == 3 + 4
    assert replayed.value.prompt_tokens == 38 + 4


def test_a_native_stream_without_hidden_tokens_is_enough() -> None:
    plain = capture("xllamacpp__native_completion")
    body = stream_of(native_events(plain.answer()), done=False)
    found = ask(as_stream(plain), body).value
    assert shown(found) == shown(ask(plain).value)
    ended = capture("xllamacpp__native_eos")
    body = stream_of(native_events(json.loads(ended.body)), done=False)
    assert shown(ask(as_stream(ended), body).value) == shown(ask(ended).value)
