"""One round: a nursery with a task and a cancel scope per beam.

The parent creates a beam's scope, the child enters it, and the parent only cancels it. A failed request
becomes data in the child (`Outcome.errors`); the machine decides what it means. Anything unexpected is a
bug and leaves as the nursery's group.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeAlias

import attrs
import trio

from trio_beam.core.block import Continuation, Token, too_long
from trio_beam.core.events import Observer, SamplesReceived
from trio_beam.core.language_model import (
    NO_DEADLINE,
    RequestContext,
    Sampler,
    SampleRequest,
    closing_text,
    ends_thinking,
    forced_tokens,
    max_per_request,
    price_of,
    prompt_length,
)
from trio_beam.core.reasoning import is_open
from trio_beam.core.request_events import RequestOrigin
from trio_beam.core.steps import Expansion, Outcome, Reaction, Round
from trio_beam.core.thinking_budget import end_thinking, forced_end, thinking_room
from trio_beam.core.usage_meter import Allotment, UsageMeter
from trio_beam.engine.deadline import run_within
from trio_beam.errors import (
    WITHOUT_LOGPROBS,
    BudgetExhausted,
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
    one_block_only,
)


class OutcomeReceiver(Protocol):
    """Receives the outcomes of a round: a machine."""

    def receive(self, outcome: Outcome) -> Reaction:
        """Process the outcome of one expansion."""


#: Runs a round, with the arguments of `run_round`.
RoundRunner: TypeAlias = Callable[
    [Sampler, Round, OutcomeReceiver, UsageMeter, Observer], Awaitable[None]
]


async def run_round(
    sampler: Sampler, current: Round, receiver: OutcomeReceiver, meter: UsageMeter, emit: Observer
) -> None:
    """Run all expansions of a round concurrently, and pass every outcome to `receiver`.

    When this returns or raises, even after a cancellation, no task of the round is left and `receiver`
    has everything that arrived.

    Args:
        sampler: performs the requests.
        current: the round.
        receiver: receives the outcomes and says which expansions to cancel.
        meter: counts the requests.
        emit: receives events.
    """
    scopes = [trio.CancelScope() for _ in current.expansions]
    # Budgets are allotted by rank before any task runs, so that the result does not depend on timing.
    held = {
        expansion.rank: _BeamTask(sampler, expansion, current, scope, meter, emit)
        for expansion, scope in zip(current.expansions, scopes, strict=True)
    }
    begun = {expansion.rank: expansion for expansion in current.expansions}

    def deliver_one(outcome: Outcome) -> Reaction:
        length = prompt_length(sampler) or meter.prompt_length
        asked = attrs.evolve(current, expansions=(begun[outcome.rank],))
        return deliver(receiver, asked, outcome, meter, emit, prompt_length=length)

    send, receive = trio.open_memory_channel[Outcome](len(scopes))
    try:
        async with trio.open_nursery() as nursery:
            tasks = _Starter(nursery, held, send)
            for expansion in current.expansions[: len(scopes) - current.held]:
                tasks.begin(expansion)
            for _ in scopes:
                reaction = deliver_one(await receive.receive())
                for expansion in reaction.begin:
                    begun[expansion.rank] = expansion
                    tasks.begin(expansion)
                for rank in reaction.cancel:
                    scopes[rank].cancel(reason="a sibling failed, or the answer is settled")
                    if rank in held:  # which ends it at once, with an outcome like any other
                        tasks.begin(current.expansions[rank])
    finally:
        for task in held.values():
            task.release()
        # A cancelled round still delivers everything that arrived: it was paid for.
        for outcome in _buffered(receive):
            deliver_one(outcome)
        send.close()
        receive.close()


def deliver(
    receiver: OutcomeReceiver,
    current: Round,
    outcome: Outcome,
    meter: UsageMeter,
    emit: Observer,
    *,
    prompt_length: int,
) -> Reaction:
    """Pass an outcome of a round to its receiver, emit it and the events that follow; return the reaction."""
    reaction = receiver.receive(outcome)
    expansion = next(one for one in current.expansions if one.rank == outcome.rank)
    emit(
        SamplesReceived(
            round=current.number,
            purpose=current.purpose,
            rank=outcome.rank,
            beam=expansion.beam,
            wanted=expansion.n,
            max_tokens=expansion.max_tokens,
            temperature=current.sampling.temperature,
            scorer=current.scorer,
            continuations=outcome.continuations,
            candidates=outcome.candidates,
            step_scores=outcome.step_scores,
            errors=outcome.errors,
            cancelled=outcome.cancelled,
            exhausted=outcome.exhausted,
            prompt_length=prompt_length,
            usage=meter.usage(),
            reserved=meter.reserved,
        )
    )
    for event in reaction.events:
        emit(event)
    return reaction


def _buffered(receive: trio.MemoryReceiveChannel[Outcome]) -> Iterator[Outcome]:
    while True:
        try:
            yield receive.receive_nowait()
        except trio.WouldBlock:
            return


class _Part(NamedTuple):
    """A planned request: its first sample, the number of samples, and its share of the budget."""

    first: int
    size: int
    allotment: Allotment


@attrs.define
class _Starter:
    """Begins the tasks of a round one after another.

    Trio may begin new tasks in reverse. Where slots are few, a vote would then wait for its last samples,
    although its first ones settle it.
    """

    _nursery: trio.Nursery
    _held: dict[int, _BeamTask]
    _send: trio.MemorySendChannel[Outcome]
    _next: deque[tuple[_BeamTask, Expansion]] = attrs.field(factory=deque, init=False)

    def begin(self, expansion: Expansion) -> None:
        self._next.append((self._held.pop(expansion.rank), expansion))
        self._nursery.start_soon(self._run_next)

    async def _run_next(self) -> None:
        task, expansion = self._next.popleft()
        trio.lowlevel.current_task().name = f"beam {expansion.rank}"
        await task.run(expansion, self._send)


class _BeamTask:
    """The expansion of one beam, by as many requests as the server requires."""

    def __init__(
        self,
        sampler: Sampler,
        expansion: Expansion,
        current: Round,
        scope: trio.CancelScope,
        meter: UsageMeter,
        emit: Observer,
    ) -> None:
        self._sampler = sampler
        self._expansion = expansion
        self._round = current
        self._sampling = current.sampling
        self._scope = scope
        self._meter = meter
        self._emit = emit
        self._arrived: dict[int, Continuation] = {}
        self._errors: dict[int, EndpointError] = {}
        self._exhausted = False
        self._max_tokens = self._block_length()
        self._parts = self._plan(0, expansion.n)

    async def run(self, expansion: Expansion, send: trio.MemorySendChannel[Outcome]) -> None:
        """Expand the beam, as planned but for what has been decided since, and send exactly one outcome."""
        self._expansion = expansion
        try:
            with self._scope:
                await trio.lowlevel.checkpoint_if_cancelled()  # before anything is sent and counted
                await self._ask(self._parts)
        finally:
            self.release()
            send.send_nowait(self._outcome())

    def release(self) -> None:
        """Return to the budget what was set aside for requests that were not sent."""
        for part in self._parts:
            part.allotment.release()

    def _outcome(self) -> Outcome:
        enumerated = bool(self._arrived) and self._sampling.enumerate
        complete = enumerated or len(self._arrived) == self._expansion.n
        return Outcome(
            rank=self._expansion.rank,
            continuations=self._arrived,
            errors=tuple(error for _, error in sorted(self._errors.items())),
            cancelled=not (complete or self._errors or self._exhausted),
            exhausted=self._exhausted,
        )

    def _plan(self, first: int, count: int) -> list[_Part]:
        """Plan requests for samples `first` to `first + count - 1`, as far as the budget allows."""
        limit = count if self._sampling.enumerate else max_per_request(self._sampler) or count
        prompt = self._meter.prompt_length + self._expansion.beam.length
        parts: list[_Part] = []
        for start in range(first, first + count, limit):
            size = min(limit, first + count - start)
            tokens = size * self._max_tokens
            allotment = self._meter.allot(tokens, prompt, price_of(self._sampler))
            if allotment is None:
                self._exhausted = True
                break
            parts.append(_Part(start, size, allotment))
        return parts

    async def _ask(self, parts: Sequence[_Part]) -> None:
        """Make the planned requests, and more for samples that they did not return."""
        if len(parts) == 1:  # the usual case, which needs no nursery
            await self._ask_one(parts[0])
            return
        async with trio.open_nursery() as nursery:
            for part in parts:
                nursery.start_soon(self._ask_one, part)

    async def _ask_one(self, part: _Part) -> None:
        try:
            got = await self._request(part.first, part.size, part.allotment)
        finally:
            part.allotment.release()
        if 0 < got < part.size and not self._sampling.enumerate:
            await self._ask(self._plan(part.first + got, part.size - got))

    async def _request(self, first: int, count: int, allotment: Allotment) -> int:
        """Make one request; return the number of samples received, 0 if it failed."""
        try:
            got = await self._sample(first, count, allotment)
        except BudgetExhausted:
            self._exhausted = True
            return 0
        except EndpointError as error:
            self._fail(first, error)
            return 0
        self._arrived.update(enumerate(got, first))
        if self._sampling.several_blocks and any(block.reasoning is not None for block in got):
            self._fail(first, one_block_only())  # what has arrived is kept: it was paid for
        return len(got)

    def _fail(self, first: int, error: EndpointError) -> None:
        self._errors[first] = error
        if self._sampling.cancel_siblings:
            self._scope.cancel(reason="a request of the same beam failed")

    async def _sample(self, first: int, count: int, allotment: Allotment) -> Sequence[Continuation]:
        """Return between 1 and `count` continuations, within the beam's timeout."""
        request = self._sample_request(first, count)
        context = RequestContext(
            meter=self._meter,
            emit=self._emit,
            origin=RequestOrigin(
                round=self._round.number,
                purpose=self._round.purpose,
                rank=self._expansion.rank,
                sample=first,
            ),
            deadline=NO_DEADLINE,
            allotment=allotment,
        )
        got = await run_within(
            self._sampling.beam_timeout, context, lambda: self._sampler.sample(request, context)
        )
        if not got:
            raise MalformedResponse("the response has no continuation", attempts=1)
        self._check_logprobs(got)
        longest = max(map(len, got))
        if longest > self._max_tokens:
            raise MalformedResponse(too_long(longest, self._max_tokens), attempts=1)
        got = got[:count]
        if not self._sampling.logprobs:  # a model may report what was not asked for
            got = [attrs.evolve(block, logprob=None) for block in got]
        if self._sampling.reasoning_budget is None or ends_thinking(self._sampler):
            return got
        budget = self._sampling.reasoning_budget
        return [await self._within_budget(block, budget, context) for block in got]

    def _block_length(self) -> int:
        """Return the maximum length of the continuations: no longer than the beam may think."""
        longest, budget = self._expansion.max_tokens, self._sampling.reasoning_budget
        if budget is None or ends_thinking(self._sampler):
            return longest
        room = thinking_room(self._expansion.beam, budget)
        return longest if room is None else min(longest, room)

    def _delimiters(self) -> tuple[str, ...]:
        """Return where the server may end a block: nowhere in the thinking, which has no steps."""
        delimiters, beam = self._sampling.delimiters, self._expansion.beam
        return () if delimiters and is_open(beam.full_text, beam.thinking) else delimiters

    async def _within_budget(
        self, block: Continuation, budget: int, context: RequestContext
    ) -> Continuation:
        """End the thinking of a block by force where it uses up the budget."""
        end = forced_end(self._expansion.beam, block, budget, closing_text(self._sampler))
        if end is None:
            return block
        closing: Sequence[Token] = ()
        try:
            closing = await run_within(
                self._sampling.beam_timeout,
                context,
                lambda: forced_tokens(self._sampler, end.closing, context),
            )
        except BudgetExhausted:  # the block itself is paid for
            self._exhausted = True
        return end_thinking(block, end.kept, closing)

    def _check_logprobs(self, got: Sequence[Continuation]) -> None:
        if self._sampling.logprobs and any(block.logprob is None for block in got):
            raise LogprobsUnavailable(f"the model reports no log-probabilities: {WITHOUT_LOGPROBS}")
        if self._sampling.alternatives and not all(map(_shows_alternatives, got)):
            raise LogprobsUnavailable(
                "the model shows no alternatives of its tokens, which their confidence is made of: set top=0"
                " (confidence_top)"
            )
        wanted = self._sampling.proposal_logprobs
        if wanted and any(block.proposal is None and len(block) for block in got):
            raise LogprobsUnavailable(
                "the model does not report the log-probabilities of its samples at"
                f" proposal_temperature={self._sampling.temperature:g}: it has to be 1"
            )

    def _sample_request(self, first: int, count: int) -> SampleRequest:
        seed = self._expansion.seed
        return SampleRequest(
            beam=self._expansion.beam,
            n=count,
            max_tokens=self._max_tokens,
            temperature=self._sampling.temperature,
            top_logprobs=self._sampling.top_logprobs,
            seed=None if seed is None else seed + first,
            enumerate=self._sampling.enumerate,
            proposal_logprobs=self._sampling.proposal_logprobs,
            delimiters=self._delimiters(),
            labels=self._sampling.labels,
            logprobs=self._sampling.logprobs,
            confidence=self._expansion.confidence,
            interruptible=self._sampling.interruptible,
            token_texts=self._sampling.token_texts,
            reasoning_budget=self._sampling.reasoning_budget,
        )


def _shows_alternatives(block: Continuation) -> bool:
    return not len(block) or any(token.top for token in block.tokens)
