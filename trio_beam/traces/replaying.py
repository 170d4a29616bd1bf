"""Decide a recorded search again, from what was sampled in it.

The machines are those of a search; only its requests are answered from the trace, so that nothing but an
asynchronous scorer is awaited.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, cast

import trio

from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.block import LOW_CONFIDENCE
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import Observer
from trio_beam.core.language_model import Sampler
from trio_beam.core.mcmc.chain import Chain
from trio_beam.core.mcmc.run import McmcRun
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.core.result import SearchFailed, SearchResult, StopReason
from trio_beam.core.steps import Round, ScoreCandidates
from trio_beam.core.strategy import Strategy
from trio_beam.engine.beam_search import BeamSearchRun
from trio_beam.engine.mcmc import ChainsRun
from trio_beam.engine.run import Run
from trio_beam.engine.search import check_strategy
from trio_beam.errors import ConfigError, ReplayError
from trio_beam.traces.format import Result, Samples, number
from trio_beam.traces.reader import RecordedSearch, RecordedTrace, read_trace
from trio_beam.traces.samples import RecordedSamples
from trio_beam.traces.scores import RecordedScores
from trio_beam.traces.serving import CutOffError, Serving
from trio_beam.traces.strategies import CannotRebuild, strategy_from_plain, strategy_to_plain


def replay(
    trace: str | os.PathLike[str] | RecordedTrace | RecordedSearch,
    strategy: Strategy | None = None,
    *,
    search: int | None = None,
    observers: Sequence[Observer] = (),
) -> SearchResult:
    """Decide a recorded search again from what was sampled in it, without a server.

    Without a strategy the result is the recorded one, bit for bit. With another scorer, selection, answer
    rule, exponent, or a smaller width, it is what that strategy would have chosen; `usage` is then the cost
    of the samples that it used. It cannot use what was never sampled: another temperature or block length,
    more samples, or a beam that the recorded search did not expand.

    Args:
        trace: path of a trace, or a trace that was read.
        strategy: decides instead of the recorded one.
        search: number of the search, from 1, if the trace has several.
        observers: called with the events of the replay.

    Raises:
        ReplayError: the trace lacks something; the message names it.
        TraceUnreadable: it is no trace.
        ConfigError: an argument is of no use.
        SearchFailed: the search failed, as recorded or decided again.
    """
    strategy = None if strategy is None else check_strategy(strategy)
    recorded = _recorded(trace, search)
    samples = RecordedSamples(recorded)
    scores = RecordedScores(recorded, samples)
    chosen = _rebuilt(recorded, scores) if strategy is None else strategy
    if strategy is not None:
        _check_sampling(recorded, strategy)
    serving = Serving(recorded, samples, scores, chosen)
    kind = _REPLAYS.get(type(chosen))
    if kind is None:
        raise ReplayError(f"a {type(chosen).__name__} cannot be replayed")
    run: _Search | _Chains = kind(serving, observers)
    found = _outcome(run, serving)
    if scores.error is not None:
        raise scores.error
    if strategy is None and recorded.end is not None:
        _check_same(found, recorded.end.result)
    if isinstance(found, SearchFailed):
        raise found
    return found


def _outcome(run: _Search | _Chains, serving: Serving) -> SearchResult | SearchFailed:
    try:
        try:
            return _finish(run.run())
        except CutOffError:
            return run.best_so_far(serving.cut_off)
    except SearchFailed as error:
        return error


def _check_same(found: SearchResult | SearchFailed, recorded: Result) -> None:
    """Raise unless the result is the recorded one, as far as that was written."""
    result = found.partial if isinstance(found, SearchFailed) else found
    decided = {
        "score": number(result.score),
        "stop_reason": result.stop_reason,
        "rounds": result.rounds,
        "scores of the beams": [number(beam.score) for beam in result.beams],
        "shares of the votes": [share for _, share in result.votes],
    }
    written = {
        "score": recorded.score,
        "stop_reason": recorded.stop_reason,
        "rounds": recorded.rounds,
        "scores of the beams": [one.score for one in recorded.beams],
        "shares of the votes": [share for _, share in recorded.votes],
    }
    for name, value in written.items():
        if decided[name] != value:
            raise ReplayError(
                f"the search ended otherwise than it is decided now ({name}: {value}, not {decided[name]}):"
                " another version wrote the trace, lines are missing, or an error of an observer stopped it"
            )


def _recorded(
    trace: str | os.PathLike[str] | RecordedTrace | RecordedSearch, number: int | None
) -> RecordedSearch:
    if isinstance(trace, RecordedSearch):
        return trace
    if not isinstance(trace, (str, os.PathLike, RecordedTrace)):
        raise ConfigError("trace", "the path of a trace, or a trace that was read", trace)
    if number is not None and (not isinstance(number, int) or isinstance(number, bool)):
        raise ConfigError("search", "the number of a search", number)
    read = trace if isinstance(trace, RecordedTrace) else read_trace(trace)
    count = len(read.searches)
    if not count:
        raise ReplayError("the trace has no search")
    if number is None and count > 1:
        raise ReplayError(f"the trace has {count} searches: say which one, search=1 to {count}")
    if number is not None and not 1 <= number <= count:
        raise ReplayError(f"the trace has no search {number}: its searches are 1 to {count}")
    return read.searches[(number or 1) - 1]


def _rebuilt(recorded: RecordedSearch, scores: RecordedScores) -> Strategy:
    try:
        return strategy_from_plain(recorded.began.strategy, scores.scorer)
    except CannotRebuild as error:
        raise ReplayError(f"{error}: give it, as replay(trace, strategy)") from None


def _check_sampling(recorded: RecordedSearch, strategy: Strategy) -> None:
    """Raise unless the samples are what the strategy would have been given."""
    old, new = recorded.began.strategy, strategy_to_plain(strategy)
    for name in ("proposal", "proposal_temperature", "reasoning_budget", "block", "extra_body"):
        # Any rule may end the blocks that were sampled by none.
        free = name not in old or name not in new or (name == "block" and old[name] is None)
        if not free and old[name] != new[name]:
            raise ReplayError(
                f"the samples were drawn with {name}={old[name]!r}, and not with {new[name]!r}"
            )
    if old.get("confidence") != new.get("confidence") and _gave_up(recorded):
        raise ReplayError(
            f"texts were given up by confidence={old['confidence']!r}: how they went on was never sampled"
        )
    if new.get("top_logprobs", 0) > old.get("top_logprobs", 0):
        raise ReplayError(
            f"the samples have {old.get('top_logprobs', 0)} alternatives per token, not"
            f" {new['top_logprobs']}"
        )
    scored_by, wanted = _asking(old.get("scorer")), _asking(new.get("scorer"))
    if wanted is None or wanted == scored_by:
        return
    if wanted["name"] == "reward_model" or recorded.began.prompt is None:
        raise ReplayError(
            f"scorer={wanted['name']!r} with these parameters was never asked: the recorded scorer is"
            f" {old.get('scorer')!r}"
        )


def _gave_up(recorded: RecordedSearch) -> bool:
    blocks = (block for line in recorded.of(Samples) for block in line.blocks)
    return any(block.finish == LOW_CONFIDENCE for block in blocks)


def _asking(scorer: Any) -> dict[str, Any] | None:
    """Return what the answers about candidates depend on; None for a scorer that asks nothing."""
    if not isinstance(scorer, Mapping) or "name" not in scorer:
        return None
    if scorer["name"] not in ("judge", "rating", "reward_model"):
        return None
    return {name: value for name, value in scorer.items() if name != "aggregate"}


def _finish(coroutine: Coroutine[Any, Any, SearchResult]) -> SearchResult:
    """Run a coroutine, which waits for nothing unless an asynchronous scorer does."""
    if not trio.lowlevel.in_trio_run():

        async def run() -> SearchResult:
            return await coroutine

        return trio.run(run)
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return cast("SearchResult", stop.value)
    coroutine.close()
    raise ReplayError(
        "the scorer waits for something, which a plain call in a Trio program cannot:"
        " use await trio.to_thread.run_sync(replay, trace, strategy)"
    )


class _Replay(Run[Any]):
    """A search that ends where the recorded one was cut off."""

    _serving: Serving

    async def _run(self) -> SearchResult:
        try:
            return await super()._run()
        except CutOffError:
            if self._serving.cut_off == "interrupted":
                raise  # observers are told that it was stopped
            return self._finished(self._serving.cut_off)


class _Search(_Replay, BeamSearchRun):
    """A beam search whose rounds are served."""

    def __init__(self, serving: Serving, observers: Sequence[Observer]) -> None:
        strategy = serving.strategy
        assert isinstance(strategy, BeamSearchConfig)
        super().__init__(serving, serving.prompt, strategy, observers)
        self._serving = serving
        self._entropy = int(serving.recorded.began.entropy)
        self._machine = BeamSearchMachine(strategy, self._entropy)

    async def _search(self, sampler: Sampler) -> StopReason:
        return await self._step_to_the_end(sampler)

    async def _run_round(self, current: Round, sampler: Sampler) -> None:
        del sampler
        self._serving.serve(current, self._machine, self._meter, self._emit)
        self._serving.check_end()


class _Chains(_Replay, ChainsRun):
    """Chains whose requests are served, one chain after the other."""

    def __init__(self, serving: Serving, observers: Sequence[Observer]) -> None:
        strategy = serving.strategy
        assert isinstance(strategy, McmcConfig)
        super().__init__(serving, serving.prompt, strategy, observers)
        self._serving = serving
        self._entropy = int(serving.recorded.began.entropy)
        self._state = McmcRun(strategy, self._entropy)

    async def _search(self, sampler: Sampler) -> StopReason:
        self._state.open()
        stopped: list[ReplayError | CutOffError] = []
        for chain in self._state.chains:
            try:
                await self._replay_chain(sampler, chain)
            except (ReplayError, CutOffError) as error:
                stopped.append(error)
        cut_off = any(isinstance(one, CutOffError) for one in stopped)
        if self._state.failed and not (cut_off and self._serving.is_cut_off):
            raise self._failure()  # which has cancelled the others
        if cut_off and not self._serving.is_cut_off:
            raise self._serving.missing("a chain was cancelled before all was there")
        if stopped:
            raise min(stopped, key=lambda one: isinstance(one, CutOffError))
        return self._state.stop_reason()

    async def _replay_chain(self, sampler: Sampler, chain: Chain) -> None:
        while (wanted := chain.step()) is not None:
            if isinstance(wanted, ScoreCandidates):
                await self._score(wanted, chain)
            else:
                await self._run_round(wanted, sampler, chain)

    async def _run_round(self, wanted: Round, sampler: Sampler, chain: Chain) -> None:
        del sampler
        for event in wanted.events:
            self._emit(event)
        if self._serving.serve(wanted, chain, chain.meter, self._emit):
            raise CutOffError
        chain.meter.prompt_length = self._serving.prompt_length


_REPLAYS: Mapping[type[Strategy], Any] = {BeamSearchConfig: _Search, McmcConfig: _Chains}
