"""`LanguageModel`: the interface between a search and its model.

`Endpoint` (a server) is one implementation; `testing.ScriptedModel` and in-process models are others.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token, forced_token
from trio_beam.core.confidence import ConfidenceLimit
from trio_beam.core.price import Price
from trio_beam.core.prompt import Prompt
from trio_beam.core.reasoning import TAGS, closing_of, opening_tag
from trio_beam.core.request_events import BEFORE_ROUNDS, RequestObserver, RequestOrigin
from trio_beam.core.usage_meter import Allotment, UsageMeter
from trio_beam.errors import EndpointError


@attrs.frozen(kw_only=True, eq=False)
class SampleRequest:
    """A request for n continuations of a beam.

    Attributes:
        beam: the beam to continue (after the prompt).
        n: number of continuations.
        max_tokens: maximum length of each, in tokens.
        temperature: sampling temperature; nothing else may shape the distribution.
        top_logprobs: number of alternatives per token.
        seed: continuation i is sampled with ``seed + i``; None: the model's own randomness.
        enumerate: return the n most probable next tokens instead of samples, each as a one-token
            continuation, most probable first; fewer only if the vocabulary is smaller.
        proposal_logprobs: whether each continuation needs its log-probabilities at `temperature`
            (``Continuation.proposal``).
        delimiters: texts behind which a continuation is not needed: the model may end it, with reason
            ``"length"``, at the token that completes one, or go on.
        labels: words that the answer may begin with; a model that can tell their exact log-probabilities
            (nats) returns their spellings as alternatives of the first token, instead of the most probable.
        confidence: with it, a continuation is not needed behind the token at which its confidence falls below
            the threshold: the model may end it there, with reason ``"low_confidence"``, or go on.
        interruptible: whether it may well be cancelled before its end, so that the server should notice.
        logprobs: whether log-probabilities are needed; otherwise none should be computed, and
            ``Continuation.logprob`` is None.
        token_texts: whether the text of each token is needed as well, if it can be had.
        reasoning_budget: maximum number of tokens of thinking, for a model that ends it by itself (see
            `Sampler`); None: no limit.
    """

    beam: Beam
    n: int
    max_tokens: int
    temperature: float
    top_logprobs: int
    seed: int | None
    enumerate: bool = False
    proposal_logprobs: bool = False
    delimiters: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    logprobs: bool = True
    confidence: ConfidenceLimit | None = None
    interruptible: bool = False
    token_texts: bool = False
    reasoning_budget: int | None = None

    @property
    def shows_tokens(self) -> bool:
        """Whether each token is needed with its text: servers show these with log-probabilities only."""
        return self.logprobs or self.token_texts


class Deadline(Protocol):
    """The time left for a request."""

    @property
    def remaining(self) -> float:
        """Seconds left; infinite without a limit or while paused."""

    def paused(self) -> AbstractContextManager[None]:
        """Pause the deadline inside the ``with`` block."""


class _NoDeadline:
    """No time limit."""

    @property
    def remaining(self) -> float:
        return math.inf

    def paused(self) -> AbstractContextManager[None]:
        return nullcontext()


NO_DEADLINE: Deadline = _NoDeadline()


@attrs.define(kw_only=True, eq=False)
class RequestContext:
    """The search-side context of a request, and the state of its attempts.

    Attributes:
        meter: counts the search's requests and tokens.
        emit: receives events.
        origin: what the request is for.
        deadline: the time left; paused while the request waits for a slot.
        allotment: the part of the budget allotted to the request; None: none was allotted.
        attempts: number of times the current request has been sent.
        last_error: error of its last failed attempt.
    """

    meter: UsageMeter
    emit: RequestObserver
    origin: RequestOrigin = BEFORE_ROUNDS
    deadline: Deadline = NO_DEADLINE
    allotment: Allotment | None = None
    attempts: int = 0
    last_error: EndpointError | None = None


class Sampler(Protocol):
    """A model with a prepared prompt, used for one search.

    Further members are optional, and attributes missing or None if unknown:

    - ``max_per_request``: the maximum number of continuations that one `sample` returns.
    - ``prompt_length``: the length of the prompt in tokens, or an upper bound.
    - ``opens_thinking``: the tag by which a prompt, or the chat template around it, opens the thinking; "" if
      it does not. True and False will do.
    - ``thinks_apart``: whether thinking arrives apart from the text or is hidden, so that no text can be
      continued.
    - ``ends_thinking``: whether the model itself keeps to ``SampleRequest.reasoning_budget``.
    - ``price``: the `Price` of its tokens now.
    - ``force``: a coroutine method of a text and a `RequestContext` that returns the tokens to append to a
      beam for that text, with ``forced=True``; without it the text is one token.
    """

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        """Return between 1 and ``request.n`` continuations, in order; the caller requests the rest.

        Raises:
            EndpointError: the request failed.
        """


def max_per_request(sampler: Sampler) -> int | None:
    """Return the maximum number of continuations per `Sampler.sample`, or None if unknown."""
    limit: int | None = getattr(sampler, "max_per_request", None)
    return limit


def prompt_length(sampler: Sampler) -> int:
    """Return the prompt's length in tokens or an upper bound, 0 if unknown."""
    length: int | None = getattr(sampler, "prompt_length", None)
    return length or 0


def price_of(sampler: object) -> Price | None:
    """Return the price of a sampler's or a model's tokens now; None if unknown."""
    price: Price | None = getattr(sampler, "price", None)
    return price


def prompt_opens_thinking(sampler: Sampler, prompt: Prompt) -> bool:
    """Return whether the prompt, or the template around it, is known to open the model's thinking."""
    opened: str | bool | None = getattr(sampler, "opens_thinking", None)
    return bool(opened) or (prompt.text is not None and bool(opening_tag(prompt.text)))


def closing_text(sampler: Sampler) -> str:
    """Return the text that ends the thinking which the prompt has opened; a usual one if unknown."""
    opened: str | bool | None = getattr(sampler, "opens_thinking", None)
    return (closing_of(opened) if isinstance(opened, str) else "") or TAGS[0].end


def thinks_apart(sampler: Sampler) -> bool:
    """Return whether the model is known to send its thinking apart, or to hide it."""
    return bool(getattr(sampler, "thinks_apart", None))


def ends_thinking(sampler: Sampler) -> bool:
    """Return whether the model itself keeps to a budget for thinking; else its end is forced."""
    return bool(getattr(sampler, "ends_thinking", None))


async def forced_tokens(sampler: Sampler, text: str, context: RequestContext) -> Sequence[Token]:
    """Return the tokens to append to a beam for a text.

    Raises:
        EndpointError: the request for them failed.
    """
    force: Callable[[str, RequestContext], Awaitable[Sequence[Token]]] | None
    force = getattr(sampler, "force", None)
    return [forced_token(text)] if force is None else await force(text, context)


class LanguageModel(Protocol):
    """Anything that can continue a prompt and report each token's log-probability.

    Two attributes are optional: ``extra_body``, the fields that every request has beside those of a strategy,
    and ``price``, the `Price` of its tokens now.
    """

    async def start(self, prompt: Prompt, context: RequestContext) -> Sampler:
        """Prepare a prompt, once per search.

        What ``prompt.extra_body`` asks for holds for all samples, as far as the model knows such fields.

        Raises:
            EndpointError: the model cannot be reached, or cannot be used for this prompt.
        """
