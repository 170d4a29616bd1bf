"""Why a continuation ended, in the words of many servers. Pure.

Words fall into three kinds: ended (the model is done), cut (there was no room for more) and failed (the
server gave up, or kept the text back). A word of no kind is not believed without proof, nor is an end at
exactly the length that was asked for: some servers always say "stop".
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
    "stop eos eos_token eos_token_id end end_turn endoftext end_of_text end_of_sequence stop_sequence stop_token"
    " stop_word natural normal"
    " complete completed finished done tool_calls tool_call tool_use function_call"
)
_CUT = _words(
    "length max_tokens max_length max_new_tokens max_output_tokens token_limit limit truncated model_length"
    " model_context_window_exceeded incomplete"
)
#: Between the words of a name in camelCase.
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
#: The server kept the text back: another attempt would end the same way.
_WITHHELD = _words(
    "content_filter content_filtered safety recitation blocklist refusal prohibited_content spii language"
    " guardrail_intervened sensitive moderation"
)
#: The server gave up: another attempt may fare better.
_GAVE_UP = _words(
    "error abort aborted cancelled canceled timeout network_error failed insufficient_system_resource"
    " server_error malformed_function_call unknown_error"
)


def failure_of(word: str | None) -> EndpointError | None:
    """The error that a finish reason stands for; None if it stands for none."""
    plain = _plain(word)
    if plain in _WITHHELD:
        return RequestRejected(
            f"the server withheld the text: finish_reason {word!r}", status=200, code=plain
        )
    if plain in _GAVE_UP:
        return ServerError(f"the server gave the request up: finish_reason {word!r}", status=500)
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
        word: the server's own; None or "": it said nothing, so a continuation that has tokens may go on.
        tokens: that it has.
        asked: most tokens that were asked for.
        proved: whether the token that ends the text is among them.

    Raises:
        MalformedResponse: the word is unknown, and nothing else tells.
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
    """Whether a finish reason says that the model is done."""
    return _plain(word) in _ENDED


def is_cut(word: str | None) -> bool:
    """Whether a finish reason says that there was no room for more."""
    return _plain(word) in _CUT


def _plain(word: str | None) -> str:
    apart = _HUMP.sub("_", (word or "").strip())
    return apart.lower().replace("-", "_").replace(" ", "_").removeprefix("finish_reason_")
