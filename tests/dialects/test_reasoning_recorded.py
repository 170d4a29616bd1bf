"""Thinking and answer in the responses of real servers, in every shape that was recorded."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import CAPTURES, Capture, Replayed, ask, encode, load, replay, sent
from trio_beam.core.beam import Beam
from trio_beam.core.prompt import check_prompt
from trio_beam.core.reasoning import Thinking
from trio_beam.dialects.common.exchange import ExchangeResult
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.llama_cpp import LlamaCpp
from trio_beam.dialects.ollama import Ollama
from trio_beam.dialects.openai import OpenAI
from trio_beam.dialects.sglang import SGLang
from trio_beam.dialects.vllm import VLLM
from trio_beam.errors import RequestRejected

CHAT = [{"role": "user", "content": "Hi"}]
FOUR = "Four, I think."


def recorded(case: str) -> Capture:
    return load(CAPTURES / "reasoning" / f"{case}.json")


def beams(case: str, thinking: Thinking = "auto", **changes: Any) -> list[Beam]:
    """The beams that a search makes of a recorded response."""
    capture = recorded(case)
    changes = {"logprobs": bool(capture.asked.get("logprobs")), **changes}
    result = ask(capture, **changes).value
    return [Beam(thinking=thinking).extend(block) for block in result.continuations]


@pytest.mark.parametrize(
    ("case", "thinking", "reasoning", "answer"),
    [
        # a field of its own
        ("xllamacpp__chat_apart", "auto", FOUR, "4"),
        ("xllamacpp__chat_apart_n2", "auto", FOUR, "4"),
        ("xllamacpp__chat_apart_stream", "auto", FOUR, "4"),
        ("xllamacpp__chat_apart_logprobs", "auto", FOUR, "4"),
        ("vllm__chat_budget", "auto", "Discussion\n\nLeverage serendipity", None),
        ("vllm__chat_budget_stream", "auto", "Discussion\n\nLeverage serendipity", None),
        ("vllm__chat_budget_logprobs", "auto", "Discussion\n\nLeverage serendipity", None),
        ("xllamacpp__chat_budget", "auto", "Syntax:", None),
        # between tags in the text
        ("xllamacpp__chat_in_text", "auto", FOUR, "4"),
        # opened by the template: the closing tag alone
        ("xllamacpp__chat_opened", "auto", FOUR, "4"),
        ("xllamacpp__chat_opened", "opened", FOUR, "4"),
        ("xllamacpp__chat_opened_n2", "opened", FOUR, "4"),
        ("xllamacpp__chat_opened_stream", "opened", FOUR, "4"),
        ("xllamacpp__chat_opened_logprobs", "opened", FOUR, "4"),
        # cut off in the middle
        ("xllamacpp__chat_apart_cut", "auto", "Four", ""),
        ("xllamacpp__chat_opened_cut", "opened", "Four", ""),
        (
            "vllm__chat_cut",
            "opened",
            "Discussion\n\nLeverage serendipity and collaborate with",
            "",
        ),
    ],
)
def test_each_recorded_shape(
    case: str, thinking: Thinking, reasoning: str, answer: str | None
) -> None:
    for beam in beams(case, thinking):
        assert beam.reasoning.strip() == reasoning
        assert beam.unanswered is (answer == "")
        if answer is not None:
            assert beam.text == answer
        else:
            assert beam.text.strip()
            assert not beam.text.lstrip().startswith("</")


def test_a_model_that_ended_in_its_thinking_gave_no_answer() -> None:
    _, ended = beams("vllm__chat_budget_n2")
    assert (ended.finished, ended.unanswered, ended.text) == (True, True, "")
    assert ended.reasoning == "wotI think?\nWhaah"


@pytest.mark.parametrize("case", ["xllamacpp__chat_apart_stream", "xllamacpp__chat_opened_stream"])
@given(data=st.data())
def test_no_split_of_a_recorded_stream_changes_them(case: str, data: st.DataObject) -> None:
    """Neighbouring pieces may come joined, and a piece may come in two."""
    capture = recorded(case)
    events: list[dict[str, Any]] = []
    for event in capture.events():
        delta = event["choices"][0]["delta"] if event["choices"] else {}
        (name,) = [key for key in delta if key != "role" and delta[key]] or [None]
        last = events[-1]["choices"][0]["delta"] if events and events[-1]["choices"] else {}
        if name and last.get(name) and data.draw(st.booleans(), label="join"):
            last[name] += delta[name]
        elif name and len(delta[name]) > 1 and data.draw(st.booleans(), label="split"):
            cut = data.draw(st.integers(1, len(delta[name]) - 1), label="at")
            for part in (delta[name][:cut], delta[name][cut:]):
                choice = {**event["choices"][0], "delta": {name: part}}
                events.append({**event, "choices": [choice]})
        else:
            events.append(event)
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    (block,) = ask(capture, body.encode(), logprobs=False).value.continuations
    beam = Beam(thinking="opened" if "opened" in case else "auto").extend(block)
    assert (beam.reasoning.strip(), beam.text) == (FOUR, "4")


# -- what the template says


def test_vllm_tells_whether_its_template_opens_the_thinking() -> None:
    capture = recorded("vllm__tokenize_opened")
    dialect = VLLM("smol", "auto", Limits())
    replayed = replay(dialect.prepare(check_prompt(CHAT)), capture.body)
    assert sent(replayed.requests[0]) == capture.asked
    assert dialect.opens_thinking(replayed.value) == "<think>"
    answer = capture.answer()
    plain = answer | {"token_strs": answer["token_strs"][:-4]}
    replayed = replay(dialect.prepare(check_prompt(CHAT)), encode(plain))
    assert dialect.opens_thinking(replayed.value) == ""
    older = replay(dialect.prepare(check_prompt(CHAT)), encode({"tokens": [1]}))
    assert dialect.opens_thinking(older.value) is None


def test_llama_cpp_tells_whether_its_template_opens_the_thinking() -> None:
    dialect = LlamaCpp("smol", "auto", Limits())
    body = recorded("xllamacpp__apply_template_opened").body
    replayed = replay(dialect.prepare(check_prompt(CHAT)), body, encode({"tokens": [1, 2]}))
    assert dialect.opens_thinking(replayed.value) == "<think>"


@pytest.mark.parametrize(
    ("end", "opening"), [("<think>\n", "<think>"), ("<think>\n\n</think>\n\n", ""), ("", "")]
)
def test_ollama_tells_whether_its_template_opens_the_thinking(end: str, opening: str) -> None:
    dialect = Ollama("smol", "auto", Limits())
    text = f"<|im_start|>assistant\n{end}"
    body = encode({"_debug_info": {"rendered_template": text}})
    replayed = replay(dialect.prepare(check_prompt(CHAT)), body)
    assert dialect.opens_thinking(replayed.value) == opening


# -- the tokens that close it

CLOSING = "\n</think>\n\n"
IDS = [198, 9617, 17400, 46, 1116]
PIECES = ["\n", "</", "think", ">", "\n\n"]


def test_each_server_gives_the_tokens_of_a_closing_tag() -> None:
    vllm = recorded("vllm__tokenize_closing")
    decoded = ["".join(PIECES[:count]) for count in range(1, len(PIECES))]
    cases: list[tuple[Any, list[bytes]]] = [
        (LlamaCpp, [recorded("xllamacpp__tokenize_closing").body]),
        (VLLM, [vllm.body, *(encode({"prompt": text}) for text in decoded)]),
        (SGLang, [encode({"tokens": IDS}), encode({"text": decoded})]),
    ]
    for kind, answers in cases:
        replayed = replay(kind("smol", "auto", Limits()).force(CLOSING), *answers)
        tokens = replayed.value
        assert [(token.id, token.text) for token in tokens] == [*zip(IDS, PIECES, strict=True)]
        assert all(token.forced and token.logprob == 0 for token in tokens)
        assert b"".join(token.data for token in tokens) == CLOSING.encode()
        if kind is VLLM:
            assert sent(replayed.requests[0]) == vllm.asked


def test_a_tokenizer_that_alters_the_text_keeps_it_whole() -> None:
    dialect = SGLang("smol", "auto", Limits())
    answers = encode({"tokens": [1, 2, 3]}), encode({"text": ["▁", "?"]})
    tokens = replay(dialect.force(CLOSING), *answers).value
    assert [(token.id, token.text) for token in tokens] == [(1, ""), (2, ""), (3, CLOSING)]


# -- no log-probabilities

WITHOUT = ("logprobs", "top_logprobs", "return_logprob", "return_text_in_logprobs")


def unscored(
    case: str, kind: Any, *answers: bytes, beam: Beam | None = None, prompt: Any = "p"
) -> Replayed[ExchangeResult]:
    capture = recorded(case)
    dialect = kind("smol", "auto", Limits(), stream=capture.stream)
    prepared = replay(dialect.prepare(check_prompt(prompt))).value
    request = attrs.evolve(capture.request(), logprobs=False, top_logprobs=0, beam=beam or Beam())
    replayed = replay(dialect.sample(prepared, request), *(answers or (capture.body,)))
    body = sent(replayed.requests[0])
    assert not body.keys() & {*WITHOUT}
    assert body.get("n_probs", 0) == 0
    return replayed


@pytest.mark.parametrize(
    ("case", "kind"),
    [
        ("vllm__completions_ids", VLLM),
        ("vllm__completions_ids_stream", VLLM),
        ("vllm__completions_ids_eos", VLLM),
        ("xllamacpp__native_ids", LlamaCpp),
        ("xllamacpp__native_ids_stream", LlamaCpp),
        ("xllamacpp__native_ids_eos", LlamaCpp),
    ],
)
def test_ids_travel_without_log_probabilities(case: str, kind: Any) -> None:
    blocks = unscored(case, kind).value.continuations
    assert len(blocks) == (1 if case.endswith("eos") else 2)
    for block in blocks:
        assert (block.logprob, block.tokens, block.exact) == (None, (), True)
        assert len(block) == block.generated > 0
        assert all(isinstance(key, int) for key in block.keys)
    if case.endswith("eos"):
        assert (blocks[0].data, blocks[0].finish_reason) == (b"The answer is 5.", "stop")
        assert blocks[0].keys[-1] == 2
    else:
        assert {block.finish_reason for block in blocks} == {"length"}
        assert all(block.data for block in blocks)


def test_a_character_is_completed_by_the_next_block_on_llama_cpp() -> None:
    (begun,) = unscored("xllamacpp__native_ids_cut_character", LlamaCpp).value.continuations
    assert (begun.data, list(begun.keys)) == (b"", [177, 137])
    beam = Beam().extend(begun)
    answers = [
        recorded(f"xllamacpp__{name}").body
        for name in ("native_ids_inside_character", "detokenize_begun", "detokenize_whole")
    ]
    replayed = unscored("xllamacpp__native_ids_inside_character", LlamaCpp, *answers, beam=beam)
    (more,) = replayed.value.continuations
    assert beam.extend(more).full_text == "漢字"
    assert sent(replayed.requests[0])["prompt"][1:] == [177, 137]
    assert [sent(one)["tokens"] for one in replayed.requests[1:]] == [
        [177, 137],
        [177, 137, 112, 36518, 10813, 116],
    ]


def test_a_character_is_completed_by_the_next_block_on_vllm() -> None:
    (begun,) = unscored("vllm__completions_ids_cut_character", VLLM).value.continuations
    assert (begun.data, list(begun.keys)) == (b"", [177, 137])
    dialect = VLLM("smol", "auto", Limits())
    prepared = replay(dialect.prepare(check_prompt("p"))).value
    prepared.ids = [1]
    request = attrs.evolve(
        recorded("vllm__completions_ids").request(),
        logprobs=False,
        n=1,
        beam=Beam().extend(begun),
    )
    next_block = {"choices": [{"text": "字", "token_ids": [112, 36518], "finish_reason": "length"}]}
    answers = [next_block, {"prompt": "\ufffd"}, {"prompt": "漢字"}]
    replayed = replay(dialect.sample(prepared, request), *map(encode, answers))
    assert Beam().extend(begun).extend(replayed.value.continuations[0]).full_text == "漢字"
    # At the end of a whole character one small request is enough.
    answers = [next_block, {"prompt": "x"}]
    replayed = replay(dialect.sample(prepared, request), *map(encode, answers))
    assert replayed.value.continuations[0].data.decode() == "字"


def test_sglang_sends_ids_without_log_probabilities_or_is_asked_with_them() -> None:
    dialect = SGLang("smol", "auto", Limits())
    prepared = replay(dialect.prepare(check_prompt("p")), encode({"tokens": [5]})).value
    request = attrs.evolve(
        recorded("vllm__completions_ids").request(), logprobs=False, n=1, temperature=0.7
    )
    meta = {"finish_reason": {"type": "stop", "matched": 9}, "prompt_tokens": 1}
    meta["completion_tokens"] = 2
    answer = {"text": " so", "output_ids": [8, 9], "meta_info": meta}
    replayed = replay(dialect.sample(prepared, request), encode(answer))
    assert not sent(replayed.requests[0]).keys() & {*WITHOUT}
    (block,) = replayed.value.continuations
    assert (block.data, list(block.keys), block.logprob) == (b" so", [8, 9], None)
    assert (block.finish_reason, block.exact, block.generated) == ("stop", True, 2)
    older = {"text": " so", "meta_info": meta}
    rows = [[-1.0, 8, " so"], [-1.0, 9, ""]]
    scored = {"text": " so", "meta_info": {**meta, "output_token_logprobs": rows}}
    replayed = replay(dialect.sample(prepared, request), encode(older), encode(scored))
    assert sent(replayed.requests[1])["return_logprob"] is True
    assert list(replayed.value.continuations[0].keys) == [8, 9]
    assert replayed.value.extra_generated == 2
    # Learnt once.
    replayed = replay(dialect.sample(prepared, request), encode(scored))
    assert sent(replayed.requests[0])["return_logprob"] is True


# -- the server's own limit


def limited(*answers: Any, case: str = "xllamacpp__chat_budget", **changes: Any) -> Replayed[Any]:
    capture = recorded(case)
    dialect = OpenAI("smol", "chat", Limits())
    prepared = replay(dialect.prepare(check_prompt(CHAT))).value
    values = {"logprobs": False, "top_logprobs": 0, "reasoning_budget": 8, **changes}
    request = attrs.evolve(capture.request(), **values)
    return replay(dialect.sample(prepared, request), *(answers or (capture.body,)))


@pytest.mark.parametrize("case", ["xllamacpp__chat_budget", "vllm__chat_budget"])
def test_a_chat_is_asked_to_keep_to_the_budget(case: str) -> None:
    replayed = limited(case=case)
    body = sent(replayed.requests[0])
    asked = recorded(case).asked
    (name,) = [field for field in asked if field.startswith("thinking_")]
    assert body[name] == asked[name] == 8
    assert body["thinking_budget"] == 8
    assert body["reasoning"] == {"max_tokens": 8}
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 8}


def refusal(name: str) -> RequestRejected:
    return RequestRejected(f"Unrecognized request argument supplied: {name}", status=400)


NAMES = [
    "thinking_token_budget",
    "thinking_budget_tokens",
    "thinking_budget",
    "reasoning",
    "thinking",
]


def test_fields_that_a_strict_server_refuses_are_left_out() -> None:
    known = recorded("xllamacpp__chat_budget").body
    replayed = limited(*map(refusal, NAMES[:3]), known)
    assert sent(replayed.requests[-1]).keys() & {*NAMES} == {"reasoning", "thinking"}


def test_a_server_that_takes_no_limit_says_so() -> None:
    with pytest.raises(RequestRejected, match=r"takes no limit on thinking.*reasoning_effort"):
        limited(*map(refusal, NAMES))


@pytest.mark.parametrize(
    "message",
    [
        {"content": "9", "reasoning_content": "hm " * 500},
        {"content": "<think>" + "hm " * 500 + "</think>9"},
        {"content": "9"},
    ],
)
def test_a_server_that_ignores_the_limit_is_found_out(message: dict[str, Any]) -> None:
    usage = {"completion_tokens": 501, "completion_tokens_details": {"reasoning_tokens": 500}}
    body = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}
    with pytest.raises(RequestRejected, match=r"ignores reasoning_budget=8: .* 500 tokens"):
        limited(encode(body), max_tokens=600)


def test_a_number_that_is_too_small_is_no_reason_to_leave_it_out() -> None:
    error = RequestRejected("thinking.budget_tokens: must be greater than 1024", status=400)
    with pytest.raises(RequestRejected, match="set reasoning_budget to what the server allows"):
        limited(error)
