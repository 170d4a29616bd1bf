"""Classify the finish reasons of many servers. Pure.

A finish reason means ended (the model is done), cut (no room for more) or failed (the server gave up or
withheld the text). An unknown one needs proof, and so does an end at exactly the requested length, since
some servers always report "stop".
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

from trio_beam.core.block import LENGTH, STOP
from trio_beam.errors import EndpointError, MalformedResponse, RequestRejected, ServerError

C = TypeVar("C")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ENDED = _words(
    "stop eos eos_token eos_token_id end end_turn endoftext end_of_text end_of_sequence stop_sequence"
    " stop_token stop_word natural normal"
    " complete completed finished done tool_calls tool_call tool_use function_call"
)
_CUT = _words(
    "length max_tokens max_length max_new_tokens max_output_tokens token_limit limit truncated model_length"
    " model_context_window_exceeded incomplete"
)
#: Between the words of a name in camelCase.
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
#: The server withheld the text: another attempt would end the same way.
_WITHHELD = _words(
    "content_filter content_filtered safety recitation blocklist refusal prohibited_content spii language"
    " guardrail_intervened sensitive moderation"
)
#: The server gave up: another attempt may succeed.
_GAVE_UP = _words(
    "error abort aborted cancelled canceled timeout network_error failed insufficient_system_resource"
    " server_error malformed_function_call unknown_error"
)


def failure_of(word: str | None) -> EndpointError | None:
    """Return the error a finish reason stands for, if any."""
    plain = _plain(word)
    if plain in _WITHHELD:
        return RequestRejected(
            f"the server withheld the text: finish_reason {word!r}", status=200, code=plain
        )
    if plain in _GAVE_UP:
        return ServerError(f"the server gave up on the request: finish_reason {word!r}", status=500)
    return None


def drop_failed(choices: list[C], failure_in: Callable[[C], EndpointError | None]) -> None:
    """Drop the choices from the first failed one on: they are asked for again, with their own seeds.

    Raises:
        EndpointError: that is the first of all.
    """
    for place, choice in enumerate(choices):
        failure = failure_in(choice)
        if failure is not None:
            if place == 0:
                raise failure
            del choices[place:]
            return


def reason_of(word: str | None, tokens: int, asked: int, *, proved: bool) -> str:
    """Return why a continuation ended: ``"stop"`` or ``"length"``.

    Args:
        word: the server's finish reason; None or "" if it gave none, so a
            continuation that has tokens may go on.
        tokens: length of the continuation.
        asked: maximum number of tokens requested.
        proved: whether it contains the end-of-text token.

    Raises:
            MalformedResponse: the word is unknown and nothing else settles the matter.
    """
    plain = _plain(word)
    if proved:
        return STOP
    if plain in _ENDED:
        return STOP if tokens < asked else LENGTH
    if not plain:
        return LENGTH if tokens else STOP  # the model had nothing to add
    if plain in _CUT or tokens >= asked:
        return LENGTH
    raise MalformedResponse(f"unknown finish_reason {word!r} after {tokens} of {asked} tokens")


def is_end(word: str | None) -> bool:
    """Return whether a finish reason means that the model is done."""
    return _plain(word) in _ENDED


def is_cut(word: str | None) -> bool:
    """Return whether a finish reason means that there was no room for more."""
    return _plain(word) in _CUT


def _plain(word: str | None) -> str:
    apart = _HUMP.sub("_", (word or "").strip())
    return apart.lower().replace("-", "_").replace(" ", "_").removeprefix("finish_reason_")
