"""The seam between a search and the model it searches over: `LanguageModel`.

`Endpoint` (a server) is one implementation; `testing.FakeEndpoint` and a model in this process are
others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.core.prompt import Prompt
from trio_beam.core.request_events import RequestObserver
from trio_beam.core.usage import Allotment, UsageMeter
from trio_beam.errors import EndpointError


@attrs.frozen(kw_only=True, eq=False)
class SampleRequest:
    """A request for n continuations of a beam.

    Attributes:
        beam: to be continued (behind the prompt).
        n: continuations wanted.
        max_tokens: most tokens in each.
        temperature: of the sampling; nothing else may shape the distribution.
        top_logprobs: alternatives wanted beside each token.
        seed: continuation i is sampled with ``seed + i``; None: the model's own randomness.
        enumerate: instead of samples, the n most probable next tokens, each a continuation of one token,
            the most probable first; fewer only where the vocabulary has no more.
        proposal_logprobs: whether each continuation must say how probable it was at `temperature`
            (``Continuation.proposal``).
    """

    beam: Beam
    n: int
    max_tokens: int
    temperature: float
    top_logprobs: int
    seed: int | None
    enumerate: bool = False
    proposal_logprobs: bool = False


class Deadline(Protocol):
    """The time that is left for a request."""

    @property
    def remaining(self) -> float:
        """Seconds left; infinity for no limit, and while it is paused."""

    def paused(self) -> AbstractContextManager[None]:
        """Stop the time while the block runs."""


class _NoDeadline:
    """Endless time."""

    @property
    def remaining(self) -> float:
        return math.inf

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()


NO_DEADLINE: Deadline = _NoDeadline()


@attrs.define(kw_only=True, eq=False)
class RequestContext:
    """For whom a request is made, and how far it has got.

    Attributes:
        meter: where the search's requests and tokens are counted.
        emit: takes events.
        deadline: the time that is left; paused while a request waits for a slot.
        allotment: what was set aside of the budget for it; None: nothing was.
        attempts: how many times the current request has been sent.
        last_error: of its last attempt that failed.
    """

    meter: UsageMeter
    emit: RequestObserver
    deadline: Deadline = NO_DEADLINE
    allotment: Allotment | None = None
    attempts: int = 0
    last_error: EndpointError | None = None


class Sampler(Protocol):
    """A model with a prompt prepared. It lives as long as one search.

    It may have two attributes more: ``max_per_request``, the most continuations that one `sample` returns,
    as far as is known; and ``prompt_length``, tokens of the prompt, or an upper bound while they are not
    known. Where they are missing or None, nothing is known of them.
    """

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        """Return the first 1 to ``request.n`` of the continuations; the caller asks for the rest.

        Raises:
            EndpointError: none could be had.
        """


def max_per_request(sampler: Sampler) -> int | None:
    """Most continuations that one `Sampler.sample` returns; None: no limit known."""
    limit: int | None = getattr(sampler, "max_per_request", None)
    return limit


def prompt_length(sampler: Sampler) -> int:
    """Tokens of a sampler's prompt, or an upper bound; 0 if nothing is known."""
    length: int | None = getattr(sampler, "prompt_length", None)
    return length or 0


class LanguageModel(Protocol):
    """Anything that can continue a prompt and say how probable each token was."""

    async def start(self, prompt: Prompt, context: RequestContext) -> Sampler:
        """Prepare a prompt: whatever has to be done or found out once for a search.

        Raises:
            EndpointError: the model cannot be reached, or cannot be used for this prompt.
        """
