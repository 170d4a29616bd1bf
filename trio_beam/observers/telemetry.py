"""OpenTelemetry: a span for each search, round, request and attempt, and metrics.

Names follow the semantic conventions for generative AI (opentelemetry.io/docs/specs/semconv/gen-ai, in
development) where they have one; others begin with ``trio_beam``. Neither prompts nor texts are recorded.
Only the API is needed; without an SDK nothing is kept.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import attrs
from opentelemetry import metrics, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from trio_beam.core.events import (
    BeamFailed,
    EvaluationStarted,
    Event,
    McmcStarted,
    RoundFinished,
    RoundStarted,
    SamplesReceived,
    SearchFinished,
    SearchStarted,
    SearchStopped,
)
from trio_beam.core.request_events import (
    EndpointPaused,
    RatePaused,
    RequestEnded,
    RequestHedged,
    RequestOrigin,
    RequestRetried,
    RequestSent,
    RequestWaiting,
)
from trio_beam.core.result import SearchResult
from trio_beam.observers.per_search import PerSearch

_NAME = "trio_beam"
#: Advised by the conventions.
_TOKENS = [4**power for power in range(14)]
_SECONDS = [0.01 * 2**power for power in range(14)]


class _Instruments:
    """The metrics."""

    def __init__(self, meter: metrics.Meter) -> None:
        self.tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of the requests about one beam.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self.duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="Time of an attempt.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.waited = meter.create_histogram(
            "trio_beam.request.wait",
            unit="s",
            description="Time that a request waited for a slot or a pause.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self.retries = meter.create_counter("trio_beam.request.retries", unit="{retry}")
        self.hedges = meter.create_counter("trio_beam.request.hedges", unit="{hedge}")
        self.in_flight = meter.create_up_down_counter(
            "trio_beam.request.in_flight", unit="{request}"
        )


class Telemetry(PerSearch["_SearchSpans"]):
    """Observer that makes spans and metrics of OpenTelemetry (``pip install "trio-beam[otel]"``).

    The span of a search is a child of the current span. It observes one search after the other, or those of
    a `search_many`; for other concurrent searches, give each its own `search`.

    Args:
        model: name of the model (``gen_ai.request.model``).
        provider: who serves it (``gen_ai.provider.name``).
        attributes: of every span and metric, such as ``server.address``.
        tracer_provider: None: the global one.
        meter_provider: None: the global one.
    """

    def __init__(
        self,
        *,
        model: str | None = None,
        provider: str = "openai",
        attributes: Mapping[str, str | int | float | bool] | None = None,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        super().__init__()
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        self._instruments = _Instruments(metrics.get_meter(_NAME, meter_provider=meter_provider))
        self._shared: dict[str, Any] = {"gen_ai.provider.name": provider, **(attributes or {})}
        if model is not None:
            self._shared["gen_ai.request.model"] = model

    def _next(self, label: str) -> _SearchSpans:
        return _SearchSpans(self._tracer, self._instruments, self._shared, label)


@attrs.define(eq=False)
class _Request:
    """The span of a request, with those of its attempts under way."""

    span: Span
    origin: RequestOrigin
    operation: str = ""
    attempts: dict[int, Span] = attrs.field(factory=dict)
    ended_at: int = 0
    error: Exception | None = None  # of the last attempt


class _SearchSpans:
    """The spans of one search."""

    def __init__(
        self,
        tracer: trace.Tracer,
        instruments: _Instruments,
        shared: Mapping[str, Any],
        label: str,
    ) -> None:
        self.ended = False
        self._tracer = tracer
        self._instruments = instruments
        self._shared = shared
        self._label = label
        self._search: Span = trace.INVALID_SPAN
        self._rounds: dict[int, Span] = {}
        self._requests: dict[int, _Request] = {}
        self._prompt_tokens: dict[int, int] = {}
        self._chains = False

    def __call__(self, event: Event) -> None:
        """Begin or end the spans of an event."""
        match event:
            case SearchStarted() | McmcStarted():
                self._begin(event)
            case RoundStarted(round=number):
                self._end_moves()
                self._begin_round(number)
            case EvaluationStarted(round=number, purpose=purpose):
                self._begin_round(number).add_event("evaluation", {"trio_beam.purpose": purpose})
            case RoundFinished(round=number):
                self._end_round(number, event)
            case RequestWaiting() | RequestSent() | RequestEnded():
                self._request(event)
            case SamplesReceived():
                self._received(event)
            case SearchFinished() | SearchStopped():
                self._end(event)
            case _:
                self._note(event)

    # -- the search and its rounds

    def _begin(self, event: SearchStarted | McmcStarted) -> None:
        self._chains = isinstance(event, McmcStarted)
        attributes = {
            **self._shared,
            "trio_beam.strategy": type(event.config).__name__,
            "trio_beam.search.index": event.index,
            "gen_ai.request.temperature": event.config.proposal_temperature,
            "gen_ai.request.max_tokens": event.config.max_tokens,
        }
        if self._label:
            attributes["trio_beam.search.label"] = self._label
        self._search = self._tracer.start_span("search", attributes=attributes)

    def _begin_round(self, number: int) -> Span:
        """Return the span of a round, which the choice of the answer has as well."""
        if number not in self._rounds:
            self._rounds[number] = self._child("round", self._search, {"trio_beam.round": number})
        return self._rounds[number]

    def _end_moves(self) -> None:
        """End the span that the moves of particles have had since their round ended."""
        for span in self._rounds.values():
            span.end()
        self._rounds.clear()

    def _end_round(self, number: int, event: RoundFinished) -> None:
        self._close_requests(lambda origin: origin.round == number)
        span = self._rounds.pop(number, None)
        if span is not None:
            span.set_attributes(
                {
                    "trio_beam.candidates": event.candidates,
                    "trio_beam.active": event.active,
                    "trio_beam.ended": event.ended,
                    "trio_beam.best_score": event.best_score,
                }
            )
            span.end()

    def _end(self, event: SearchFinished | SearchStopped) -> None:
        self.ended = True
        self._close_requests(lambda _: True)
        self._end_moves()
        self._search.set_attributes(_attributes_of(event.result))
        error = event.error if isinstance(event, SearchStopped) else None
        if error is not None:
            self._failed(self._search, error)
        self._search.end()

    # -- requests

    def _request(self, event: RequestWaiting | RequestSent | RequestEnded) -> None:
        request = self._requests.get(event.request)
        if request is None:
            parent = self._rounds.get(event.origin.round, self._search)
            span = self._child("request", parent, _origin(event.origin), kind=SpanKind.CLIENT)
            request = self._requests[event.request] = _Request(span, event.origin)
        match event:
            case RequestWaiting(paused=paused):
                request.span.add_event("waiting", {"trio_beam.paused": paused})
            case RequestSent():
                self._sent(request, event)
            case RequestEnded():
                self._ended(request, event)

    def _sent(self, request: _Request, event: RequestSent) -> None:
        if not request.operation and (operation := _operation(event.path)):
            request.operation = operation
            model = self._shared.get("gen_ai.request.model", "")
            request.span.update_name(f"{request.operation} {model}".strip())
            request.span.set_attribute("gen_ai.operation.name", request.operation)
        attributes = {
            "trio_beam.attempt": event.attempt,
            "trio_beam.hedge": event.hedge,
            "trio_beam.waited": event.waited,
            "url.path": event.path,
        }
        request.attempts[event.attempt] = self._child("attempt", request.span, attributes)
        self._instruments.in_flight.add(1, self._of(request))
        if not event.hedge:
            self._instruments.waited.record(event.waited, self._of(request))

    def _ended(self, request: _Request, event: RequestEnded) -> None:
        request.ended_at = time.time_ns()
        attributes = self._of(request)
        self._instruments.in_flight.add(-1, attributes)
        if event.error is not None:
            attributes |= {"error.type": type(event.error).__name__}
        elif event.outcome == "cancelled":
            attributes |= {"error.type": "cancelled"}
        if request.operation:
            self._instruments.duration.record(event.seconds, attributes)
        span = request.attempts.pop(event.attempt, None)
        if span is None:
            return
        span.set_attribute("trio_beam.outcome", event.outcome)
        if event.error is not None:
            self._failed(span, event.error)
        request.error = event.error
        span.end(request.ended_at)
        if event.outcome != "error":
            request.span.set_attribute("trio_beam.outcome", event.outcome)

    def _received(self, event: SamplesReceived) -> None:
        about = (event.round, event.purpose, event.rank)
        # By the first sample of each. Of several the last has brought the samples: before it, the server was
        # asked for something else, or refused a field.
        chosen = {
            one.origin.sample: one
            for one in self._requests.values()
            if (one.origin.round, one.origin.purpose, one.origin.rank) == about
        }
        for first, request in chosen.items():
            last = min((sample for sample in chosen if sample > first), default=event.wanted)
            blocks = [one for at, one in event.continuations.items() if first <= at < last]
            request.span.set_attributes(
                {
                    "gen_ai.request.temperature": event.temperature,
                    "gen_ai.request.max_tokens": event.max_tokens,
                    "gen_ai.request.choice.count": last - first,
                    "gen_ai.usage.output_tokens": sum(one.generated for one in blocks),
                    "gen_ai.response.finish_reasons": [one.finish_reason for one in blocks],
                }
            )
        self._count_tokens(event, next(iter(chosen.values()), None))
        self._close_requests(lambda origin: (origin.round, origin.purpose, origin.rank) == about)

    def _count_tokens(self, event: SamplesReceived, request: _Request | None) -> None:
        shared = {"gen_ai.operation.name": "text_completion", **self._shared}
        if request is not None:
            shared |= self._of(request)
        generated = sum(one.generated for one in event.continuations.values())
        if generated:
            self._instruments.tokens.record(generated, shared | {"gen_ai.token.type": "output"})
        # Each chain has a cost of its own.
        whose = event.rank if self._chains else 0
        more = event.usage.prompt_tokens - self._prompt_tokens.get(whose, 0)
        self._prompt_tokens[whose] = event.usage.prompt_tokens
        if more > 0:
            self._instruments.tokens.record(more, shared | {"gen_ai.token.type": "input"})

    def _close_requests(self, which: Any) -> None:
        """End the spans of requests, at the time at which their last attempts ended."""
        for number, request in list(self._requests.items()):
            if which(request.origin):
                del self._requests[number]
                for span in request.attempts.values():
                    span.end()
                if request.error is not None:
                    self._failed(request.span, request.error)
                request.span.end(request.ended_at or None)

    def _note(self, event: Event) -> None:
        match event:
            case RequestRetried(request=number, wait=wait):
                request = self._requests.get(number)
                self._instruments.retries.add(1, dict(self._shared))
                if request is not None:
                    request.span.add_event("retry", {"trio_beam.wait": wait})
            case RequestHedged():
                self._instruments.hedges.add(1, dict(self._shared))
            case EndpointPaused(seconds=seconds) | RatePaused(seconds=seconds):
                self._search.add_event("pause", {"trio_beam.seconds": seconds})
            case BeamFailed(failure=failure, rank=rank):
                parent = self._rounds.get(failure.round, self._search)
                kind = type(failure.error).__name__
                parent.add_event("beam failed", {"trio_beam.rank": rank, "error.type": kind})

    def _child(
        self,
        name: str,
        parent: Span,
        attributes: Mapping[str, Any],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
    ) -> Span:
        context = trace.set_span_in_context(parent)
        given = {**self._shared, **attributes}
        return self._tracer.start_span(name, context=context, kind=kind, attributes=given)

    def _of(self, request: _Request) -> dict[str, Any]:
        operation = {"gen_ai.operation.name": request.operation} if request.operation else {}
        return {**self._shared, **operation}

    @staticmethod
    def _failed(span: Span, error: Exception) -> None:
        # Without its message, which may quote a prompt.
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(Status(StatusCode.ERROR))


def _operation(path: str) -> str:
    """Return what the conventions call a request; "" for one that asks for no text, as for a template."""
    last = path.rpartition("/")[2]
    if last not in ("chat", "completion", "completions", "generate"):
        return ""
    return "chat" if "/chat" in path else "text_completion"


def _origin(origin: RequestOrigin) -> dict[str, Any]:
    return {f"trio_beam.{name}": value for name, value in attrs.asdict(origin).items()}


def _attributes_of(result: SearchResult) -> dict[str, Any]:
    usage = result.usage
    return {
        "trio_beam.stop_reason": result.stop_reason,
        "trio_beam.rounds": result.rounds,
        "trio_beam.score": result.score,
        "trio_beam.requests": usage.requests,
        "trio_beam.retries": usage.retries,
        "trio_beam.cancelled": usage.cancelled,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
    }
