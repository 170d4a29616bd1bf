"""The requests and results that exchanges with a server consist of. Pure."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Generic, TypeAlias, TypeVar

import attrs
import msgspec

from trio_beam.core.block import LOW_CONFIDENCE, Continuation
from trio_beam.dialects.common.watch import Watch

T = TypeVar("T")
#: Bytes of a response: of whatever is asked for without a body; of what stands around the answer; for each
#: token, which may be an event of a stream; for each alternative; for each byte of the request.
_LISTED, _ENVELOPE, _TOKEN, _ALTERNATIVE, _ECHO = 8 << 20, 1 << 20, 8 << 10, 2 << 10, 32


@attrs.frozen(kw_only=True, eq=False)
class WireRequest(Generic[T]):
    """An HTTP request to be sent.

    Attributes:
        path: relative to the base URL or to the server's root.
        decode: decodes the response's body for the exchange; raises `msgspec.DecodeError`
            (`msgspec.ValidationError` for JSON of the wrong shape).
        body: JSON; None for a GET.
        at_root: whether `path` is relative to the root: the base URL without ``/v1``.
        max_tokens: maximum number of tokens generated, over all choices.
        alternatives: requested with each token.
        watch: makes what sees a streamed body while it arrives, for each attempt, and may give it up; the
            exchange then receives it as `Abandoned`.
        placed: names of the caller's fields that are in `body` already; the others are appended.
        content_type: of `body`.
        sink: makes what takes the body of a successful response piece by piece, for each attempt; `decode`
            then gets none of it. For bodies of any size.
    """

    path: str
    decode: Callable[[bytes], T]
    body: bytes | None = None
    at_root: bool = False
    max_tokens: int = 0
    alternatives: int = 0
    watch: Callable[[], Watch] | None = None
    placed: frozenset[str] = frozenset()
    content_type: str = "application/json"
    sink: Callable[[], Callable[[bytes], object]] | None = None

    @property
    def max_bytes(self) -> int:
        """The longest response that the request can justify, in bytes, with a generous factor."""
        if self.body is None:
            return _LISTED
        most = _ENVELOPE + self.max_tokens * (_TOKEN + self.alternatives * _ALTERNATIVE)
        # What generates nothing may be about each token that was sent, and a token has two bytes or more.
        each = _ECHO if self.max_tokens else (1 + self.alternatives) * _ALTERNATIVE // 8
        return most + len(self.body) * each

    @property
    def method(self) -> str:
        """GET or POST."""
        return "GET" if self.body is None else "POST"


#: Yields requests, receives their decoded responses (or an `EndpointError` thrown in), returns T.
Exchange: TypeAlias = Generator[WireRequest[Any], Any, T]


@attrs.frozen(kw_only=True, eq=False)
class ExchangeResult:
    """Result of an exchange: continuations and their cost.

    Attributes:
        continuations: at least one.
        prompt_tokens: prompt tokens as the server counts them, over all requests.
        extra_generated: generated tokens that belong to no continuation (repairs, trials).
        reasoning_tokens: generated tokens that were thinking, as the server counts them; None if it does not.
        cached_tokens: prompt tokens that it has read from its cache; None if it does not say.
        written_tokens: prompt tokens that it has written to its cache and charges for.
        charged_tokens: generated tokens that it charges for, of all choices; 0 if it does not say.
        abandoned: whether the response was given up before its end, where servers count tokens.
    """

    continuations: tuple[Continuation, ...]
    prompt_tokens: int = 0
    extra_generated: int = 0
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    written_tokens: int = 0
    charged_tokens: int = 0
    abandoned: bool = False


class ModelEntry(msgspec.Struct):
    """A row of ``GET /models``; servers differ in the field that holds the name."""

    id: str | None = None
    owned_by: str | None = None
    name: str | None = None
    model: str | None = None

    @property
    def model_name(self) -> str:
        """The model's name; empty if the row has none."""
        return self.id or self.model or self.name or ""


class ModelList(msgspec.Struct):
    """The response to ``GET /models``; some servers send a bare list."""

    data: list[ModelEntry] | None = None
    models: list[ModelEntry] | None = None

    @property
    def rows(self) -> list[ModelEntry]:
        """The named models."""
        return [row for row in self.data or self.models or [] if row.model_name]


def abandoned(result: ExchangeResult) -> ExchangeResult:
    """Return the result of a response that was given up."""
    blocks = [attrs.evolve(block, finish_reason=LOW_CONFIDENCE) for block in result.continuations]
    return attrs.evolve(result, continuations=tuple(blocks), abandoned=True)
