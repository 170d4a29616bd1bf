"""The seam between the search and what generates text: `LanguageModel`.

`Endpoint` (a server) is one implementation; `testing.FakeModel` and a model in this process are
others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.beam import Beam
    from trio_beam.core.block import Continuation
    from trio_beam.core.events import Observer
    from trio_beam.core.prompt import Prompt
    from trio_beam.core.usage import Ledger
    from trio_beam.engine.deadline import Stopwatch
    from trio_beam.errors import EndpointError


@attrs.frozen(kw_only=True, eq=False)
class SampleRequest:
    """A wish for n continuations of a beam.

    Attributes:
        beam: what to continue (behind the prompt).
        n: continuations wanted.
        max_tokens: most tokens in each.
        temperature: of the sampling; nothing else may shape the distribution.
        top_logprobs: alternatives wanted beside each token.
        seed: continuation i is sampled with ``seed + i``; None: the model's own randomness.
        enumerate: instead of samples, the n most probable next tokens, each a continuation of one token,
            the most probable first; fewer only where the vocabulary has no more.
        weigh: whether each continuation is to say how probable it was at `temperature`
            (``Continuation.proposal``).
    """

    beam: Beam
    n: int
    max_tokens: int
    temperature: float
    top_logprobs: int
    seed: int | None
    enumerate: bool = False
    weigh: bool = False


@attrs.define(kw_only=True, eq=False)
class Call:
    """On whose behalf something is asked, and how far it has got.

    Attributes:
        ledger: where the search's requests are written down.
        emit: takes events.
        stopwatch: the time that is left; it stands still while a request waits for a slot.
        attempts: how many times the current request has been sent.
        last_error: what its last attempt that failed ended in.
    """

    ledger: Ledger
    emit: Observer
    stopwatch: Stopwatch
    attempts: int = 0
    last_error: EndpointError | None = None


class Sampler(Protocol):
    """A model that has taken a prompt. It lives as long as one search."""

    @property
    def most_per_request(self) -> int | None:
        """Most continuations that one `sample` gives, as far as is known; None: no limit known."""

    async def sample(self, request: SampleRequest, call: Call) -> Sequence[Continuation]:
        """The first 1 to ``request.n`` of the continuations asked for; the caller asks for the rest.

        Raises:
            EndpointError: none could be had.
        """


class LanguageModel(Protocol):
    """Anything that can continue a prompt and say how probable each token was."""

    async def start(self, prompt: Prompt, call: Call) -> Sampler:
        """Take a prompt: whatever is to be done or found out once for a search.

        Raises:
            EndpointError: the model cannot be reached, or not be used for this prompt.
        """
