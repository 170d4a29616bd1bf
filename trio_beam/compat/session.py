"""The open model behind the client that the original's methods pass on.

The methods pass their client to each other, as in the original; an override may use it. The outermost call
opens the client's model once, and inner calls find it in a context variable, which Trio's tasks inherit.
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
from trio_beam.core.usage_meter import UsageMeter

_CURRENT: ContextVar[Session | None] = ContextVar("trio_beam.compat session", default=None)


@attrs.define(kw_only=True, eq=False)
class Session:
    """A model open for a search or a single call, which prepares each prompt once.

    Attributes:
        owner: the strategy that opened it.
        client: the client as given.
        model: the client's model.
        run: the Trio run it belongs to.
        raw: whether to continue a string as plain text; if not, it is a user message.
        meter: counts the requests.
        emit: receives their events.
        failed: the last block in which a beam failed.
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
        """Return the session that this strategy opened for this client in the current Trio run, if any."""
        found = _CURRENT.get()
        if found is None or found.owner is not owner or found.client is not client:
            return None
        return found if found.run is trio.lowlevel.current_trio_token() else None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make this the current session inside the ``with`` block."""
        token = _CURRENT.set(self)
        try:
            yield
        finally:
            _CURRENT.reset(token)

    @contextmanager
    def call(self) -> Iterator[UsageMeter]:
        """Yield a meter for one call; its requests also count in the session's meter."""
        meter, total = UsageMeter(), self.meter
        try:
            yield meter
        finally:
            total.requests += meter.requests
            total.retries += meter.retries
            total.cancelled += meter.cancelled

    def asked(self, prompt: PromptLike) -> PromptLike:
        """Return the prompt in the form sent to the model."""
        if self.raw or not isinstance(prompt, str):
            return prompt
        return [{"role": "user", "content": prompt}]

    async def start(self, prompt: Prompt, context: RequestContext) -> Sampler:
        """Prepare a prompt, or return the sampler prepared earlier.

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
