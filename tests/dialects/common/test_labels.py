"""The tokens of labels, found by one request, and what vLLM and SGLang say of their probabilities."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from tests.dialects.replay import Replayed, encode, only, replay, sent
from trio_beam import Judge
from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.dialect import DIALECTS, Dialect
from trio_beam.dialects.common.exchange import ExchangeResult
from trio_beam.dialects.common.labels import LabelTokens, labelled, spellings_of
from trio_beam.dialects.common.limits import Limits
from trio_beam.errors import ContextOverflow, EndpointError, LogprobsUnavailable, RequestRejected

LABELS = ("yes", "no")
TEXTS = [text for label in LABELS for text in spellings_of(label)]
#: As SmolLM2 has them: YES is two tokens.
IDS = {"yes": [5], " yes": [6], "Yes": [7], " Yes": [8], "YES": [9, 10], " YES": [11, 10]}
IDS |= {"no": [15], " no": [16], "No": [17], " No": [18], "NO": [19], " NO": [20]}
SINGLE = {ids[0]: text for text, ids in IDS.items() if len(ids) == 1}
NEWLINE = 3


def joined(ids: dict[str, list[int]], begin: Sequence[int] = ()) -> list[int]:
    return [*begin, *(number for text in TEXTS for number in (NEWLINE, *ids[text]))]


def find(response: Any, labels: tuple[str, ...] = LABELS) -> tuple[LabelTokens, Replayed[None]]:
    def tokenize(text: str) -> Any:
        yield text
        return response

    found = LabelTokens(tokenize)
    exchange = found.find(labels)
    asked: Any = next(exchange)
    assert asked == "".join("\n" + text for text in TEXTS)
    with pytest.raises(StopIteration):
        next(exchange)
    return found, Replayed(None, [])


@pytest.mark.parametrize("begin", [[], [1], [1, 29871]], ids=["none", "bos", "bos and a space"])
def test_the_labels_that_are_one_token_are_found(begin: list[int]) -> None:
    found, _ = find(joined(IDS, begin))
    assert found.of(LABELS) == SINGLE
    assert found.are_known(LABELS)


@pytest.mark.parametrize(
    "ids",
    [
        pytest.param([], id="nothing"),
        pytest.param(joined(IDS)[:-2], id="a separator is missing"),
        pytest.param(joined({text: [4, 5] for text in TEXTS}), id="no label is one token"),
        pytest.param(
            joined(IDS | {text: [4, 5] for text in spellings_of("no")}), id="one label is not"
        ),
    ],
)
def test_labels_that_cannot_be_told_by_one_token_are_not_asked_for(ids: list[int]) -> None:
    found, _ = find(ids)
    assert found.of(LABELS) == {}
    assert found.are_known(LABELS)


def test_a_server_that_tokenizes_nothing_is_asked_once() -> None:
    def tokenize(text: str) -> Any:
        yield text
        raise AssertionError

    found = LabelTokens(tokenize)
    exchange = found.find(LABELS)
    next(exchange)
    with pytest.raises(StopIteration):
        exchange.throw(RequestRejected("no such path", status=404))
    assert found.unavailable
    assert found.are_known(("ja", "nein"))


def test_the_alternatives_are_the_labels_best_first() -> None:
    answer = Continuation(tokens=(Token("maybe", -1.0, 99),), data=b"maybe")
    scored = labelled(answer, {5: -2.0, 15: -1.0, 99: -1.0}, {5: "yes", 15: "no"})
    assert scored is not None
    assert scored.tokens[0].top == (Token("no", -1.0, 15), Token("yes", -2.0, 5))
    assert Judge().read([scored]) == -1.0
    assert labelled(answer, {5: -2.0}, {5: "yes", 15: "no"}) is None
    with pytest.raises(LogprobsUnavailable):
        labelled(answer, {5: -2.0, 15: None}, {5: "yes", 15: "no"})


def request(**changes: Any) -> SampleRequest:
    asked = SampleRequest(
        beam=Beam(), n=1, max_tokens=1, temperature=1.0, top_logprobs=20, seed=7, labels=LABELS
    )
    return attrs.evolve(asked, **changes)


def dialect(name: str) -> Dialect:
    made = DIALECTS[name]("smol", "auto", Limits(), False)
    assert made.needs_settling(None, request())
    replay(made.settle(request()), encode({"tokens": joined(IDS)}))
    assert not made.needs_settling(None, request())
    return made


SCORES = {number: -0.5 * place - 0.5 for place, number in enumerate(SINGLE)}
ODDS = math.log(
    sum(math.exp(SCORES[number]) for number in (5, 6, 7, 8))
    / sum(math.exp(SCORES[number]) for number in (15, 16, 17, 18, 19, 20))
)


def vllm(scores: dict[int, float]) -> dict[str, Any]:
    row = {"token_id:99": -0.1} | {f"token_id:{number}": value for number, value in scores.items()}
    logprobs = {"tokens": ["token_id:99"], "token_logprobs": [-0.1], "top_logprobs": [row]}
    choice = {"text": "maybe", "token_ids": [99], "logprobs": logprobs, "finish_reason": "length"}
    return {"choices": [choice], "usage": {"prompt_tokens": 4}}


def sglang(scores: dict[int, float] | None) -> dict[str, Any]:
    meta: dict[str, Any] = {
        "finish_reason": {"type": "length", "length": 1},
        "prompt_tokens": 4,
        "completion_tokens": 1,
        "output_token_logprobs": [[-0.1, 99, "maybe"]],
        "output_top_logprobs": [[[-0.1, 99, "maybe"], [-3.0, 5, "yes"]]],
    }
    if scores is not None:
        rows = [[value, number, None] for number, value in scores.items()]
        meta["output_token_ids_logprobs"] = [rows]
    return {"text": "maybe", "meta_info": meta}


def ask(name: str, *responses: Any) -> tuple[Dialect, Replayed[ExchangeResult]]:
    made = dialect(name)
    tokenized = [encode({"tokens": [1, 2]})] if name == "sglang" else []
    prepared = replay(made.prepare(check_prompt("a")), *tokenized).value
    return made, replay(made.score_labels(prepared, request()), *map(play, responses))


def play(response: Any) -> Any:
    return response if isinstance(response, EndpointError) else encode(response)


def test_vllm_is_asked_for_the_labels_by_id() -> None:
    _, found = ask("vllm", vllm(SCORES))
    (asked,) = map(sent, found.requests)
    assert asked["logprob_token_ids"] == list(SINGLE)
    assert (asked["max_tokens"], asked["return_tokens_as_token_ids"]) == (1, True)
    assert Judge().read([only(found.value)]) == pytest.approx(ODDS)
    assert found.value.prompt_tokens == 4


def test_sglang_is_asked_for_the_labels_by_id() -> None:
    _, found = ask("sglang", sglang(SCORES))
    (asked,) = map(sent, found.requests)
    assert asked["token_ids_logprob"] == list(SINGLE)
    assert asked["sampling_params"]["max_new_tokens"] == 1
    assert Judge().read([only(found.value)]) == pytest.approx(ODDS)
    assert found.value.prompt_tokens == 4


YES = json.loads(json.dumps(vllm({})).replace("token_id:99", "yes").replace("maybe", "yes"))
REFUSED = RequestRejected("unknown field", status=400)


@pytest.mark.parametrize(
    ("name", "responses"),
    [
        ("vllm", [vllm({5: -3.0}), YES]),
        ("vllm", [YES, YES]),  # not by id either
        ("sglang", [sglang(None), sglang(None)]),
        ("sglang", [REFUSED, sglang(None)]),
    ],
)
def test_a_server_that_cannot_shows_the_most_probable_and_is_not_asked_again(
    name: str, responses: list[Any]
) -> None:
    made, found = ask(name, *responses)
    assert len(found.requests) == 2
    assert not {"logprob_token_ids", "token_ids_logprob"} & sent(found.requests[1]).keys()
    assert "yes" in [token.text for token in only(found.value).tokens[0].top]
    assert not made.needs_settling(None, request(labels=("ja",)))


@pytest.mark.parametrize("name", ["vllm", "sglang"])
def test_a_question_that_is_too_long_is_asked_once(name: str) -> None:
    with pytest.raises(ContextOverflow):
        ask(name, ContextOverflow("too long", status=400))
