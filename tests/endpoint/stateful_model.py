"""What must hold of a search, as `test_stateful` counts it: from the server's log and the events alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

import attrs
import pytest
import trio

from tests.endpoint.stateful_server import PAUSE, PROMPT_TOKENS, Block, Entry, logprob_of
from trio_beam import (
    AttemptTimeout,
    Beam,
    BeamFailure,
    BeamSearchConfig,
    BeamTimeout,
    ConnectionFailed,
    ContextOverflow,
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    RetryPolicy,
    Search,
    SearchFailed,
    SearchResult,
    ServerError,
    Usage,
)
from trio_beam.core.events import (
    BeamExpanded,
    BeamFailed,
    Event,
    RoundFinished,
    RoundStarted,
    SearchFinished,
    SearchStarted,
)
from trio_beam.core.request_events import RequestHedged

Kind = TypeVar("Kind", bound=Event)
#: Seconds; which of them an endpoint has is drawn.
ATTEMPT_TIMEOUTS = (10, 30)
#: Which faults an error may come from.
_CAUSES: dict[type[EndpointError], set[str]] = {
    ConnectionFailed: {"refused", "reset"},
    RateLimited: {"429", "429 with a pause"},
    ServerError: {"500", "503", "503 with a pause"},
    RequestRejected: {"400", "401"},
    ContextOverflow: {"context"},
    MalformedResponse: {"garbage", "wrong shape", "no choices"},
    LogprobsUnavailable: {"no log-probabilities"},
}


@attrs.define(eq=False)
class Run:
    """One call: of a search, or of `search_many` for several of them.

    Attributes:
        searches: their numbers, which the server sees in the prompts.
        within: seconds of the anytime search.
        max_searches: as given to `search_many`; None for a single search.
        take: outcomes after which the block of `search_many` is left; None: all.
        search: the object, of a single search.
        first_wait: place in the log where it began to wait for a slot, if it did.
        outcomes: by number of the search; SearchFailed is one too.
        surprise: what was raised that no document speaks of.
    """

    searches: range
    config: BeamSearchConfig
    began: float
    within: float | None = None
    max_searches: int | None = None
    take: int | None = None
    search: Search | None = None
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    events: list[Event] = attrs.field(factory=list)
    first_wait: int | None = None
    outcomes: dict[int, SearchResult | SearchFailed] = attrs.field(factory=dict)
    surprise: Exception | None = None
    ended: float | None = None

    def observe(self, event: Event) -> None:
        """The observer."""
        self.events.append(event)

    def of(self, kind: type[Kind]) -> list[Kind]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


def answered(entries: Iterable[Entry]) -> list[Entry]:
    """The whole answers, without those that came second in a race of two."""
    return list({entry.identity: entry for entry in entries if entry.fate == "good"}.values())


@attrs.frozen
class Model:
    """What must be true of the calls on one endpoint, by the server's log."""

    log: list[Entry]
    retry: RetryPolicy
    hedging: bool

    def entries(self, *searches: int) -> list[Entry]:
        """The requests of some searches."""
        return [entry for entry in self.log if entry.search in searches]

    def pauses(self) -> list[float]:
        """When the server has asked for one, if it is not too long for this endpoint."""
        if self.retry.wait_total < PAUSE:
            return []
        asked = [entry for entry in self.log if entry.fate == "refused" and "pause" in entry.fault]
        return [entry.ended for entry in asked if entry.ended is not None]

    def check_pauses(self) -> None:
        """In a pause nobody sends anything."""
        for start in self.pauses():
            until = start + PAUSE - 1e-6  # of rounding
            assert not [entry for entry in self.log if start < entry.began < until]

    def check_run(self, run: Run) -> None:
        """A call, at any moment."""
        for number in run.searches:
            check_budgets(self.entries(number), run.config)
        entries = self.entries(*run.searches)
        if run.max_searches is not None:
            under_way = {entry.search for entry in entries if entry.ended is None}
            assert len(under_way) <= run.max_searches
        if run.search is not None:
            check_usage(run, run.search.best_so_far("deadline").usage, entries)
        if run.ended is not None:
            self.check_ended(run)

    def check_ended(self, run: Run) -> None:
        """A call that has returned or raised: is what it says what the server gave?"""
        assert run.surprise is None, repr(run.surprise)
        if not run.scope.cancelled_caught and run.take is None:
            assert run.outcomes.keys() == set(run.searches)
        check_candidates(run, self.entries(*run.searches))
        self.check_turns(run)
        for number, outcome in run.outcomes.items():
            own = self.entries(number)
            result = outcome.partial if isinstance(outcome, SearchFailed) else outcome
            check_outcome(run, outcome)
            if result.stop_reason == "budget":
                check_budget_is_spent(run, own)
            check_usage(run, result.usage, own)
            check_beams(result, run.config, own)
            for failure in result.failures:
                self.check_failure(failure, run, own)

    def check_turns(self, run: Run) -> None:
        """While one search waits for its first slot, each of the others gets one at most."""
        if run.first_wait is None or run.ended is None or self.pauses():
            return
        since = self.log[run.first_wait :]
        until = next((entry.began for entry in since if entry.search in run.searches), run.ended)
        served = Counter(entry.search for entry in since if entry.began < until)
        assert max(served.values(), default=0) <= 1

    def check_failure(self, failure: BeamFailure, run: Run, entries: Sequence[Entry]) -> None:
        """Its error tells what the server did, and its attempts how often it was asked."""
        error, beam = failure.error, failure.beam.text
        own = [entry for entry in entries if entry.prefix == beam]
        if isinstance(error, BeamTimeout):
            assert run.config.beam_timeout is not None
            # Waiting for a slot or for a pause to end does not count.
            assert own
        elif isinstance(error, AttemptTimeout):
            assert any(entry.fate == "cancelled" for entry in own)
        else:
            asked = [entry for entry in own if entry.fault in _CAUSES[type(error)]]
            sent = Counter(entry.identity for entry in own)
            assert asked
            # Two in a race are one attempt or two, by the way that it ends.
            assert self.hedging or failure.attempts in {sent[entry.identity] for entry in asked}
        assert self.hedging or failure.attempts <= self.retry.attempts


def check_budgets(entries: Sequence[Entry], config: BeamSearchConfig) -> None:
    """Those of one search, at any moment: what the server may have done for it."""
    assert config.max_requests is None or len(entries) <= config.max_requests
    spent = sum(entry.max_tokens for entry in entries)
    assert config.max_completion_tokens is None or spent <= config.max_completion_tokens


def check_budget_is_spent(run: Run, entries: Sequence[Entry]) -> None:
    """What is left of one of the budgets is too little for a round with all its hedges."""
    most_requests, max_tokens = run.config.max_requests, run.config.max_completion_tokens
    if most_requests is None or len(entries) < most_requests:
        twice = 1 + any(isinstance(event, RequestHedged) for event in run.events)
        round_costs = twice * run.config.samples_per_round * run.config.tokens_per_step
        assert max_tokens is not None
        assert sum(entry.max_tokens for entry in entries) + round_costs > max_tokens


def check_usage(run: Run, usage: Usage, entries: Sequence[Entry]) -> None:
    """What one search says of its cost, at any moment; only tokens lag behind while it runs."""
    assert usage.requests == len(entries)
    assert usage.cancelled == sum(entry.fate == "cancelled" for entry in entries)
    if run.search is not None:
        hedges = len(run.of(RequestHedged))
        assert usage.retries == len(entries) - hedges - len({entry.identity for entry in entries})
    good = answered(entries)
    assert usage.prompt_tokens == PROMPT_TOKENS * len(good)
    tokens = sum(len(block.tokens) for entry in good for block in entry.blocks)
    late = run.ended is None and usage.completion_tokens < tokens
    assert late or usage.completion_tokens == tokens


def check_candidates(run: Run, entries: Sequence[Entry]) -> None:
    """Every continuation that the server gave is a candidate once, and nothing else is one."""
    good = answered(entries)
    samples = [
        (entry.search, entry.body["seed"] + place)
        for entry in good
        for place in range(len(entry.blocks))
    ]
    assert len(samples) == len(set(samples))
    expanded = run.of(BeamExpanded)
    assert sum(event.candidates for event in expanded) == len(samples)
    tokens = sum(len(block.tokens) for entry in good for block in entry.blocks)
    assert sum(event.tokens for event in expanded) == tokens
    if run.search is not None:
        check_rounds(run, entries)


def check_rounds(run: Run, entries: Sequence[Entry]) -> None:
    """The rounds of a single search: each undisturbed one has all that was asked for."""
    started, finished = run.of(RoundStarted), run.of(RoundFinished)
    assert [event.round for event in started] == list(range(1, len(started) + 1))
    assert [event.round for event in finished] == list(range(1, len(finished) + 1))
    assert len(started) - len(finished) in (0, 1)
    if any(entry.fault == "context" for entry in entries):
        return  # a beam that fills the context stands for what it does not bring
    disturbed = {event.failure.round for event in run.of(BeamFailed)}
    for start, finish in zip(started, finished, strict=False):
        expanded = [event for event in run.of(BeamExpanded) if event.round == start.round]
        assert finish.candidates == sum(event.candidates for event in expanded)
        assert finish.candidates <= start.samples
        if start.round not in disturbed:
            assert finish.candidates == start.samples


def check_outcome(run: Run, outcome: SearchResult | SearchFailed) -> None:
    """It is one of those that are documented, and there is a reason for it."""
    if run.max_searches is None:
        assert isinstance(run.events[0], SearchStarted)
        finished = run.of(SearchFinished)
    if isinstance(outcome, SearchFailed):
        assert outcome.failures
        assert outcome.failures == outcome.partial.failures
        assert outcome.partial.stop_reason == "failed"
        return
    match outcome.stop_reason:
        case "deadline":
            assert run.within is not None
            assert run.ended == pytest.approx(run.began + run.within)
        case reason:
            assert reason in ("finished", "max_tokens", "budget")
    if run.max_searches is None:
        assert [event.result for event in finished] == [outcome]
    if run.config.on_beam_failure == "cancel_siblings" and outcome.failures:
        assert outcome.stop_reason == "deadline"


def check_beams(result: SearchResult, config: BeamSearchConfig, entries: Sequence[Entry]) -> None:
    """Each beam is a chain of blocks that the server gave for just that prefix."""
    given = Counter(block for entry in answered(entries) for block in entry.blocks)
    assert len(result.beams) <= config.beam_width
    assert result.rounds <= config.rounds
    scores = [beam.score for beam in result.beams]
    assert scores == sorted(scores, reverse=True)
    for beam in result.beams:
        check_beam(beam, config, given)
    if result.beams:
        assert (result.text, result.score) == (result.beams[0].text, scores[0])
    if result.stop_reason == "finished":
        assert all(beam.ended for beam in result.beams)


def check_beam(beam: Beam, config: BeamSearchConfig, given: Counter[Block]) -> None:
    text = ""
    for node in beam.lineage():
        assert node.continuation is not None
        tokens = tuple(token.text for token in node.continuation.tokens)
        logprobs = tuple(token.logprob for token in node.continuation.tokens)
        assert given[Block(text, tokens, logprobs, node.continuation.finish_reason)]
        text += "".join(tokens)
    assert beam.text == text
    length = len(text) // 2
    assert beam.length == len(beam.tokens) == length <= config.max_tokens
    logprob = sum(logprob_of(text[: 2 * place]) for place in range(1, length + 1))
    assert beam.logprob == pytest.approx(logprob)
    score = config.alpha * logprob / length**config.length_penalty if length else -math.inf
    assert beam.score == pytest.approx(score)
    twins = sum(count for block, count in given.items() if block.text == text)
    assert 1 <= beam.multiplicity <= twins
