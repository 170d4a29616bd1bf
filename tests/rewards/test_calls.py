"""Calls to reward models: recorded responses with transformers' own numbers, and documented ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.dialects.replay import encode, replay, sent
from trio_beam.dialects.common.error_responses import error_of
from trio_beam.dialects.rewards import REWARD_CALLS, RewardInput, calls_for, score_by
from trio_beam.errors import ContextOverflow, EndpointError, MalformedResponse, RequestRejected

CAPTURES = Path(__file__).parent / "captures"
PROMPT = "What is 3 + 4?\n"
#: Steps of the recorded candidates.
STEPS = [["3 + 4 = 7", "So it is 7."], ["It is 8"], ["Да, семь", "😀", "это 7"]]


def load(name: str) -> Any:
    return json.loads((CAPTURES / f"{name}.json").read_text("utf-8"))


def answer(name: str) -> bytes | EndpointError:
    response = load(name)["response"]
    if response["status"] == 200:
        return encode(response["body"])
    return error_of(response["status"], {}, encode(response["body"]), url="http://rm", now=0.0)


def inputs(*, tag: str = "", talk: bool = False) -> list[RewardInput]:
    found = []
    for steps in STEPS[: 1 if talk else None]:
        said = "".join(step + tag for step in steps)
        messages = (
            {"role": "user", "content": PROMPT},
            {"role": "assistant", "content": said},
        )
        found.append(
            RewardInput(
                prompt=PROMPT,
                answer=said,
                text=PROMPT + said,
                messages=messages if talk else None,
                scores=len(steps) if tag else None,
            )
        )
    return found


TAG = "<file_sep>"


@pytest.mark.parametrize(
    ("name", "api", "given"),
    [
        ("vllm__pooling_texts", "pooling", inputs(tag=TAG)),
        ("vllm__pooling_conversation", "pooling", inputs(tag=TAG, talk=True)),
        ("vllm__outcome_pooling", "pooling", inputs()),
        ("vllm__classify_texts", "classify", inputs()),
        ("vllm__classify_conversation", "classify", inputs(talk=True)),
        ("vllm__score", "score", inputs()),
        ("vllm__rerank", "rerank", inputs()),
    ],
)
def test_a_recorded_call_gives_the_numbers_of_transformers(
    name: str, api: str, given: list[RewardInput]
) -> None:
    recorded = load(name)
    model = recorded["request"]["json"]["model"]
    found = replay(score_by(calls_for(api, steps=False), model, given, None), encode_of(recorded))
    assert found.requests[0].path == recorded["request"]["path"]
    assert sent(found.requests[0]) == recorded["request"]["json"]
    call, rewards = found.value
    assert call.api == api
    for scores, expected in zip(rewards.scores, recorded["transformers"], strict=True):
        assert scores == pytest.approx(expected, abs=2e-6)
    assert rewards.prompt_tokens == recorded["response"]["body"]["usage"]["prompt_tokens"]


def test_llama_cpp_ranks_as_transformers_do() -> None:
    """It rounds more: its GELU is a table of half-precision numbers."""
    recorded = load("llamacpp__rerank")
    asked = recorded["request"]["json"]
    given = [RewardInput(prompt=asked["query"], answer=one, text=one) for one in asked["documents"]]
    calls = calls_for("auto", steps=False)
    missing = [answer("llamacpp__classify")] * [call.api for call in calls].index("rerank")
    found = replay(score_by(calls, "m", given, None), *missing, encode_of(recorded))
    call, rewards = found.value
    assert call.api == "rerank"
    assert sent(found.requests[-1]) == asked
    for scores, expected in zip(rewards.scores, recorded["transformers"], strict=True):
        assert scores == pytest.approx(expected, abs=6e-3)
    assert rewards.prompt_tokens == 43


def encode_of(recorded: Any) -> bytes:
    return encode(recorded["response"]["body"])


def test_the_class_that_means_good_can_be_named_by_its_number() -> None:
    given = inputs(tag=TAG)
    calls = calls_for("auto", steps=True)
    _, last = replay(score_by(calls, "process", given, None), answer("vllm__pooling_texts")).value
    _, first = replay(score_by(calls, "process", given, "0"), answer("vllm__pooling_texts")).value
    for one, other in zip(first.scores, last.scores, strict=True):
        assert one == pytest.approx([1 - value for value in other], abs=1e-6)
    with pytest.raises(MalformedResponse, match="2 classes, and none is number 2"):
        replay(score_by(calls, "process", given, "2"), answer("vllm__pooling_texts"))
    with pytest.raises(MalformedResponse, match="set label to a number, not 'good'"):
        replay(score_by(calls, "process", given, "good"), answer("vllm__pooling_texts"))


def test_a_server_that_finds_no_separators_is_told_how_to_be_started() -> None:
    exchange = score_by(calls_for("auto", steps=True), "process", inputs(tag="#")[:1], None)
    with pytest.raises(MalformedResponse, match=r"0 scores for 2 steps: .*step_tag_id"):
        replay(exchange, answer("vllm__pooling_untagged"))


def test_a_text_that_is_too_long_is_no_reason_to_try_other_calls() -> None:
    exchange = score_by(calls_for("auto", steps=False), "process", inputs(), None)
    with pytest.raises(ContextOverflow, match="1024 tokens"):
        replay(exchange, answer("vllm__pooling_too_long"))
    exchange = score_by(calls_for("rerank", steps=False), "m", inputs(), None)
    with pytest.raises(ContextOverflow, match=r"HTTP 500: .*too large to process"):
        replay(exchange, answer("llamacpp__rerank_too_long"))


MISSING = answer("vllm__outcome_predict")
#: Documented responses of servers that do not run here.
SGLANG = [{"embedding": [0.1 * n], "meta_info": {"prompt_tokens": 5}} for n in (1, 2, 3)]
LLAMA_CPP = {
    "model": "m",
    "object": "list",
    "usage": {"prompt_tokens": 74, "total_tokens": 74},
    "results": [
        {"index": 2, "relevance_score": 0.3},
        {"index": 0, "relevance_score": 0.1},
        {"index": 1, "relevance_score": 0.2},
    ],
}
TEI_RERANK = [{"index": 2, "score": 0.3}, {"index": 1, "score": 0.2}, {"index": 0, "score": 0.1}]
TEI_PREDICT = [[{"label": "LABEL_0", "score": 0.1 * n}] for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (SGLANG, "sglang_classify"),
        (TEI_PREDICT, "tei_predict"),
        (LLAMA_CPP, "rerank"),
        (TEI_RERANK, "tei_rerank"),
    ],
)
def test_the_call_that_a_server_has_is_found_by_trying(response: Any, kind: str) -> None:
    calls = calls_for("auto", steps=False)
    before = [type(call) for call in calls].index(REWARD_CALLS[kind])
    exchange = score_by(calls, None, inputs(), None)
    found = replay(exchange, *[MISSING] * before, encode(response))
    call, rewards = found.value
    assert isinstance(call, REWARD_CALLS[kind])
    assert [one for (one,) in rewards.scores] == pytest.approx([0.1, 0.2, 0.3])
    assert not any("model" in sent(request) for request in found.requests)


def test_a_class_of_several_is_found_by_name() -> None:
    row = [{"label": "bad", "score": 0.7}, {"label": "good", "score": 0.3}]

    def read(label: str | None, row: Any = row) -> float:
        exchange = score_by([REWARD_CALLS["tei_predict"]()], None, inputs()[:1], label)
        return float(replay(exchange, encode([row])).value[1].scores[0][0])

    assert read("good") == 0.3
    with pytest.raises(MalformedResponse, match="the model has 'bad', 'good'"):
        read(None)
    unnamed = [{"label": "LABEL_1", "score": 0.6}, {"label": "LABEL_0", "score": 0.4}]
    assert read(None, unnamed) == 0.6
    assert read("0", unnamed) == 0.4


def test_without_any_call_the_refusal_of_the_content_is_shown() -> None:
    calls = calls_for("auto", steps=False)
    bad = RequestRejected("what is that?", status=422)
    exchange = score_by(calls, None, inputs(), None)
    with pytest.raises(RequestRejected, match="what is that"):
        replay(exchange, MISSING, MISSING, MISSING, bad, *[MISSING] * (len(calls) - 4))
    exchange = score_by(calls, None, inputs(), None)
    with pytest.raises(RequestRejected, match="does not exist"):
        replay(exchange, answer("vllm__pooling_wrong_model"), *[MISSING] * (len(calls) - 1))


@pytest.mark.parametrize(
    ("kind", "response"),
    [
        ("classify", {"data": [{"index": 0, "probs": [0.5]}]}),
        ("classify", {"data": [{"index": n, "probs": []} for n in range(3)]}),
        ("classify", {"data": [{"index": 0, "probs": [0.5]}] * 3}),
        ("classify", {"data": [{"index": n, "probs": [float("nan")]} for n in range(3)]}),
        ("score", {"data": [{"index": n, "score": float("inf")} for n in range(3)]}),
        ("pooling", {"data": [{"index": n, "data": []} for n in range(3)]}),
        ("sglang_classify", SGLANG[:2]),
        ("tei_rerank", [*TEI_RERANK, TEI_RERANK[0]]),
        ("tei_predict", [[], [], []]),
        ("rerank", {"results": []}),
    ],
)
def test_a_response_without_a_score_for_each_candidate_is_an_error(
    kind: str, response: Any
) -> None:
    exchange = score_by([REWARD_CALLS[kind]()], None, inputs(), None)
    with pytest.raises(MalformedResponse):
        replay(exchange, json.dumps(response).encode())
