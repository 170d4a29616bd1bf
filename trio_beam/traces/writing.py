"""Turn the events of a search into lines of a trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

from trio_beam.core.beam import Beam
from trio_beam.core.events import (
    BeamExpanded,
    BeamFailed,
    ChainExtended,
    ChainStepped,
    EvaluationStarted,
    Event,
    McmcStarted,
    PromptPrepared,
    RoundFinished,
    RoundStarted,
    SamplesReceived,
    SearchFinished,
    SearchStarted,
    SearchStopped,
)
from trio_beam.core.model_scorer import ModelScorer
from trio_beam.core.prompt import Prompt
from trio_beam.core.request_events import (
    EndpointPaused,
    LimitChanged,
    RatePaused,
    RequestEnded,
    RequestHedged,
    RequestRetried,
    RequestSent,
    RequestWaiting,
)
from trio_beam.core.result import BeamFailure, ParticleRound, SearchResult
from trio_beam.errors import ScorerError, VoteError
from trio_beam.traces import format as lines
from trio_beam.traces.format import Line, Number, integer, number
from trio_beam.traces.numbering import BeamNumbers
from trio_beam.traces.strategies import strategy_to_plain
from trio_beam.traces.values import (
    block_to_plain,
    digest_of,
    error_to_plain,
    price_to_plain,
    prompt_to_plain,
    usage_to_plain,
)


class SearchLines:
    """The lines of one search.

    Args:
        write: takes the lines of each event.
        clock: returns the time in seconds.
        search: number of the search.
        label: written with the search.
        prompts: whether to write prompts.
        texts: whether to write texts and tokens.

    Attributes:
        ended: whether the last event has come.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Line]], None],
        clock: Callable[[], float],
        search: int,
        label: str,
        *,
        prompts: bool,
        texts: bool,
    ) -> None:
        self.ended = False
        self._write = write
        self._clock = clock
        self._search = search
        self._label = label
        self._prompts = prompts
        self._texts = texts
        self._start = 0.0
        self._prompt = Prompt()
        self._rewards = False
        self._samples = 0
        self._requests: dict[int, int] = {}
        self._beams = BeamNumbers(texts=texts)

    def __call__(self, event: Event) -> None:
        """Write the lines of an event."""
        at = self._clock()
        if isinstance(event, (SearchStarted, McmcStarted)):
            self._start = at
        line = self._line(event)
        written = [line] if line is not None else []
        if new := self._beams.take_new():
            written.insert(0, lines.Beams(beams=new))
        for one in written:
            one.search, one.at = self._search, at - self._start
        self._write(written)

    def _line(self, event: Event) -> Line | None:
        write = self._WRITERS.get(type(event))
        return None if write is None else write(self, event)

    def _prepared(self, event: PromptPrepared) -> Line:
        return lines.Prepared(
            prompt_length=event.prompt_length,
            opens_thinking=event.opens_thinking,
            price=price_to_plain(event.price),
            usage=usage_to_plain(event.usage),
            reserved=event.reserved,
        )

    def _round(self, event: RoundStarted) -> Line:
        return lines.RoundBegan(
            round=event.round, rounds=event.rounds, beams=event.beams, samples=event.samples
        )

    def _evaluation(self, event: EvaluationStarted) -> Line:
        return lines.EvaluationBegan(
            round=event.round,
            purpose=event.purpose,
            candidates=event.candidates,
            samples=event.samples,
        )

    def _expanded(self, event: BeamExpanded) -> Line:
        return lines.Expanded(
            round=event.round,
            rank=event.rank,
            beams=[self._beams.of(child) for child in event.children],
            tokens=event.tokens,
            discarded=event.discarded,
            forced=event.forced,
        )

    def _failed(self, event: BeamFailed) -> Line:
        return lines.Failed(rank=event.rank, failure=self._failure(event.failure))

    def _began(self, event: SearchStarted | McmcStarted) -> Line:
        self._prompt = event.prompt
        self._rewards = event.config.rewards
        return lines.SearchBegan(
            began=now(),
            strategy=strategy_to_plain(event.config, texts=self._texts),
            entropy=integer(event.entropy),
            rounds=event.config.rounds,
            index=event.index,
            label=self._label,
            prompt=prompt_to_plain(event.prompt) if self._prompts else None,
        )

    def _received(self, event: SamplesReceived) -> Line:
        self._samples += 1
        blocks = []
        for sample, block in sorted(event.continuations.items()):
            if event.purpose in ("expand", "move"):
                self._beams.sampled(block, (self._samples, sample))
            blocks.append(block_to_plain(sample, block, texts=self._texts))
        question = ""
        if isinstance(event.scorer, ModelScorer) and self._prompts and self._texts:
            question = digest_of(event.scorer.ask(self._prompt, event.beam))
        return lines.Samples(
            number=self._samples,
            round=event.round,
            purpose=event.purpose,
            rank=event.rank,
            beam=self._beams.of(event.beam),
            wanted=event.wanted,
            max_tokens=event.max_tokens,
            temperature=event.temperature,
            question=question,
            blocks=blocks,
            foreign=bool(event.candidates),
            step_scores=None if event.step_scores is None else list(event.step_scores),
            errors=[self._error(error) for error in event.errors],
            cancelled=event.cancelled,
            exhausted=event.exhausted,
            prompt_length=event.prompt_length,
            usage=usage_to_plain(event.usage),
            reserved=event.reserved,
        )

    def _selected(self, event: RoundFinished) -> Line:
        scored = [self._standing(beam) for beam in event.scored]
        for one, future in zip(scored, event.futures, strict=False):
            one.future = number(future)
        kept = [self._standing(beam) for beam in event.kept]
        self._beams.forget_others(event.kept)
        return lines.Selected(
            round=event.round,
            scored=scored,
            kept=kept,
            active=event.active,
            ended=event.ended,
            best_score=number(event.best_score),
            completion_tokens=event.completion_tokens,
            particles=_particles(event.particles),
        )

    def _extended(self, event: ChainExtended) -> Line:
        return lines.Extended(
            chain=event.chain,
            block=event.block,
            blocks=event.blocks,
            beam=self._beams.of(event.beam),
            reward=self._reward(event.beam),
        )

    def _stepped(self, event: ChainStepped) -> Line:
        return lines.Stepped(
            chain=event.chain,
            block=event.block,
            step=event.step,
            position=event.position,
            probability=event.probability,
            accepted=event.accepted,
            beam=self._beams.of(event.beam),
            proposed=self._beams.of(event.proposed),
            reward=self._reward(event.proposed),
        )

    def _waiting(self, event: RequestWaiting) -> Line:
        return lines.Waiting(**self._about(event), paused=event.paused)

    def _sent(self, event: RequestSent) -> Line:
        return lines.Sent(
            **self._about(event),
            attempt=event.attempt,
            hedge=event.hedge,
            waited=event.waited,
            path=event.path,
        )

    def _ended(self, event: RequestEnded) -> Line:
        return lines.Ended(
            **self._about(event),
            attempt=event.attempt,
            outcome=event.outcome,
            seconds=event.seconds,
            error=None if event.error is None else self._error(event.error),
        )

    def _retried(self, event: RequestRetried) -> Line:
        return lines.Retried(
            **self._about(event),
            error=self._error(event.error),
            attempt=event.attempt,
            attempts=event.attempts,
            wait=event.wait,
        )

    def _hedged(self, event: RequestHedged) -> Line:
        return lines.Hedged(**self._about(event), after=event.after)

    def _paused(self, event: EndpointPaused) -> Line:
        return lines.Paused(seconds=event.seconds, error=self._error(event.error))

    def _rate(self, event: RatePaused) -> Line:
        return lines.RateKept(seconds=event.seconds, limit=event.limit)

    def _limit(self, event: LimitChanged) -> Line:
        return lines.Limited(limit=event.limit, before=event.before)

    def _end(self, event: SearchFinished | SearchStopped) -> Line:
        self.ended = True
        result = self._result(event.result)
        if isinstance(event, SearchFinished):
            return lines.Finished(result=result)
        message = "" if event.error is None else str(event.error)
        cause = _cause_of(event.error)
        quotes = not (self._prompts and self._texts)
        failures = event.error.failures if event.error is not None else ()
        return lines.Stopped(
            result=result,
            message="the search failed" if message and quotes else message,
            cause="" if cause is None else type(cause).__name__,
            stop_reason=event.stop_reason or "",
            error=self._error(cause) if isinstance(cause, (ScorerError, VoteError)) else None,
            failures=[self._failure(failure) for failure in failures],
        )

    def _failure(self, failure: BeamFailure) -> lines.Failure:
        return lines.Failure(
            round=failure.round,
            beam=self._beams.of(failure.beam),
            error=self._error(failure.error),
            attempts=failure.attempts,
        )

    def _result(self, result: SearchResult) -> lines.Result:
        evidence = result.log_evidence
        votes = [(str(answer), share) for answer, share in result.votes]
        return lines.Result(
            stop_reason=result.stop_reason,
            rounds=result.rounds,
            score=number(result.score),
            exact=result.exact,
            log_evidence=number(evidence),
            beams=[self._standing(beam) for beam in result.beams],
            votes=votes if self._texts else [("", share) for _, share in votes],
            vote_intervals=list(result.vote_intervals),
            effective_votes=result.effective_votes,
            effective_sample_size=result.effective_sample_size,
            acceptance_rates=list(result.acceptance_rates),
            r_hat=number(result.r_hat),
            usage=usage_to_plain(result.usage),
        )

    def _about(
        self,
        event: RequestWaiting | RequestSent | RequestEnded | RequestRetried | RequestHedged,
    ) -> dict[str, Any]:
        origin = event.origin
        return {
            "request": self._requests.setdefault(event.request, len(self._requests) + 1),
            "round": origin.round,
            "purpose": origin.purpose,
            "rank": origin.rank,
            "sample": origin.sample,
        }

    def _error(self, error: Exception) -> lines.Error:
        return error_to_plain(error, texts=self._prompts and self._texts)

    def _standing(self, beam: Beam) -> lines.Standing:
        return lines.Standing(
            beam=self._beams.of(beam),
            score=number(beam.score),
            log_weight=number(beam.log_weight),
            weight=beam.weight,
            reward=number(beam.reward),
            multiplicity=beam.multiplicity,
            step_scores=list(beam.step_scores),
            confidence=number(beam.confidence),
            confident=beam.confident,
        )

    def _reward(self, beam: Beam) -> Number:
        return number(beam.reward) if self._rewards else None

    _WRITERS: ClassVar[Mapping[type[Event], Callable[[Any, Any], Line]]] = {
        SearchStarted: _began,
        McmcStarted: _began,
        PromptPrepared: _prepared,
        RoundStarted: _round,
        EvaluationStarted: _evaluation,
        SamplesReceived: _received,
        BeamExpanded: _expanded,
        BeamFailed: _failed,
        RoundFinished: _selected,
        ChainExtended: _extended,
        ChainStepped: _stepped,
        RequestWaiting: _waiting,
        RequestSent: _sent,
        RequestEnded: _ended,
        RequestRetried: _retried,
        RequestHedged: _hedged,
        EndpointPaused: _paused,
        RatePaused: _rate,
        LimitChanged: _limit,
        SearchFinished: _end,
        SearchStopped: _end,
    }


def _cause_of(error: BaseException | None) -> BaseException | None:
    """Return the first error in an error's group; None if there is none."""
    cause = None if error is None else error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    return cause


def _particles(found: ParticleRound | None) -> lines.Particles | None:
    if found is None:
        return None
    return lines.Particles(
        exponent=found.exponent,
        effective_sample_size=found.effective_sample_size,
        resampled=found.resampled,
    )


def now() -> str:
    """Return the time of day, as a trace has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
