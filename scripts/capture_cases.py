"""The requests that `record_captures.py` sends to a server for the tests' recordings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

ONCE = "Once upon a time"
#: The next character is one of three tokens, 漢, with most tokenizers.
UTF8 = "Repeat: " + "🦜🫠漢字 " * 3 + "🦜🫠"
QUESTION = {"role": "user", "content": "What is 2+3? Answer briefly."}
BEGUN = {"role": "assistant", "content": "The sum of 2+3 is"}
#: A turn of a chat as most small models know it, so that the answer ends by itself.
CHATML = f"<|im_start|>user\n{QUESTION['content']}<|im_end|>\n<|im_start|>assistant\n"
CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
#: A longer context is not filled only to see how its end looks.
MAX_CONTEXT = 16_384


class Case(NamedTuple):
    name: str
    method: str
    path: str
    #: The body; a string is sent as it is, and is no JSON.
    json: Any = None


class Server(NamedTuple):
    """Known details of a server; `ids` are those of ONCE."""

    kind: str
    model: str
    slots: int | None
    context: int | None
    ids: list[int] | None


def cases(server: Server) -> list[Case]:
    """All that can be asked of this server."""
    found = [
        Case("models", "GET", "/v1/models"),
        Case("version", "GET", "/version"),
        Case("props", "GET", "/props"),
        *_completions(server),
        *_chats(server),
        *_streams(server),
        *(_native(server) if server.kind == "llama_cpp" else ()),
        *_texts(server),
        *_errors(server),
    ]
    assert len({case.name for case in found}) == len(found)
    return found


def _post(name: str, path: str, **fields: Any) -> Case:
    return Case(name, "POST", path, fields)


def _completions(server: Server) -> Iterator[Case]:
    def ask(name: str, prompt: Any = ONCE, **fields: Any) -> Case:
        path = "/v1/completions"
        return _post(f"completions_{name}", path, model=server.model, prompt=prompt, **fields)

    usual: dict[str, Any] = {"temperature": 1.0, "seed": 7}
    yield ask("logprobs", max_tokens=3, logprobs=2, **usual)
    yield ask("logprobs_again", max_tokens=3, logprobs=2, **usual)
    for asked in (0, 1, 5, 20, 21, 100, True):
        yield ask(f"logprobs_{asked}", max_tokens=1, logprobs=asked, **usual)
    yield ask("without_logprobs", max_tokens=1, **usual)
    yield ask("n2", max_tokens=3, n=2, logprobs=1, **usual)
    yield ask("n3_seed", max_tokens=8, n=3, logprobs=1, **usual)
    yield ask("n3_greedy", max_tokens=2, n=3, logprobs=1, temperature=0)
    for temperature in (0.0, 0.1, 1.0, 2.0):
        fields = {"temperature": temperature, "seed": 7, "top_k": 3}
        yield ask(f"temp_{temperature}", max_tokens=1, logprobs=3, **fields)
    yield ask("max_tokens_0", max_tokens=0, logprobs=1)
    yield ask("echo", max_tokens=2, echo=True, logprobs=1)
    yield ask("echo_mt0", max_tokens=0, echo=True, logprobs=1)
    greedy: dict[str, Any] = {"temperature": 0, "logprobs": 1, "seed": 7}
    yield ask("stop", "Q: 2+2=\nA:", max_tokens=30, stop=["\n"], **greedy)
    small = f"{ONCE} there was a small"
    yield ask("stop_midtoken", small, max_tokens=60, stop=["untai"], **greedy)
    yield ask("stop_midtoken2", small, max_tokens=60, stop=["own nes"], **greedy)
    yield ask("n2_stop", max_tokens=4, n=2, stop=[","], logprobs=1, **usual)
    yield ask("eos", CHATML, max_tokens=60, return_token_ids=True, **greedy)
    for count in range(1, 8):
        yield ask(f"utf8_mt{count}", UTF8, max_tokens=count, return_token_ids=True, **greedy)
    yield ask("return_token_ids", max_tokens=3, logprobs=1, return_token_ids=True, **usual)
    yield ask("tokens_as_ids", max_tokens=3, logprobs=1, return_tokens_as_token_ids=True, **usual)
    yield ask(
        "batch_n", ["One two three", "The capital of"], max_tokens=2, n=2, logprobs=1, **usual
    )
    if server.ids is not None:
        yield ask("token_ids_prompt", server.ids, max_tokens=3, logprobs=1, **usual)
    if server.slots is not None:
        yield ask("n_gt_parallel", max_tokens=2, n=server.slots + 1)


def _chats(server: Server) -> Iterator[Case]:
    def ask(name: str, *messages: dict[str, str], **fields: Any) -> Case:
        path = "/v1/chat/completions"
        return _post(f"chat_{name}", path, model=server.model, messages=[*messages], **fields)

    logprobs: dict[str, Any] = {"logprobs": True, "top_logprobs": 1}
    usual: dict[str, Any] = {"temperature": 1.0, "seed": 7}
    greedy: dict[str, Any] = {"temperature": 0, "seed": 7}
    yield ask("logprobs", QUESTION, max_tokens=3, logprobs=True, top_logprobs=2, **usual)
    yield ask("logprobs_true", QUESTION, max_tokens=1, logprobs=True, **usual)
    yield ask("top_logprobs_without", QUESTION, max_tokens=1, top_logprobs=2)
    yield ask("n2", QUESTION, max_tokens=40, n=2, **logprobs, **usual)
    yield ask("prefill", QUESTION, BEGUN, max_tokens=8, **logprobs, **greedy)
    yield ask("prefill_continue", QUESTION, BEGUN, max_tokens=8, **CONTINUE, **logprobs, **greedy)
    spaced = {"role": "assistant", "content": "The sum of 2+3 is "}
    fields = CONTINUE | logprobs | greedy
    yield ask("prefill_trailing_space", QUESTION, spaced, max_tokens=8, **fields)
    both = {"continue_final_message": True, "add_generation_prompt": True}
    yield ask("prefill_both_true", QUESTION, BEGUN, max_tokens=8, **both)
    text = {"role": "assistant", "content": UTF8}
    yield ask("utf8", QUESTION, text, max_tokens=5, return_token_ids=True, **fields)


def _streams(server: Server) -> Iterator[Case]:
    usual: dict[str, Any] = {"model": server.model, "seed": 7, "stream": True}
    counted = {"stream_options": {"include_usage": True}}
    path = "/v1/completions"
    two = {"n": 2, "max_tokens": 3, "temperature": 1.0, "logprobs": 1}
    yield _post("stream_completions", path, prompt=ONCE, **usual, **two | {"n": 1})
    yield _post("stream_completions_n2", path, prompt=ONCE, **usual, **two, **counted)
    fields = {"logprobs": 1, "temperature": 0, "return_token_ids": True}
    yield _post("stream_utf8", path, prompt=UTF8, max_tokens=6, **usual, **fields)
    yield _post("stream_eos", path, prompt=CHATML, max_tokens=60, **usual, **fields, **counted)
    hello = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    chat: dict[str, Any] = {**two, "max_tokens": 2, "logprobs": True, "top_logprobs": 1}
    path, chat = "/v1/chat/completions", chat | counted | CONTINUE
    yield _post("stream_chat_n2_prefill", path, messages=hello, **usual, **chat)
    yield _post("stream_err_type", path, **usual, messages=7)


def _native(server: Server) -> Iterator[Case]:
    def ask(name: str, prompt: Any = ONCE, **fields: Any) -> Case:
        fields = {"n_probs": 1, "return_tokens": True, "seed": 7} | fields
        return _post(f"native_{name}", "/completion", prompt=prompt, **fields)

    yield ask("completion", n_predict=3, temperature=1.0, cache_prompt=True)
    yield ask("eos", CHATML, n_predict=60, temperature=0)
    yield ask("stop", "Q: 2+2=\nA:", n_predict=30, temperature=0, stop=["\n"])
    for count in range(1, 8):
        yield ask(f"utf8_mt{count}", UTF8, n_predict=count, temperature=0)
    fields = ["content", "tokens", "tokens_predicted", "stop_type", "completion_probabilities"]
    two = {"n_predict": 4, "n_cmpl": 2, "temperature": 1.0}
    yield ask("n_cmpl2_fields", response_fields=[*fields, "index"], **two)
    yield ask("stream", n_predict=3, temperature=1.0, stream=True)
    yield ask("stream_n_cmpl2", stream=True, **two)
    yield ask("stream_utf8", UTF8, n_predict=4, temperature=0, stream=True)
    yield ask("stream_eos", CHATML, n_predict=60, temperature=0, stream=True)
    yield ask("stream_fields", response_fields=[*fields, "index", "stop"], stream=True, **two)


def _texts(server: Server) -> Iterator[Case]:
    """Template, tokenizer and back."""
    ids = server.ids or []
    model = {"model": server.model}
    spaced = [QUESTION, {"role": "assistant", "content": "The sum of 2+3 is "}]
    if server.kind == "llama_cpp":
        yield _post("apply_template", "/apply-template", messages=[QUESTION])
        yield _post("apply_template_prefill", "/apply-template", messages=spaced)
        pieces = {"with_pieces": True}
        yield _post("tokenize_pieces", "/tokenize", content=ONCE, add_special=True, **pieces)
        yield _post("tokenize_bytes_pieces", "/tokenize", content="🦜🫠漢", **pieces)
        yield _post("detokenize", "/detokenize", tokens=ids)
    elif server.kind == "vllm":
        strings = {"return_token_strs": True}
        yield _post("tokenize_prompt", "/tokenize", prompt=ONCE, **model, **strings)
        hello = [{"role": "user", "content": "Hi"}]
        yield _post("tokenize_messages", "/tokenize", messages=hello, **model)
        fields = CONTINUE | strings | model
        yield _post("tokenize_prefill_trailing_space", "/tokenize", messages=spaced, **fields)
        yield _post("detokenize", "/detokenize", tokens=ids, **model)
    elif server.kind == "me":  # what llama-cpp-python names as the owner
        yield _post("extras_tokenize", "/extras/tokenize", input=ONCE)


def _errors(server: Server) -> Iterator[Case]:
    def ask(name: str, **fields: Any) -> Case:
        fields = {"model": server.model, "prompt": "a", "max_tokens": 1} | fields
        return _post(f"err_{name}", "/v1/completions", **fields)

    yield Case("err_404", "GET", "/v1/nope")
    yield ask("bad_model", model="nope")
    yield _post("err_no_model", "/v1/completions", prompt="a", max_tokens=1)
    yield Case("err_malformed", "POST", "/v1/completions", '{"model": "x", "prompt": ')
    yield ask("type", max_tokens="x")
    yield ask("empty_prompt", prompt="")
    yield ask("unknown_field", totally_unknown=1)
    if server.ids is not None:
        yield ask("bad_token_id", prompt=[999_999_999])
    if server.context is not None:
        yield ask("ctx", prompt="word " * (server.context + 1000))
        if server.context <= MAX_CONTEXT:
            nearly = "word " * (server.context - 8)
            yield ask("ctx_plus_max_tokens", prompt=nearly, max_tokens=20, logprobs=1)
