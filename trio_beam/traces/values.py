"""Blocks, errors, prompts and costs as a trace has them, and back."""

from __future__ import annotations

import functools
import math
import typing
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from decimal import Decimal
from hashlib import blake2b
from typing import Any

import attrs
import msgspec

import trio_beam.errors as errors_module
from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token
from trio_beam.core.price import Price, PriceTable
from trio_beam.core.prompt import Prompt
from trio_beam.core.usage import Usage
from trio_beam.errors import EndpointError, ReplayError
from trio_beam.traces import format as lines
from trio_beam.traces.format import Number, number

#: The attributes of a `Continuation` that `Block` has members for; all others are under ``more``.
_WRITTEN = frozenset(
    {
        *("_tokens", "data", "finish_reason", "exact", "keys", "logprob", "generated"),
        *("proposal", "reasoning"),
    }
)
_MORE = [field for field in attrs.fields(Continuation) if field.name not in _WRITTEN]
#: Kinds of attributes of errors that can be written.
_PLAIN = (bool, int, float, str, type(None))


def as_float(value: Number, default: float | None = None) -> float | None:
    """Return a written number as a float; `default` for None."""
    return default if value is None else float(value)


def identity(beam: Beam) -> tuple[int | bytes, ...]:
    """Return what makes two beams the same text: the keys of all tokens."""
    blocks = [one.continuation for one in beam.lineage()]
    return tuple(key for block in blocks if block is not None for key in block.keys)


def keys_to_plain(keys: Sequence[int | bytes]) -> list[int | str]:
    """Return the keys of tokens as JSON has them: ids, and bytes in base64."""
    return [key if isinstance(key, int) else b64encode(key).decode() for key in keys]


def keys_from_plain(keys: Sequence[int | str]) -> list[int | bytes]:
    """Return the keys of tokens."""
    return [key if isinstance(key, int) else b64decode(key) for key in keys]


def block_to_plain(sample: int, block: Continuation, *, texts: bool) -> lines.Block:
    """Return a block as it is written."""
    more = {
        field.name: value
        for field in _MORE
        if (value := getattr(block, field.name)) != field.default
    }
    plain = lines.Block(
        sample=sample,
        length=len(block),
        logprob=number(block.logprob),
        finish=block.finish_reason,
        exact=block.exact,
        more=more if texts else {},
    )
    if block.generated != len(block):
        plain.generated = block.generated
    if block.proposal is not None:
        plain.proposal = list(block.proposal)
    if not texts:
        return plain
    tokens = block.tokens
    # Written as they are: a tuple has the shape of a `lines.Token`.
    plain.tokens = typing.cast("list[lines.Token]", tokens)
    plain.reasoning = block.reasoning
    # Spelt out instead of `Token.data` and `Token.key`: this is the most of a trace's cost.
    data = [one[0].encode("utf-8", "replace") if one[3] is None else one[3] for one in tokens]
    if b"".join(data) != block.data:
        plain.data = block.data
    keys = [raw if one[2] is None else one[2] for one, raw in zip(tokens, data, strict=True)]
    if list(block.keys) != keys:
        plain.keys = keys_to_plain(block.keys)
    return plain


def block_from_plain(plain: lines.Block) -> Continuation:
    """Return a block as the model gave it; its tokens must have been written.

    Raises:
        ReplayError: it has something that only a later program knows.
    """
    assert plain.tokens is not None
    tokens = tuple(map(_token, plain.tokens))
    data = plain.data
    keys: list[int | bytes] = (
        [token.key for token in tokens] if plain.keys is None else keys_from_plain(plain.keys)
    )
    proposal = plain.proposal
    return Continuation(
        tokens=tokens,
        data=b"".join([token.data for token in tokens]) if data is None else data,
        finish_reason=plain.finish,
        exact=plain.exact,
        keys=keys,
        logprob=as_float(plain.logprob),
        generated=len(keys) if plain.generated is None else plain.generated,
        proposal=None if proposal is None else [_nats(one) for one in proposal],
        reasoning=plain.reasoning,
        **{name: _convert(name, value) for name, value in plain.more.items()},
    )


def beam_to_plain(beam: Beam) -> dict[str, Any]:
    """Return a complete text as it is written: its blocks, and how it ended."""
    blocks = [one.continuation for one in beam.lineage()]
    return {
        "blocks": [block_to_plain(0, block, texts=True) for block in blocks if block is not None],
        "finish_reason": beam.finish_reason,
        "finished": beam.finished,
    }


def beam_from_plain(plain: Mapping[str, Any]) -> Beam:
    """Return a complete text."""
    beam = Beam()
    for one in plain["blocks"]:
        block = msgspec.convert(msgspec.to_builtins(one), lines.Block)
        beam = beam.extend(block_from_plain(block))
    return beam.replace(finish_reason=plain["finish_reason"], finished=plain["finished"])


def _token(plain: lines.Token) -> Token:
    top = tuple(map(_token, plain.top))
    return Token(plain.text, _nats(plain.logprob), plain.id, plain.bytes, top, plain.forced)


def _nats(logprob: float | None) -> float:
    return -math.inf if logprob is None else logprob


def _convert(name: str, value: Any) -> Any:
    if name not in _types():
        raise ReplayError(
            f"the samples have {name!r}, which this version of trio_beam does not know"
        )
    return msgspec.convert(value, type=_types()[name])


@functools.cache
def _types() -> dict[str, Any]:
    return typing.get_type_hints(Continuation)


def error_to_plain(error: Exception, *, texts: bool) -> lines.Error:
    """Return an error as it is written; without texts, not what a server may have quoted."""
    fields = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in vars(error).items()
        if name != "message" and isinstance(value, (*_PLAIN, tuple)) and (texts or name != "fields")
    }
    message = getattr(error, "message", str(error)) if texts else ""
    return lines.Error(type=type(error).__name__, message=message, fields=fields)


def error_from_plain(plain: lines.Error) -> EndpointError:
    """Return the error of a request; one of an unknown class as its nearest known base."""
    kind = getattr(errors_module, plain.type, EndpointError)
    if not (isinstance(kind, type) and issubclass(kind, EndpointError)):
        kind = EndpointError
    error: EndpointError = kind.__new__(kind, plain.message)
    fields = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in plain.fields.items()
    }
    vars(error).update(fields, message=plain.message)
    return error


def prompt_to_plain(prompt: Prompt) -> lines.PromptData:
    """Return a prompt as it is written."""
    messages = None if prompt.messages is None else [dict(one) for one in prompt.messages]
    return lines.PromptData(text=prompt.text, messages=messages)


def prompt_from_plain(plain: lines.PromptData) -> Prompt:
    """Return a prompt."""
    messages = None if plain.messages is None else tuple(plain.messages)
    return Prompt(text=plain.text, messages=messages)


def prompt_text(prompt: lines.PromptData | None) -> str:
    """Return the last message of a prompt, or its text."""
    messages = messages_of(prompt)
    return messages[-1][1] if messages else ""


def messages_of(prompt: lines.PromptData | None) -> list[tuple[str, str]]:
    """Return a prompt as roles and texts; a text has the role ""."""
    if prompt is None:
        return []
    if prompt.messages is None:
        return [("", prompt.text or "")]
    return [(str(one.get("role", "")), _content(one.get("content"))) for one in prompt.messages]


def _content(content: Any) -> str:
    if isinstance(content, str) or content is None:
        return content or ""
    if isinstance(content, list):
        parts = [one.get("text") if isinstance(one, dict) else one for one in content]
        return "\n".join(one if isinstance(one, str) else "(no text)" for one in parts)
    return str(content)


def digest_of(prompt: Prompt) -> str:
    """Return a short digest of a prompt."""
    return blake2b(msgspec.json.encode(prompt_to_plain(prompt)), digest_size=12).hexdigest()


def usage_to_plain(usage: Usage) -> dict[str, int | float]:
    """Return a cost without what has its default: 0, or None where that means unknown."""
    values = attrs.asdict(usage)
    return {
        field.name: values[field.name]
        for field in attrs.fields(Usage)
        if values[field.name] != field.default
    }


def usage_from_plain(plain: Mapping[str, int | float]) -> Usage:
    """Return a written cost, as far as this version knows its parts."""
    values: dict[str, Any] = {
        field.name: plain[field.name] for field in attrs.fields(Usage) if field.name in plain
    }
    return Usage(**values)


def price_to_plain(price: Price | None) -> lines.Price | None:
    """Return a price as a trace has it; None for one that is no table."""
    if not isinstance(price, PriceTable):
        return None
    rates = {field.name: getattr(price, field.name) for field in attrs.fields(PriceTable)}
    return msgspec.convert(rates, lines.Price)


def price_from_plain(plain: lines.Price | None) -> PriceTable | None:
    """Return a recorded price."""
    if plain is None:
        return None
    rates: dict[str, Any] = {
        name: value if isinstance(value, Decimal) else tuple(value)
        for name, value in msgspec.structs.asdict(plain).items()
    }
    return PriceTable(**rates)
