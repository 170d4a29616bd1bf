"""The open model behind the client that the original's methods hand on.

The methods pass on the client that they were given, as the original's do; an override may look at it. The
model that belongs to it is opened once, by the outermost call, and found again by the inner ones in a context
variable, which Trio's tasks inherit.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import attrs
import trio

from trio_beam.compat.expansion import Expanded
from trio_beam.core.events import Observer
from trio_beam.core.language_model import LanguageModel, RequestContext, Sampler
from trio_beam.core.prompt import Prompt, PromptLike
from trio_beam.core.usage import UsageMeter

_CURRENT: ContextVar[Session | None] = ContextVar("trio_beam.compat session", default=None)


@attrs.define(kw_only=True, eq=False)
class Session:
    """A model that is open for a search or for a single call, and prepares each prompt once.

    Attributes:
        owner: the strategy that opened it.
        client: as it was given.
        model: the model that it names.
        run: of Trio, to which it belongs.
        raw: whether a string is a text to be continued; if not, it is a user's message.
        meter: counts the requests.
        emit: takes their events.
        failed: the last block of which a beam could not be expanded.
    """

    owner: object
    client: Any
    model: LanguageModel
    raw: bool
    meter: UsageMeter
    emit: Observer
    failed: Expanded = attrs.field(factory=Expanded, init=False)
    run: trio.lowlevel.TrioToken = attrs.field(factory=trio.lowlevel.current_trio_token, init=False)
    _started: list[tuple[Prompt, Sampler]] = attrs.field(factory=list, init=False)
    _starting: trio.Lock = attrs.field(factory=trio.Lock, init=False)

    @classmethod
    def current(cls, owner: object, client: Any) -> Session | None:
        """Return the session that the same strategy has opened for the same client, in this run of Trio."""
        found = _CURRENT.get()
        if found is None or found.owner is not owner or found.client is not client:
            return None
        return found if found.run is trio.lowlevel.current_trio_token() else None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be the current session while the block runs."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    @contextmanager
    def call(self) -> Iterator[UsageMeter]:
        """Count one call by itself; its requests count in the session's own meter as well."""
        meter, total = UsageMeter(), self.meter
        try:
            yield meter
        finally:
            total.requests += meter.requests
            total.retries += meter.retries
            total.cancelled += meter.cancelled

    def asked(self, prompt: PromptLike) -> PromptLike:
        """Return the prompt in the form that the model is asked in."""
        if self.raw or not isinstance(prompt, str):
            return prompt
        return [{"role": "user", "content": prompt}]

    async def start(self, prompt: Prompt, context: RequestContext) -> Sampler:
        """Prepare a prompt, unless that was done before.

        Raises:
            EndpointError: as `LanguageModel.start`.
        """
        async with self._starting:
            for known, sampler in self._started:
                if (known.text, known.messages) == (prompt.text, prompt.messages):
                    return sampler
            sampler = await self.model.start(prompt, context)
            self._started.append((prompt, sampler))
            return sampler
