"""Test a server with small requests, built in the same way as those of a search.

About thirty requests with some 350 tokens in total, and a longer one that is cancelled to see whether
the server notices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

import attrs
import trio

from trio_beam.core.beam import Beam
from trio_beam.core.block import STOP, Continuation
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import PromptLike, check_prompt
from trio_beam.core.reasoning import split
from trio_beam.dialects.common.dialect import Dialect
from trio_beam.dialects.common.exchange import Exchange, WireRequest
from trio_beam.endpoint.batch_noise import largest
from trio_beam.endpoint.capabilities import Capabilities
from trio_beam.errors import ConfigError, EndpointError

T = TypeVar("T")
_TEXT = "The best thing about"
_CHAT = ({"role": "user", "content": "Answer with one word: which colour has the sky?"},)
_SEED = 7
_BLOCK = 8
#: Numbers of choices and alternatives to try: more than a search can use.
_MANY_CHOICES = 64
_MANY_LOGPROBS = 1000
#: Tokens within which a short answer should end.
_SHORT_ANSWER = 32
#: Nats by which the same log-probability may differ between requests (bfloat16: 0.08).
_NOISE = 0.15
#: Length in tokens of the cancelled request; seconds it runs, and seconds the server has to notice.
_LONG_TOKENS, _RUNS, _NOTICES = 512, 0.5, 2.0
#: Other requests beside a repeated one, and how often it is repeated.
_OTHERS = ("Once upon a time", "def add(a, b):\n", "1, 2, 3,", "The capital of France is")
_REPETITIONS = 2


class Ask(Protocol):
    """Runs an exchange; raises `EndpointError`."""

    async def __call__(self, exchange: Exchange[T]) -> T:
        """Return the result of an exchange."""


@attrs.define(eq=False)
class Probe:
    """Tests one server.

    Attributes:
        ask: runs an exchange.
        dialect: the server's dialect.
        streaming: creates the same dialect with streams.
        base_url: the server's base URL.
        progress: called with a short description of each step.
    """

    ask: Ask
    dialect: Dialect
    streaming: Callable[[], Dialect]
    base_url: str
    progress: Callable[[str], None]

    async def run(self) -> Capabilities:
        """Run all tests, one request after the other.

        Raises:
            EndpointError: not even a plain request succeeded.
        """
        self.progress("server and version")
        slots = await self.ask(self.dialect.configure())
        self.progress("choices, seeds and log-probabilities")
        start = trio.current_time()
        first = await self._sample(self.dialect, n=2)
        seconds_a_token = (trio.current_time() - start) / _BLOCK
        found: dict[str, Any] = {
            "token_ids_out": all(isinstance(key, int) for one in first for key in one.keys),
            "token_ids_in": self.dialect.takes_ids,
            "logprobs": self.dialect.shape,
            **await self._seeds(first),
            "max_n": await self._max_choices(),
            "raw_logprobs": await self._maybe(self._raw()),
            "max_logprobs": await self._maybe(self._max_logprobs()),
        }
        self.progress("the same request beside others")
        found |= await self._beside_others()
        self.progress("chat, and how texts end")
        found |= await self._chat()
        self.progress("streaming")
        found["streams"] = await self._streams()
        self.progress("whether a closed connection stops the work")
        found["stops_when_closed"] = await self._maybe(self._stops(seconds_a_token))
        return Capabilities(
            base_url=self.base_url,
            dialect=self.dialect.name,
            model=self.dialect.model,
            server=self.dialect.server,
            context_tokens=self.dialect.context_tokens,
            slots=slots,
            notes=self.dialect.notes,
            **found,
        )

    async def _sample(
        self, dialect: Dialect, prompt: PromptLike = _TEXT, **changes: Any
    ) -> Sequence[Continuation]:
        prepared = await self.ask(dialect.prepare(check_prompt(prompt)))
        return await self._continue(dialect, prepared, **changes)

    async def _continue(
        self, dialect: Dialect, prepared: Any, **changes: Any
    ) -> Sequence[Continuation]:
        request = SampleRequest(
            beam=Beam(), n=1, max_tokens=_BLOCK, temperature=1.0, top_logprobs=2, seed=_SEED
        )
        result = await self.ask(dialect.sample(prepared, attrs.evolve(request, **changes)))
        return result.continuations

    async def _maybe(self, trying: Any) -> Any:
        """Return the result of a test, or None if the server refused."""
        try:
            return await trying
        except EndpointError:
            return None

    async def _seeds(self, first: Sequence[Continuation]) -> dict[str, bool | None]:
        again = await self._maybe(self._sample(self.dialect, n=len(first)))
        repeats = again is not None and _same(first, again)
        if len(first) < 2:
            return {"seed_repeats": repeats}
        next_one = await self._maybe(self._sample(self.dialect, seed=_SEED + 1))
        return {
            "seed_repeats": repeats,
            "choices_differ": list(first[0].keys) != list(first[1].keys),
            "seed_plus_index": _same(first[1:2], next_one or ()) if repeats else None,
        }

    async def _beside_others(self) -> dict[str, Any]:
        """Repeat a request while the server works on others."""
        alone = await self._maybe(self._sample(self.dialect))
        beside: list[Continuation] = []

        async def sample(prompt: str, kept: list[Continuation] | None, seed: int) -> None:
            got = await self._maybe(self._sample(self.dialect, prompt, seed=seed))
            if got and kept is not None:
                kept.append(got[0])

        for repetition in range(_REPETITIONS):
            async with trio.open_nursery() as nursery:
                for number, prompt in enumerate(_OTHERS):
                    nursery.start_soon(sample, prompt, None, repetition * len(_OTHERS) + number)
                    if number == len(_OTHERS) // 2:
                        nursery.start_soon(sample, _TEXT, beside, _SEED)
        if not alone or not beside:
            return {}
        return {
            "seed_repeats_beside_others": all(_same(alone, [one]) for one in beside),
            "batch_noise": largest(alone[0], beside),
        }

    async def _max_choices(self) -> int | None:
        limits = self.dialect.limits
        if limits.n is None:
            await self._maybe(self._sample(self.dialect, n=_MANY_CHOICES, max_tokens=1))
        return limits.n

    async def _raw(self) -> bool | None:
        """Return whether log-probabilities are the same at another temperature."""
        shown = []
        for temperature in (1.0, 2.0):
            (one,) = await self._sample(
                self.dialect, max_tokens=1, temperature=temperature, top_logprobs=5
            )
            shown.append({top.text: top.logprob for token in one.tokens for top in token.top})
        both = shown[0].keys() & shown[1].keys()
        if not both:
            return None
        return max(abs(shown[0][text] - shown[1][text]) for text in both) < _NOISE

    async def _max_logprobs(self) -> int | None:
        (one,) = await self._sample(self.dialect, max_tokens=1, top_logprobs=_MANY_LOGPROBS)
        if self.dialect.limits.logprobs is not None:
            return self.dialect.limits.logprobs
        count = max((len(token.top) for token in one.tokens), default=0)
        return None if count >= _MANY_LOGPROBS else count

    async def _chat(self) -> dict[str, bool | None]:
        try:
            prepared = await self.ask(self.dialect.prepare(check_prompt(_CHAT)))
        except (ConfigError, EndpointError):
            return {"continues_chat": False, "end_of_text_counted": None}
        ended = await self._maybe(
            self._continue(self.dialect, prepared, max_tokens=_SHORT_ANSWER, top_logprobs=0)
        )
        found: dict[str, bool | None] = {
            "continues_chat": await self._maybe(self.ask(self.dialect.continues_chat())),
            "end_of_text_counted": None,
        }
        if ended and ended[0].reasoning is not None:
            found["thinks_apart"] = self.dialect.thinks_apart = True
        elif ended and split(ended[0].data.decode("utf-8", "replace"), "auto").reasoning:
            found["thinks_apart"] = False
        if ended and ended[0].finish_reason == STOP:
            tokens = ended[0].tokens
            found["end_of_text_counted"] = bool(tokens) and tokens[-1].data == b""
        return found

    async def _streams(self) -> bool:
        if not self.dialect.can_stream:
            return False
        bodies: list[bytes] = []
        dialect = self.streaming()
        try:
            prepared = await self.ask(dialect.prepare(check_prompt(_TEXT)))
            request = SampleRequest(
                beam=Beam(), n=1, max_tokens=_BLOCK, temperature=1.0, top_logprobs=2, seed=_SEED
            )
            await self.ask(_recording(dialect.sample(prepared, request), bodies))
        except EndpointError:
            return False
        return bodies[0].lstrip()[:1] not in (b"{", b"[")

    async def _stops(self, seconds_a_token: float) -> bool | None:
        """Cancel a long request and check a little later whether the server still works on it."""
        before = await self.ask(self.dialect.running())
        if before is None or _LONG_TOKENS * seconds_a_token < _RUNS + _NOTICES:
            return None  # not reported, or the request would have ended by itself
        prepared = await self.ask(self.dialect.prepare(check_prompt(_TEXT)))
        with trio.move_on_after(_RUNS) as scope:
            await self._continue(self.dialect, prepared, max_tokens=_LONG_TOKENS, top_logprobs=0)
        if not scope.cancelled_caught:
            return None
        await trio.sleep(_NOTICES)
        after = await self.ask(self.dialect.running())
        return None if after is None else after <= before


def _same(some: Sequence[Continuation], others: Sequence[Continuation]) -> bool:
    return [list(one.keys) for one in some] == [list(one.keys) for one in others]


def _recording(exchange: Exchange[T], bodies: list[bytes]) -> Exchange[T]:
    """Wrap an exchange to record the bodies of its responses."""

    def recording(request: WireRequest[Any]) -> WireRequest[Any]:
        def decode(body: bytes) -> Any:
            bodies.append(body)
            return request.decode(body)

        return attrs.evolve(request, decode=decode)

    try:
        request = next(exchange)
        while True:
            try:
                response = yield recording(request)
            except EndpointError as error:
                request = exchange.throw(error)
            else:
                request = exchange.send(response)
    except StopIteration as stop:
        result: T = stop.value
        return result
