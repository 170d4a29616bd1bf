"""One language model on several servers.

A search stays with the server that has its prefix in the cache. If that server is lost, the search goes on
elsewhere from what it has: beams are texts and token ids. A lost server is left alone for a while, twice as
long each time; then one search tries it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

import attrs
import trio

from trio_beam.core.block import Continuation, Token
from trio_beam.core.language_model import (
    LanguageModel,
    RequestContext,
    Sampler,
    SampleRequest,
    forced_tokens,
)
from trio_beam.core.prompt import Prompt
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.endpoint.retry import RetryPolicy
from trio_beam.errors import AttemptTimeout, ConnectionFailed, EndpointError, ServerError

T = TypeVar("T")
#: How an endpoint with replicas retries: another server is a better second attempt than the same one.
REPLICA_RETRY = RetryPolicy(attempts=2, wait_initial=0.2)
#: Seconds for which a server is left alone after its first and its last failure.
_SHORTEST, _LONGEST = 1.0, 60.0


@attrs.define(eq=False)
class Replica:
    """A server and its state.

    Attributes:
        endpoint: the server.
        failures: number of times it was lost since its last response.
        alone_until: when it may be tried again, on Trio's clock.
        starts: number of searches begun on it.
    """

    endpoint: Endpoint
    failures: int = 0
    alone_until: float = 0.0
    starts: int = 0

    @property
    def is_lost(self) -> bool:
        """Whether its last request failed."""
        return self.failures > 0

    @property
    def load(self) -> tuple[int, int]:
        """Its requests; with equal ones, who had fewer searches is next."""
        now = self.endpoint.statistics()
        return (now.in_flight + now.waiting, self.starts)

    def leave_alone(self) -> None:
        """Do not use it for a while; requests that fail meanwhile count as the same failure."""
        now = trio.current_time()
        if not self.is_lost or self.alone_until <= now:
            self.failures += 1
            self.alone_until = now + min(_LONGEST, _SHORTEST * 2.0 ** min(self.failures - 1, 10))

    def responded(self) -> None:
        """Note that it is there."""
        self.failures = 0


@asynccontextmanager
async def open_model(servers: Sequence[Mapping[str, Any]]) -> AsyncIterator[LanguageModel]:
    """Open the endpoints of one model for the duration of the block.

    Args:
        servers: the arguments of each `Endpoint`, by name.
    """
    retry: dict[str, Any] = {"retry": REPLICA_RETRY} if len(servers) > 1 else {}
    async with AsyncExitStack() as stack:
        endpoints = [
            await stack.enter_async_context(Endpoint(**server, **retry)) for server in servers
        ]
        yield endpoints[0] if len(endpoints) == 1 else Replicas(endpoints)


class Replicas:
    """A `LanguageModel` on several servers, of which at least one is needed.

    Args:
        endpoints: open ones, with the same model.
    """

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.all = [Replica(endpoint) for endpoint in endpoints]
        self._name: str | None = None

    @property
    def extra_body(self) -> Mapping[str, Any]:
        """The fields that every request has; the same on all servers."""
        fields: Mapping[str, Any] = getattr(self.all[0].endpoint, "extra_body", {})
        return fields

    async def model_name(self) -> str:
        """Return the model's name.

        Raises:
            EndpointError: no server could be asked.
        """
        if self._name is None:
            found, _ = await self.reach(lambda endpoint: endpoint.find_model())
            self._name = found
        return self._name

    async def start(self, prompt: Prompt, context: RequestContext) -> ReplicaSampler:
        """Prepare a prompt on the server with the least to do.

        Raises:
            EndpointError: no server could be reached, or the prompt cannot be used.
        """
        sampler = ReplicaSampler(self, prompt)
        await sampler.begin(context, [])
        return sampler

    async def reach(
        self, work: Callable[[Endpoint], Awaitable[T]], tried: list[Replica] | None = None
    ) -> tuple[T, Replica]:
        """Do work on the first server that is there; return its result, and the server.

        Args:
            work: on one server.
            tried: servers on which it has failed; more are added.

        Raises:
            EndpointError: of the last server, or of the first that has refused.
        """
        tried = [] if tried is None else tried
        while True:
            replica = self._choose(tried)
            try:
                result = await work(replica.endpoint)
            except EndpointError as error:
                if not self.helps_elsewhere(replica, error, tried):
                    raise
            else:
                replica.responded()
                return result, replica

    def helps_elsewhere(self, replica: Replica, error: EndpointError, tried: list[Replica]) -> bool:
        """Note an error, and return whether another server may do better."""
        if not isinstance(error, (ConnectionFailed, AttemptTimeout, ServerError)):
            return False
        replica.leave_alone()
        if replica not in tried:
            tried.append(replica)
        return len(tried) < len(self.all)

    def _choose(self, tried: Sequence[Replica]) -> Replica:
        now = trio.current_time()
        others = [one for one in self.all if one not in tried]
        due = [one for one in others if not one.is_lost or one.alone_until <= now]
        if not due:
            return min(others, key=lambda one: one.alone_until)
        chosen = min(due, key=lambda one: one.load)
        if chosen.is_lost:  # this search tries it; others do not wait for what becomes of that
            chosen.alone_until = now + _SHORTEST
        chosen.starts += 1
        return chosen


class ReplicaSampler:
    """A prompt on one of several servers.

    Args:
        replicas: the servers.
        prompt: the prompt.
    """

    def __init__(self, replicas: Replicas, prompt: Prompt) -> None:
        self._replicas = replicas
        self._prompt = prompt
        self._moving = trio.Lock()
        self._replica: Replica
        self._sampler: Sampler

    async def begin(self, context: RequestContext, tried: list[Replica]) -> None:
        """Prepare the prompt on a server that was not tried.

        Raises:
            EndpointError: there is none, or the prompt cannot be used.
        """
        self._sampler, self._replica = await self._replicas.reach(
            lambda endpoint: endpoint.start(self._prompt, context), tried
        )

    def __getattr__(self, name: str) -> Any:
        """Return what the server's own sampler tells beside its samples; see `Sampler`."""
        if name.startswith("_"):  # not prepared yet
            raise AttributeError(name)
        return getattr(self._sampler, name)

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        """Sample continuations; on another server if this one is lost.

        Raises:
            EndpointError: the request failed on all, or would fail on all.
        """
        return await self._ask(lambda sampler: sampler.sample(request, context), context)

    async def force(self, text: str, context: RequestContext) -> Sequence[Token]:
        """Return the tokens to append to a beam for a text, by the tokenizer of whichever server is there.

        Raises:
            EndpointError: as `sample`.
        """
        return await self._ask(lambda sampler: forced_tokens(sampler, text, context), context)

    async def _ask(self, work: Callable[[Sampler], Awaitable[T]], context: RequestContext) -> T:
        tried: list[Replica] = []
        while True:
            replica, sampler = self._replica, self._sampler
            try:
                result = await work(sampler)
            except EndpointError as error:
                if not self._replicas.helps_elsewhere(replica, error, tried):
                    raise
            else:
                replica.responded()
                return result
            async with self._moving:
                if self._replica is replica:  # else another beam has moved the search
                    await self.begin(context, tried)
