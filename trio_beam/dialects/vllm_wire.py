"""vLLM's responses as data, with streams joined."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec

from trio_beam.dialects.common.encoding import decoder_of
from trio_beam.dialects.common.finish import drop_failed, failure_of
from trio_beam.dialects.common.sse import decoder_of_stream
from trio_beam.dialects.common.stream_join import join_choices, join_lists
from trio_beam.dialects.common.watch import Logprobs as TokenLogprobs


class Logprobs(msgspec.Struct):
    """Parallel lists with one entry per token."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None = None


class Choice(msgspec.Struct):
    """One continuation, or a streamed piece of one."""

    index: int = 0
    text: str = ""
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    logprobs: Logprobs | None = None
    token_ids: list[int] | None = None
    prompt_token_ids: list[int] | None = None


class Completion(msgspec.Struct):
    """A response, or a streamed event."""

    choices: list[Choice]
    usage: Any = None


#: Number of tokens that may form an opening tag and what stands behind it.
_END = 24
#: How vocabularies write white space.
_SPACES = str.maketrans({"Ġ": " ", "▁": " ", "Ċ": "\n", "č": "\r", "ĉ": "\t"})


class _Tokenized(msgspec.Struct):
    tokens: list[int]
    max_model_len: int | None = None
    token_strs: list[str] | None = None

    @property
    def end(self) -> str | None:
        """The text of the last tokens, ASCII as it is; None if the server sends no texts."""
        if self.token_strs is None:
            return None
        return "".join(self.token_strs[-_END:]).translate(_SPACES)


class _Detokenized(msgspec.Struct):
    prompt: str


class _Version(msgspec.Struct):
    version: str


def join_chunks(chunks: Sequence[Completion], done: bool, n: int) -> Completion:
    """Join a stream of n choices into a response.

    Raises:
        MalformedResponse: it ended before ``[DONE]`` and before every choice had ended.
    """
    usage: Any = None
    for chunk in chunks:
        usage = chunk.usage or usage
    pieces = [piece for chunk in chunks for piece in chunk.choices]
    return Completion(join_choices(pieces, _append, done=done, n=n), usage)


def _append(whole: Choice | None, piece: Choice) -> Choice:
    if whole is None:
        return piece
    whole.text += piece.text
    whole.finish_reason = piece.finish_reason or whole.finish_reason
    whole.stop_reason = whole.stop_reason if piece.stop_reason is None else piece.stop_reason
    if piece.token_ids is not None:
        whole.token_ids = [*(whole.token_ids or []), *piece.token_ids]
    whole.logprobs = join_lists(whole.logprobs, piece.logprobs)
    return whole


decode_tokenized = decoder_of(_Tokenized)
decode_detokenized = decoder_of(_Detokenized)
decode_version = decoder_of(_Version)
_decode = decoder_of(Completion)


def logprobs_in_chunk(data: bytes) -> Iterator[TokenLogprobs]:
    """Yield the log-probabilities of the tokens in a streamed event."""
    for choice in _decode(data).choices:
        given = choice.logprobs
        rows = (given.top_logprobs if given is not None else None) or []
        for place, own in enumerate(given.token_logprobs if given is not None else ()):
            row = (rows[place] if place < len(rows) else None) or {}
            yield TokenLogprobs(own, row.values())


_RUNNING = re.compile(rb"^vllm:num_requests_running(?:\{[^}]*\})? ([0-9.e+]+)$", re.MULTILINE)


def read_running(body: bytes) -> int | None:
    """Read the number of running requests from Prometheus metrics."""
    found = _RUNNING.findall(body)
    return int(sum(map(float, found))) if found else None


def decoder(*, stream: bool, n: int = 1) -> Callable[[bytes], Completion]:
    """Return the decoder for a response, streamed (n choices) or as JSON."""
    read: Callable[[bytes], Completion] = _decode
    if stream:
        read = decoder_of_stream(
            _decode, lambda chunks, done: join_chunks(chunks, done, n), _decode
        )

    def decode(body: bytes) -> Completion:
        completion = read(body)
        completion.choices.sort(key=lambda choice: choice.index)
        drop_failed(completion.choices, lambda choice: failure_of(choice.finish_reason))
        return completion

    return decode
