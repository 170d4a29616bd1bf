"""Searches over answers that are known already: what such a search still wants to know is what must be asked.

A search is the same program whether its requests are sent or looked up: the same machine, dialect, retries,
limits and costs. It is run with the answers there are. Requests without one wait, and once nothing goes on
without them, they are all that the search needs next; it is cancelled, and run again when they are answered.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec
import trio

from trio_beam.batch.folder import Answer
from trio_beam.batch.prompts import PromptRecord
from trio_beam.batch.provider_state import Wanted
from trio_beam.batch.run import Plan, Searcher
from trio_beam.core.events import Event, Observer
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.endpoint.retry import RetryPolicy
from trio_beam.errors import ConfigError
from trio_beam.http.answered import KnownAnswer, answering_client

#: All requests of a round are wanted at the same time.
_NO_LIMIT = 1_000_000
_AT_ONCE = RetryPolicy(wait_initial=0, wait_max=0)


class AnsweredSearches:
    """Runs searches over known answers, as a context manager.

    Args:
        server: the arguments of the server's `Endpoint`, with its model.
        plan: how prompts are searched.
        known: returns the answer to a request by its name; None if there is none.
        generated: called with the number of tokens that a complete search has generated.
        observers_of: returns the observers of a complete search, by the id of its prompt.
    """

    def __init__(
        self,
        server: Mapping[str, Any],
        plan: Plan,
        known: Callable[[str], KnownAnswer | None],
        generated: Callable[[int], None],
        observers_of: Callable[[str], Sequence[Observer]] = lambda _: (),
    ) -> None:
        self._server = server
        self._plan = plan
        self._known = known
        self._generated = generated
        self._observers_of = observers_of
        self._prefix = urlsplit(server["base_url"]).path.rstrip("/")
        self._client = answering_client(self._look_up)
        self._record = PromptRecord(id="", prompt="")
        self._places: Counter[tuple[str, bytes]] = Counter()
        self._wanted: list[Wanted] = []

    async def __aenter__(self) -> Self:
        """Open; sends nothing, now or later."""
        await trio.lowlevel.checkpoint()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        with trio.move_on_after(1, shield=True):
            await self._client.aclose()

    async def run(self, record: PromptRecord) -> Answer | list[Wanted]:
        """Search for a prompt; return its outcome, or the requests that it still needs answers to.

        Raises:
            RunStopped: every other prompt would fare the same.
        """
        self._record, self._wanted = record, []
        self._places.clear()
        outcome: Answer | None = None
        # A dialect of its own: what one prompt's answers teach must not change what another asked already.
        endpoint = Endpoint(
            self._server["base_url"],
            model=self._server["model"],
            api=self._server["api"],
            prices=self._server.get("prices"),
            dialect="openai",
            max_concurrent=_NO_LIMIT,
            attempt_timeout=None,
            retry=_AT_ONCE,
            http_client=self._client,
        )
        tokens: list[int] = []
        events: list[Event] = []
        searcher = Searcher(endpoint, self._plan, tokens.append, lambda _: [events.append])

        async def search() -> None:
            nonlocal outcome
            outcome = await searcher.answer(record)

        # It imports pytest, where that is installed.
        from trio.testing import wait_all_tasks_blocked  # noqa: PLC0415

        async with endpoint, trio.open_nursery() as nursery:
            nursery.start_soon(search)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel(reason="nothing goes on without answers")
        if outcome is not None:
            # Told now: of a search that goes no further nobody should hear.
            self._generated(sum(tokens))
            for observer in self._observers_of(record.id):
                for event in events:
                    observer(event)
            return outcome
        if not self._wanted:
            text = "the search does not go on with the answers of the batch"
            return Answer(id=record.id, text="", digest=record.digest, error=text)
        return self._wanted

    def _look_up(self, method: str, path: str, body: bytes) -> KnownAnswer | None:
        if method != "POST":
            raise ConfigError("a request", "one that a batch can have", f"{method} {path}")
        # The same request again is another draw, or a retry.
        place = self._places[path, body]
        self._places[path, body] += 1
        path = path.removeprefix(self._prefix)
        determinants = [self._record.id, self._record.digest, path, place]
        key = msgspec.json.encode(determinants) + body
        name = hashlib.blake2b(key, digest_size=16).hexdigest()
        known = self._known(name)
        if known is None:
            self._wanted.append(Wanted(name, self._record.id, path, body))
        return known
