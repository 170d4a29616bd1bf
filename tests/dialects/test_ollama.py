"""The ollama dialect, against answers in the documented shape: nothing here was recorded."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import ask, capture, drive, encode, only, prepared, replay, sent
from tests.dialects.strategies import beams, messages, prompts, texts, unhurried, wishes
from tests.dialects.test_broken_answers import EXPECTED, _places, _with
from trio_beam.core.beam import Beam
from trio_beam.core.block import known
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.error_responses import error_of
from trio_beam.dialects.common.exchange import ModelEntry, ModelList
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.ollama import Ollama
from trio_beam.errors import (
    ConfigError,
    ContextOverflow,
    LogprobsUnavailable,
    MalformedResponse,
    RequestRejected,
)

if TYPE_CHECKING:
    from tests.dialects.replay import Replayed
    from trio_beam.core.block import Continuation
    from trio_beam.dialects.common.exchange import ExchangeResult

DOCUMENTED = capture("documented_ollama__generate")
CHAT = [{"role": "user", "content": "Hello"}]


def _dialect() -> Ollama:
    return Ollama("smol", "auto", Limits())


def _ask(
    answer: Any = None, dialect: Ollama | None = None, **changes: Any
) -> Replayed[ExchangeResult]:
    body = DOCUMENTED.body if answer is None else encode(answer)
    values: dict[str, Any] = {"max_tokens": 3, "top_logprobs": 2, "temperature": 1} | changes
    return ask(DOCUMENTED, body, dialect=dialect or _dialect(), **values)


def _block(**fields: Any) -> Continuation:
    """The block of the documented answer, with other fields in it."""
    changes = {"max_tokens": fields.pop("max_tokens", 3)}
    changes |= {"temperature": fields.pop("temperature", 1)}
    return only(_ask(DOCUMENTED.answer() | fields, **changes).value)


def _rendered(template: str, **info: Any) -> bytes:
    fields = {"model": "smol", "message": {"role": "", "content": ""}, "done": False}
    return encode(fields | {"_debug_info": {"rendered_template": template, **info}})


def _expected(prompt: str, request: SampleRequest) -> dict[str, Any]:
    options = {
        "num_predict": request.max_tokens,
        "temperature": request.temperature,
        # The model's own file could turn on any of these.
        "top_p": 1,
        "top_k": 0,
        "min_p": 0,
        "typical_p": 1,
        "repeat_penalty": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
    }
    if request.seed is not None:
        options["seed"] = request.seed
    return {
        "model": "smol",
        "prompt": prompt + "".join(beam.fragment for beam in request.beam.lineage()),
        "raw": True,
        "stream": False,
        "think": False,
        "truncate": False,
        "shift": False,
        "logprobs": True,
        "top_logprobs": request.top_logprobs,
        "options": options,
    }


# -- what is sent


@unhurried()
@given(prompts, wishes(beams()))
def test_a_string_prompt(prompt: str, request: SampleRequest) -> None:
    dialect = _dialect()
    wire = next(dialect.sample(prepared(dialect, prompt), request))
    assert (wire.path, wire.at_root) == ("/api/generate", True)
    assert wire.max_tokens == request.max_tokens
    assert sent(wire) == _expected(prompt, request)


@unhurried()
@given(messages, prompts, wishes(beams()))
def test_messages(chat: list[dict[str, Any]], template: str, request: SampleRequest) -> None:
    """Rendered once by the server; from there on a string like any other."""
    dialect = _dialect()
    replayed = replay(dialect.prepare(check_prompt(chat)), _rendered(template))
    (render,) = replayed.requests
    assert (render.path, render.at_root, render.max_tokens) == ("/api/chat", True, 0)
    assert sent(render) == {
        "model": "smol",
        "messages": chat,
        "stream": False,
        "truncate": False,
        "_debug_render_only": True,
        "options": {"num_predict": 1},
    }
    wire = next(dialect.sample(replayed.value, request))
    assert sent(wire) == _expected(template, request)


def test_a_string_as_a_chat() -> None:
    dialect = Ollama("smol", "chat", Limits())
    (render,) = replay(dialect.prepare(check_prompt("Hello")), _rendered("<user>Hello")).requests
    assert sent(render)["messages"] == CHAT


def test_no_more_alternatives_than_the_server_gives() -> None:
    (request,) = _ask(top_logprobs=50).requests
    assert sent(request)["top_logprobs"] == 20


def test_one_choice_a_request_from_the_start() -> None:
    dialect = _dialect()
    replayed = _ask(dialect=dialect, n=4, seed=7)
    (request,) = replayed.requests
    assert "n" not in sent(request) | sent(request)["options"]
    assert len(replayed.value.continuations) == dialect.limits.n == 1


# -- what is read


def test_a_whole_block() -> None:
    answer = _ask().value
    continuation = only(answer)
    assert answer.prompt_tokens == 4
    assert continuation.data == b", I could"
    assert continuation.finish_reason == "length"
    assert continuation.generated == 3
    assert continuation.exact
    assert [token.bytes for token in continuation.tokens] == [b",", b" I", b" could"]
    assert continuation.logprob == pytest.approx(-0.429 - 2.059 - 4.124)
    assert [[top.text for top in token.top] for token in continuation.tokens] == [
        [",", " in"],
        [" the", " I"],
        [" was", " had"],
    ]


def test_two_blocks() -> None:
    """The second goes behind the first as text, and is not exact."""
    dialect = _dialect()
    prompt = prepared(dialect, "Once upon a time")
    beam = Beam().extend(only(_ask(dialect=dialect).value))
    request = SampleRequest(beam=beam, n=1, max_tokens=3, temperature=1, top_logprobs=0, seed=None)
    replayed = replay(dialect.sample(prompt, request), DOCUMENTED.body)
    assert sent(replayed.requests[0])["prompt"] == "Once upon a time, I could"
    child = beam.extend(only(replayed.value))
    assert child.text == ", I could, I could"
    assert not child.exact


def test_a_block_that_ended() -> None:
    """The token that ended it is counted, and has no log-probability."""
    continuation = _block(done_reason="stop", eval_count=4, max_tokens=9)
    assert continuation.finish_reason == "stop"
    assert (len(continuation), continuation.generated) == (3, 4)
    assert not continuation.exact


def test_fewer_tokens_than_there_was_room_for() -> None:
    assert _block(max_tokens=9).finish_reason == "context"


@pytest.mark.parametrize("temperature", [0, 0.5, 2])
def test_another_temperature_is_not_sure_to_be_exact(temperature: float) -> None:
    assert not _block(temperature=temperature).exact


def test_parts_of_characters() -> None:
    """As in issue 13497: four tokens of one character, each of them shown as U+FFFD."""
    broken = {"token": "\ufffd", "logprob": -0.5, "bytes": [239, 191, 189]}
    blocks = [
        _block(response=text, logprobs=[broken] * 4, eval_count=4, max_tokens=4)
        for text in ("😊", "😀")
    ]
    for block, text in zip(blocks, ("😊", "😀"), strict=True):
        assert block.data == text.encode()
        assert not block.exact
        assert block.logprob == -2
    assert list(blocks[0].keys) != list(blocks[1].keys)


def test_a_character_cut_at_the_end_is_left_out() -> None:
    word = {"token": "a", "logprob": -0.5, "bytes": [97]}
    broken = {"token": "\ufffd", "logprob": -0.5, "bytes": [239, 191, 189]}
    block = _block(response="a", logprobs=[word, broken, broken])
    assert block.data == b"a"
    assert not block.exact
    assert len(block) == 3


# -- what is refused


@pytest.mark.parametrize("answer", [{"message": {"content": "Hi"}}, {"_debug_info": {}}])
def test_a_chat_that_was_not_rendered(answer: dict[str, Any]) -> None:
    with pytest.raises(MalformedResponse, match="newer Ollama, or a string prompt"):
        replay(_dialect().prepare(check_prompt(CHAT)), encode(answer))


def test_images_do_not_go_into_a_text() -> None:
    with pytest.raises(ConfigError, match="text only"):
        replay(_dialect().prepare(check_prompt(CHAT)), _rendered("[img-0]Hello", image_count=1))


@pytest.mark.parametrize("logprobs", [None, []])
def test_a_text_without_log_probabilities(logprobs: Any) -> None:
    with pytest.raises(LogprobsUnavailable):
        _block(logprobs=logprobs)


def test_a_server_of_before_the_log_probabilities() -> None:
    answer = DOCUMENTED.answer()
    del answer["logprobs"]
    with pytest.raises(LogprobsUnavailable, match=r"0\.12\.11"):
        _ask(answer)


def test_an_answer_that_is_not_whole() -> None:
    with pytest.raises(EXPECTED):
        _block(done=False)


@pytest.mark.parametrize(
    ("status", "words", "kind"),
    [
        (400, "the input length exceeds the context length", ContextOverflow),
        (404, "model 'smol' not found", RequestRejected),
        (400, '"smol" does not support generate', RequestRejected),
    ],
)
def test_documented_refusals(status: int, words: str, kind: type[Exception]) -> None:
    refusal = error_of(status, {}, encode({"error": words}), url="http://server", now=0)
    with pytest.raises(RequestRejected, match=words) as raised:
        ask(DOCUMENTED, refusal, dialect=_dialect(), max_tokens=3)
    assert type(raised.value) is kind


@pytest.mark.parametrize(("owner", "known"), [("library", True), ("me", False), (None, False)])
def test_it_is_known_by_the_owner_of_its_models(owner: str | None, known: bool) -> None:
    models = ModelList(data=[ModelEntry(id="llama3.2:latest", owned_by=owner)])
    assert Ollama.recognises(models) is known


@unhurried(60)
@given(st.data())
def test_a_truncated_body(data: st.DataObject) -> None:
    length = data.draw(st.integers(0, len(DOCUMENTED.body) - 1))
    with pytest.raises(EXPECTED):
        ask(DOCUMENTED, DOCUMENTED.body[:length], dialect=_dialect(), max_tokens=3)


@unhurried(60)
@given(st.integers(0, 200), texts)
def test_a_truncated_rendering(length: int, template: str) -> None:
    body = _rendered(template)
    with pytest.raises(EXPECTED):
        replay(_dialect().prepare(check_prompt(CHAT)), body[: min(length, len(body) - 1)])


@unhurried(150)
@given(st.data())
def test_a_value_of_another_kind(data: st.DataObject) -> None:
    answer = DOCUMENTED.answer()
    place = data.draw(st.sampled_from(_places(answer)))
    other: Any = data.draw(
        st.sampled_from([None, "", "x", "\ufffd", [], [None], {}, True, -1, 5.5])
    )
    body = encode(_with(answer, place, other))
    dialect = _dialect()
    request = SampleRequest(
        beam=Beam(), n=1, max_tokens=3, temperature=1, top_logprobs=2, seed=None
    )
    exchange = dialect.sample(prepared(dialect, "Once"), request)
    try:
        continuation = only(drive(exchange, lambda wire: body).value)
    except EXPECTED:
        return
    assert known(continuation.logprob) <= 0
    assert math.isfinite(known(continuation.logprob))
    assert all(top.logprob <= 0 for token in continuation.tokens for top in token.top)
