"""Turn choices of the OpenAI protocol into blocks where no log-probabilities were asked for.

Such a response shows text and no tokens. The length of a block is then the server's count; several choices
have one count together, which is divided by the lengths of their texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trio_beam.core.block import LENGTH, Continuation
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.tool_calls import ToolCall, as_text
from trio_beam.dialects.common.encoding import count_in
from trio_beam.dialects.common.finish import is_cut, is_end, reason_of
from trio_beam.dialects.openai_wire import AnyChoice, hides_thinking
from trio_beam.errors import MalformedResponse

#: Usual number of bytes per token, for servers that count nothing.
_BYTES = 4


def text_blocks(
    choices: Sequence[AnyChoice],
    usage: Any,
    request: SampleRequest,
    *,
    reports_truncation: bool,
    calls: Sequence[tuple[ToolCall, ...]],
) -> list[Continuation]:
    """Turn choices into blocks without tokens.

    Args:
        choices: as received.
        usage: the server's counts.
        request: the sampling request.
        reports_truncation: whether the server is known to report when it truncates a text.
        calls: the tool calls of each choice.

    Raises:
        MalformedResponse: generated tokens are shown neither as text nor as thinking.
    """
    total = count_in(usage, "completion_tokens") or 0
    shown = [
        f"{choice.thought}\0{choice.content}\0{as_text(called)}".encode("utf-8", "replace")
        for choice, called in zip(choices, calls, strict=True)
    ]
    sizes = [len(text) - 2 for text in shown]
    cut = [is_cut(choice.finish_reason) for choice in choices]
    lengths = _lengths(sizes, cut, total, request.max_tokens)
    hidden = hides_thinking(usage)
    return [
        _block(
            choice,
            text,
            length,
            request,
            hidden=hidden,
            reports_truncation=reports_truncation,
            calls=called,
        )
        for choice, text, length, called in zip(choices, shown, lengths, calls, strict=True)
    ]


def _block(
    choice: AnyChoice,
    shown: bytes,
    length: int,
    request: SampleRequest,
    *,
    hidden: bool,
    reports_truncation: bool,
    calls: tuple[ToolCall, ...],
) -> Continuation:
    text, thought = choice.content, choice.thought
    if not text and not thought and not hidden and not calls:
        check_nothing_is_hidden(choice, length, [])
    ends = is_end(choice.finish_reason)
    reason = reason_of(
        choice.finish_reason, length, request.max_tokens, proved=ends and reports_truncation
    )
    if calls:
        reason = reason_of_calls(choice, length, request.max_tokens, calls)
    if reason == LENGTH:
        text = text.rstrip("\ufffd")  # a part of a character, which would corrupt the next prompt
    data = text.encode("utf-8", "replace")
    return Continuation(
        tokens=(),
        data=data,
        finish_reason=reason,
        exact=request.beam.continuation is None,
        # What is shown is all that tells blocks apart.
        keys=[shown, *[b""] * (length - 1)][:length],
        logprob=None,
        generated=length,
        reasoning=thought or ("" if hidden else None),
        tool_calls=calls,
    )


def reason_of_calls(choice: AnyChoice, count: int, asked: int, calls: Sequence[ToolCall]) -> str:
    """Return why a choice with tool calls ended: a last call whose arguments are JSON is complete.

    Args:
        choice: the choice as received.
        count: number of its tokens.
        asked: maximum number of tokens requested.
        calls: its tool calls.
    """
    complete = is_end(choice.finish_reason) and calls[-1].is_json
    return reason_of(choice.finish_reason, count, asked, proved=complete)


def check_nothing_is_hidden(choice: AnyChoice, count: int, shown: Sequence[str]) -> None:
    """Reject a choice whose tokens are not text: it would become an empty answer by accident.

    Args:
        choice: has neither text nor thinking.
        count: number of tokens that the server generated for it, as far as known.
        shown: its tokens, if the server sent them.

    Raises:
        MalformedResponse: the tokens are something else.
    """
    elsewhere = choice.message.elsewhere if choice.message else ""
    if elsewhere:
        raise MalformedResponse(
            f"no text: the server put all {count or 'its'} tokens into {elsewhere!r}"
        )
    if count > 1 and not shown and not is_end(choice.finish_reason):
        raise MalformedResponse(
            f"no text: the server generated {count} tokens but shows none of them as text"
            " (reasoning, or a filter?)"
        )


def _lengths(sizes: Sequence[int], cut: Sequence[bool], total: int, most: int) -> list[int]:
    """Return the number of tokens of each choice, estimated if there are several.

    Args:
        sizes: bytes of each.
        cut: whether each was cut off, at `most` tokens.
        total: the server's count for all of them; 0 if it has none.
        most: maximum number of tokens of a choice.
    """
    if len(sizes) == 1 and total:
        return [min(total, most)]
    left = total - most * sum(cut)
    size_left = sum(size for size, ended in zip(sizes, cut, strict=True) if not ended)
    known = left > 0 and size_left > 0  # else there is no count, or it is that of one choice only
    lengths = []
    for size, ended in zip(sizes, cut, strict=True):
        if ended:
            length = most
        elif known and size_left:
            length = round(
                left * size / size_left
            )  # the rest is shared anew, so that the sum is right
            left, size_left = left - length, size_left - size
        else:
            length = -(-size // _BYTES)
        lengths.append(min(most, max(length, 1 if size else 0)))
    return lengths
