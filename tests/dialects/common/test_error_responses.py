"""Answers with an error status become the right error, with the server's own words in it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import capture, captures, encode
from tests.dialects.strategies import unhurried
from trio_beam.dialects.common.error_responses import error_of
from trio_beam.errors import (
    ContextOverflow,
    EndpointError,
    RateLimited,
    RequestRejected,
    ServerError,
)

EXPECTED: dict[str, tuple[type[EndpointError], int, str]] = {
    "llamacpppython0260__completions_batch": (ServerError, 500, "internal_server_error"),
    "llamacpppython0260__completions_token_ids_prompt": (ServerError, 500, "a valid string"),
    "llamacpppython0260__err_ctx": (ContextOverflow, 400, "you requested 3003 tokens"),
    "llamacpppython0260__err_malformed": (ServerError, 500, "Internal Server Error"),
    "transformersserve__completions_token_ids": (RequestRejected, 400, "prompt must be a string."),
    "transformersserve__err_bad_model": (ServerError, 500, "Internal Server Error"),
    "vllm__chat_prefill_both_true": (RequestRejected, 400, "Cannot set both"),
    "vllm__chat_render": (RequestRejected, 403, "Scale-out endpoints are disabled"),
    "vllm__completions_logprobs_-1": (RequestRejected, 400, "greater than max allowed: 20"),
    "vllm__completions_logprobs_21": (RequestRejected, 400, "greater than max allowed: 20"),
    "vllm__completions_logprobs_100": (RequestRejected, 400, "greater than max allowed: 20"),
    "vllm__completions_max_tokens_0": (RequestRejected, 400, "max_tokens must be at least 1"),
    "vllm__err_404": (RequestRejected, 404, "Not Found"),
    "vllm__err_bad_model": (RequestRejected, 404, "The model `nope` does not exist."),
    "vllm__err_bad_token_id": (RequestRejected, 400, "out of vocabulary"),
    "vllm__err_ctx": (ContextOverflow, 400, "at least 2049 input tokens"),
    "vllm__err_empty_prompt": (RequestRejected, 400, "must be provided and non-empty"),
    "vllm__err_malformed": (RequestRejected, 400, "JSON decode error"),
    "vllm__err_type": (RequestRejected, 400, "int_parsing"),
    "vllm__inference_generate": (RequestRejected, 403, "Scale-out endpoints are disabled"),
    "xllamacpp__chat_top_logprobs_without": (RequestRejected, 400, "requires logprobs"),
    "xllamacpp__completions_n_gt_parallel": (RequestRejected, 400, "but got 9"),
    "xllamacpp__err_404": (RequestRejected, 404, "File Not Found"),
    "xllamacpp__err_bad_token_id": (RequestRejected, 400, "invalid tokens"),
    "xllamacpp__err_ctx": (ContextOverflow, 400, "request (3001 tokens) exceeds"),
    "xllamacpp__err_malformed": (RequestRejected, 400, "parse_error.101"),
    "xllamacpp__err_type": (RequestRejected, 400, "type must be number"),
    # The memory that all requests share was full for now: another attempt may find room.
    "xllamacpp_unified__ctx_pressure": (ServerError, 500, "Context size has been exceeded."),
}


def _error(status: int, body: bytes, headers: dict[str, str] | None = None) -> EndpointError:
    return error_of(status, headers or {}, body, url="http://server/v1", now=0.0)


@pytest.mark.parametrize("case", EXPECTED)
def test_recorded_refusals(case: str) -> None:
    kind, status, words = EXPECTED[case]
    error = capture(case).refusal()
    assert type(error) is kind
    assert isinstance(error, (RequestRejected, ServerError))
    assert error.status == status
    assert words in error.message
    assert error.url == "http://server"


def test_every_recorded_refusal_is_in_the_table() -> None:
    refused = {case for case in captures("*") if capture(case).status != 200}
    assert refused == set(EXPECTED)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>\n <h1>Bad  Gateway</h1>\n</html>", "<html> <h1>Bad Gateway</h1> </html>"),
        (b"no JSON {", "no JSON {"),
        (b"[1, null]", "[1,null]"),
        (b"7", "7"),
        (b"null", "null"),
        (b"true", "true"),
        (b'"words"', "words"),
        (b'{"error": "words"}', "words"),
        (b'{"error": "\xff"}', '{"error": "\ufffd"}'),
        (b'{"error": {"error": "words"}}', "words"),
        (b'{"detail": [{"loc": ["body"], "msg": "words"}]}', '[{"loc":["body"],"msg":"words"}]'),
        (b'{"message": null, "detail": "words"}', "words"),
        (b'{"error": {"message": null, "code": null}}', '{"message":null,"code":null}'),
        (b'{"error": {"message": {"a": [null, "words"]}}}', '{"a":[null,"words"]}'),
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422, 429, 500, 503])
def test_bodies_of_any_shape_keep_their_words(status: int, body: bytes, words: str) -> None:
    assert _error(status, body).message.split(" (")[0] == f"HTTP {status}: {words}"


@pytest.mark.parametrize("body", [b"", b"  \n", b'""', b'{"error": ""}'])
def test_an_empty_body_still_says_the_status(body: bytes) -> None:
    assert "502" in _error(502, body).message


@pytest.mark.parametrize(
    ("status", "hint"),
    [(401, "API key"), (403, "API key"), (404, "base URL"), (404, "model"), (405, "base URL")],
)
def test_what_the_caller_may_have_got_wrong(status: int, hint: str) -> None:
    assert hint in _error(status, b"no").message
    assert hint not in _error(400, b"no").message


@pytest.mark.parametrize(
    "error",
    [
        {"code": "context_length_exceeded", "message": "too long"},
        {"type": "exceed_context_size_error", "message": "too long"},
        {"message": "This model's maximum context length is 8192 tokens."},
        {"message": "the prompt does not fit into the context window"},
    ],
)
def test_too_long_by_code_or_by_words(error: dict[str, str]) -> None:
    assert isinstance(_error(400, encode({"error": error})), ContextOverflow)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_words_on_the_context_behind_another_status(status: int) -> None:
    error = _error(status, b"models of a larger context window cost more")
    assert type(error) is RequestRejected


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_names_its_target(status: int) -> None:
    error = _error(status, b"", {"location": "https://elsewhere/v1"})
    assert isinstance(error, RequestRejected)
    assert error.status == status
    assert "https://elsewhere/v1" in error.message


@pytest.mark.parametrize("status", [429, 500, 503])
def test_the_wait_that_is_asked_for(status: int) -> None:
    error = _error(status, b"", {"retry-after": "2.5"})
    assert isinstance(error, (RateLimited, ServerError))
    assert error.retry_after == 2.5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "message", "detail", "code", "type", "param"])
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@unhurried()
@given(
    st.integers(300, 599),
    st.binary(max_size=200) | JSON.map(json.dumps).map(str.encode),
    st.dictionaries(st.sampled_from(["retry-after", "date", "location"]), st.text(max_size=30)),
)
def test_never_another_exception(status: int, body: bytes, headers: dict[str, str]) -> None:
    error = _error(status, body, headers)
    assert str(status) in error.message
    expected: type[EndpointError] = RequestRejected
    if status == 429:
        expected = RateLimited
    elif status >= 500:
        expected = ServerError
    assert isinstance(error, expected)
    if isinstance(error, (RequestRejected, ServerError)):
        assert error.status == status


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"error":' * 100_000])
def test_a_body_that_is_nested_too_deeply(body: bytes) -> None:
    assert isinstance(_error(400, body), RequestRejected)
