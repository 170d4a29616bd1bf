"""vLLM: recorded answers, and whole searches recorded request by request."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import ask, capture, encode, only, prepared, replay, sent
from trio_beam import BeamSearchConfig, Endpoint, beam_search
from trio_beam.core.beam import Beam
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.dialect import DIALECTS, Dialect
from trio_beam.dialects.common.limits import Limits
from trio_beam.errors import EndpointError, LogprobsUnavailable, MalformedResponse

SESSIONS = Path(__file__).parent / "sessions"
WHOLE = capture("vllm__completions_return_token_ids")
IDS = [28, 346, 856]
LOGPROBS = [-0.07489729672670364, -3.655181884765625, -1.7529923915863037]


def make(limits: Limits | None = None, *, stream: bool = False) -> Dialect:
    return DIALECTS["vllm"]("smol", "auto", limits or Limits(), stream)


def request(**changes: Any) -> SampleRequest:
    whole = SampleRequest(beam=Beam(), n=1, max_tokens=3, temperature=1.0, top_logprobs=0, seed=7)
    return attrs.evolve(whole, **changes)


def changed(**fields: Any) -> bytes:
    """The recorded answer with other fields in its choice."""
    answer = WHOLE.answer()
    choice = answer["choices"][0]
    logprobs = fields.pop("logprobs", {})
    choice["logprobs"] = None if logprobs is None else choice["logprobs"] | logprobs
    choice.update(fields)
    return encode(answer)


def load(name: str) -> Any:
    return json.loads((SESSIONS / f"{name}.json").read_text("utf-8"))


@pytest.mark.parametrize("name", sorted(path.stem for path in SESSIONS.glob("vllm__*.json")))
async def test_a_recorded_search_is_repeated(name: str) -> None:
    """Each request goes out as it did to the real server, and its answers come to the same."""
    session = load(name)
    exchanges = {
        (one["request"]["path"], json.dumps(one["request"]["json"], sort_keys=True)): one[
            "response"
        ]
        for one in session["exchanges"]
    }
    left = {*exchanges}

    def answer(got: httpx.Request) -> httpx.Response:
        # Two beams may ask for the text of the same token at the same time.
        key = got.url.path, json.dumps(json.loads(got.content), sort_keys=True)
        left.discard(key)
        response = exchanges[key]
        return httpx.Response(
            response["status"], headers=response["headers"], content=response["body"].encode()
        )

    async with (
        httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client,
        Endpoint(
            "http://mock/v1",
            dialect="vllm",
            model="smol",
            http_client=client,
            **session["endpoint"],
        ) as endpoint,
    ):
        result = await beam_search(
            endpoint, session["prompt"], BeamSearchConfig(**session["config"])
        )
    assert not left
    best, expected = result.beams[0], session["result"]
    assert best.text == expected["text"]
    assert [token.id for token in best.tokens] == expected["ids"]
    assert best.logprob == pytest.approx(expected["logprob"])
    assert result.exact


def test_the_labels_of_a_judge_have_the_probabilities_of_the_same_tokens_in_a_prompt() -> None:
    session = load("judge_on_vllm")
    rows = [
        json.loads(one["response"]["body"])["choices"][0]["logprobs"]["top_logprobs"][0]
        for one in session["exchanges"]
        if "logprob_token_ids" in one["request"]["json"]
    ]
    assert len(rows) == len(session["labels_as_prompts"]) == 2
    odds = []
    for row, read in zip(rows, session["labels_as_prompts"], strict=True):
        values = read["logprobs"]
        assert {number: row[f"token_id:{number}"] for number in values} == values
        shares = [math.exp(value) for value in values.values()]
        odds.append(math.log(sum(shares[:4]) / sum(shares[4:])))  # four spell yes, six no
    assert session["result"]["score"] == pytest.approx(max(odds))


def test_streamed_or_not_a_recorded_chat_is_the_same() -> None:
    plain, streamed = (load(f"vllm__chat{kind}")["result"] for kind in ("", "_streamed"))
    assert plain == streamed


def test_the_first_block_is_asked_for_by_text_and_the_next_by_ids() -> None:
    dialect = make()
    prompt = prepared(dialect, "Once upon a time")
    first = replay(dialect.sample(prompt, request()), WHOLE.body)
    assert sent(first.requests[0]) == {
        "prompt": "Once upon a time",
        "model": "smol",
        "max_tokens": 3,
        "temperature": 1.0,
        "top_p": 1,
        "top_k": -1,
        "min_p": 0,
        "repetition_penalty": 1,
        "logprobs": 0,
        "return_token_ids": True,
        "seed": 7,
    }
    block = only(first.value)
    assert [token.id for token in block.tokens] == list(block.keys) == IDS
    assert [token.logprob for token in block.tokens] == LOGPROBS
    assert (block.data, block.finish_reason, block.exact) == (b", you could", "length", True)
    assert first.value.prompt_tokens == 4
    beam = Beam().extend(block)
    (second,) = replay(
        dialect.sample(prompt, request(beam=beam, n=2, seed=None)), WHOLE.body
    ).requests
    assert sent(second)["prompt"] == [6403, 1980, 253, 655, *IDS]
    assert sent(second)["n"] == 2
    assert "seed" not in sent(second)


def test_alternatives_are_shown_best_first() -> None:
    token = only(ask(WHOLE, dialect=make(), top_logprobs=2).value).tokens[1]
    assert [(top.text, top.logprob) for top in token.top] == [
        (" the", -1.7801817655563354),
        (" you", -3.655181884765625),
    ]


def test_the_end_of_text_counts_and_is_no_text() -> None:
    recorded = capture("vllm__completions_eos").answer()
    choice = recorded["choices"][0]
    choice["token_ids"] = list(range(7))
    choice["prompt_token_ids"] = [1]
    dialect = make()
    answer = replay(
        dialect.sample(prepared(dialect, "p"), request(max_tokens=20)), encode(recorded)
    ).value
    block = only(answer)
    assert block.data == b"The answer is 5."
    assert (block.finish_reason, len(block)) == ("stop", 7)
    assert block.tokens[-1].data == b""
    assert block.tokens[-1].logprob == -0.8141375780105591


def test_a_chat_becomes_ids_by_the_servers_template() -> None:
    dialect = make()
    recorded = capture("vllm__tokenize_messages")
    messages = [{"role": "user", "content": "Hi"}]
    replayed = replay(dialect.prepare(check_prompt(messages)), recorded.body)
    assert sent(replayed.requests[0]) == recorded.asked | {"return_token_strs": True}
    assert replayed.requests[0].at_root
    assert dialect.context_tokens == 2048
    (first,) = replay(dialect.sample(replayed.value, request()), WHOLE.body).requests
    assert sent(first)["prompt"] == recorded.answer()["tokens"]


def test_a_missing_log_probability_is_read_with_the_prompt() -> None:
    dialect = make()
    missing = changed(logprobs={"token_logprobs": [LOGPROBS[0], None, LOGPROBS[2]]})
    echo = WHOLE.answer()
    echo["choices"][0]["logprobs"] = {
        "tokens": ["x"] * 7,
        "token_logprobs": [None, -1.0, -1.0, -1.0, *LOGPROBS],
    }
    echo["usage"]["prompt_tokens"] = 7
    replayed = replay(dialect.sample(prepared(dialect, "p"), request()), missing, encode(echo))
    assert sent(replayed.requests[1]) == {
        "prompt": [6403, 1980, 253, 655, *IDS],
        "model": "smol",
        "max_tokens": 0,
        "echo": True,
        "logprobs": 0,
    }
    block = only(replayed.value)
    assert [token.logprob for token in block.tokens] == LOGPROBS
    assert block.exact
    assert replayed.value.prompt_tokens == 4 + 7


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (changed(logprobs=None), LogprobsUnavailable),
        (changed(token_ids=None), MalformedResponse),
        (changed(token_ids=[28, 346]), LogprobsUnavailable),
        (changed(token_ids=[28, 346, 856, 1]), MalformedResponse),  # longer than asked for
        (changed(logprobs={"token_logprobs": [0.5, -1, -1]}), MalformedResponse),
        (encode({"choices": []}), MalformedResponse),
    ],
)
def test_what_cannot_be_scored_is_an_error(body: bytes, error: type[EndpointError]) -> None:
    dialect = make()
    with pytest.raises(error):
        replay(dialect.sample(prepared(dialect, "p"), request()), body)


def test_no_log_probability_even_with_the_prompt_is_an_error() -> None:
    dialect = make()
    missing = changed(logprobs={"token_logprobs": [None, None, None]})
    with pytest.raises(LogprobsUnavailable):
        replay(dialect.sample(prepared(dialect, "p"), request()), missing, missing)


def test_a_cap_on_alternatives_is_learnt_from_the_refusal() -> None:
    dialect = make()
    refusal = capture("vllm__completions_logprobs_21").refusal()
    replayed = replay(
        dialect.sample(prepared(dialect, "p"), request(top_logprobs=21)), refusal, WHOLE.body
    )
    assert [sent(one)["logprobs"] for one in replayed.requests] == [21, 20]
    assert dialect.limits.logprobs == 20


def _pieces(events: list[dict[str, Any]]) -> bytes:
    return b"".join(b"data: %s\n\n" % encode(event) for event in events) + b"data: [DONE]\n\n"


@given(st.permutations([0, 0, 0, 1, 1, 1]), st.sampled_from([None, 2]))
def test_any_order_of_the_choices_pieces_is_the_same_answer(
    order: list[int], usage: int | None
) -> None:
    choice = WHOLE.answer()["choices"][0]
    places = [0, 0]
    events: list[dict[str, Any]] = []
    for index in order:
        place, places[index] = places[index], places[index] + 1
        logprobs = {name: values[place : place + 1] for name, values in choice["logprobs"].items()}
        piece = {
            "index": index,
            "text": choice["logprobs"]["tokens"][place],
            "logprobs": logprobs,
            "token_ids": [IDS[place]],
            "prompt_token_ids": choice["prompt_token_ids"] if place == 0 else None,
            "finish_reason": "length" if place == 2 else None,
        }
        events.append({"choices": [piece]})
    events.append({"choices": [], "usage": {"prompt_tokens": 4}})
    if usage is not None:
        events.insert(usage, {"choices": [], "usage": {"prompt_tokens": 4}})
    dialect = make(stream=True)
    answer = replay(
        dialect.sample(prepared(dialect, "p"), request(n=2, top_logprobs=1)), _pieces(events)
    ).value
    assert answer.prompt_tokens == 4
    for block in answer.continuations:
        assert [token.id for token in block.tokens] == IDS
        assert [token.logprob for token in block.tokens] == LOGPROBS
        assert block.data == b", you could"
        assert [len(token.top) for token in block.tokens] == [1, 1, 1]


@pytest.mark.parametrize("kind", ["", "_streamed"])
@given(st.data())
def test_no_truncation_passes_for_an_answer(kind: str, data: st.DataObject) -> None:
    session = load(f"vllm__chat{kind}")
    exchange = session["exchanges"][1]
    body = exchange["response"]["body"].encode()
    dialect = make(stream=bool(kind))
    tokenized = session["exchanges"][0]["response"]["body"].encode()
    prompt = replay(dialect.prepare(check_prompt(session["prompt"])), tokenized).value
    wanted = request(n=4, max_tokens=6, seed=exchange["request"]["json"]["seed"])
    whole = replay(dialect.sample(prompt, wanted), body).value
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    try:
        answer = replay(dialect.sample(prompt, wanted), cut).value
    except (EndpointError, ValueError):  # msgspec's, which the shell translates
        return
    assert kind  # only what closes a stream may be missing
    assert [block.keys for block in answer.continuations] == [
        block.keys for block in whole.continuations
    ]
