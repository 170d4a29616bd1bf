"""OpenTelemetry: the spans of a search with a retry, a hedge and a cancelled sibling, and its metrics."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any

import httpx
import pytest
import trio
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes

import trio_beam
from tests.observers.test_trace import Server, completion
from trio_beam import BeamSearchConfig, Endpoint, RetryPolicy, SearchFailed
from trio_beam.observers.telemetry import Telemetry
from trio_beam.testing import FakeEndpoint

#: The names of the conventions, without those that are deprecated.
CONVENTIONS = {
    value
    for name, value in vars(gen_ai_attributes).items()
    if name.startswith("GEN_AI_") and isinstance(value, str)
} - {"gen_ai.system", "gen_ai.usage.prompt_tokens", "gen_ai.usage.completion_tokens"}
BUSY = httpx.Response(503, json={"error": {"message": "busy with my secret"}})


class Memory:
    """Telemetry with what it has recorded."""

    def __init__(self, **given: Any) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.tracer = tracers.get_tracer("test")
        meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.observer = Telemetry(tracer_provider=tracers, meter_provider=meters, **given)

    @property
    def spans(self) -> list[ReadableSpan]:
        return sorted(self._spans.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def children(self, parent: ReadableSpan) -> list[ReadableSpan]:
        assert parent.context is not None
        own = parent.context.span_id
        return [one for one in self.spans if one.parent is not None and one.parent.span_id == own]

    def metrics(self) -> dict[str, list[Any]]:
        data = self._reader.get_metrics_data()
        assert data is not None
        return {
            metric.name: list(metric.data.data_points)
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }


def of(span: ReadableSpan, name: str) -> Any:
    assert span.attributes is not None
    return span.attributes.get(name)


async def test_a_retry_a_hedge_and_a_cancelled_sibling(autojump_clock: object) -> None:
    """Round 1: a refusal is tried again, a slow request hedged. Round 2: a failure cancels the other beam."""

    def answer(number: int) -> tuple[float, httpx.Response]:
        if number == 1:
            return 0.5, BUSY
        if number == 6:
            return 1.0, httpx.Response(401, json={"error": {"message": "my secret is bad"}})
        return (100.0 if number in (3, 5) else 0.5), completion()

    memory = Memory(model="m", attributes={"server.address": "server"})
    server = Server(answer)
    config = BeamSearchConfig(
        n_per_beam=1, tokens_per_step=2, max_tokens=4, seed=1, deduplicate=False
    )
    async with Endpoint(
        "http://server/v1",
        model="m",
        dialect="openai",
        http_client=server.client,
        hedge_after=2.0,
        retry=RetryPolicy(attempts=2),
    ) as endpoint:
        with pytest.raises(SearchFailed):
            await trio_beam.search(endpoint, "secret", config, observers=[memory.observer])
    await server.client.aclose()

    (search,) = memory.named("search")
    assert search.parent is None
    assert of(search, "trio_beam.stop_reason") == "failed"
    assert of(search, "error.type") == "SearchFailed"
    rounds = memory.children(search)
    assert [(one.name, of(one, "trio_beam.round")) for one in rounds] == [
        ("round", 1),
        ("round", 2),
    ]
    first, second = memory.children(rounds[0])
    assert {first.name, second.name} == {"text_completion m"}
    assert first.kind.name == "CLIENT"
    attempts = memory.children(first)
    assert [of(one, "trio_beam.outcome") for one in attempts] == ["error", "response"]
    assert of(attempts[0], "error.type") == "ServerError"
    assert of(first, "error.type") is None
    assert [event.name for event in first.events] == ["retry"]
    assert of(first, "gen_ai.usage.output_tokens") == 2
    assert list(of(first, "gen_ai.response.finish_reasons")) == ["length"]
    hedged = memory.children(second)
    told = [(of(one, "trio_beam.hedge"), of(one, "trio_beam.outcome")) for one in hedged]
    assert told == [(False, "cancelled"), (True, "response")]
    failed = [one for one in memory.children(rounds[1]) if one.status.status_code.name == "ERROR"]
    assert len(failed) == 1
    assert of(failed[0], "error.type") is not None
    siblings = [memory.children(one) for one in memory.children(rounds[1])]
    ends = sorted(of(one, "trio_beam.outcome") for attempts in siblings for one in attempts)
    assert ends == ["cancelled", "error"]
    assert all(span.end_time for span in memory.spans)
    assert of(first, "gen_ai.request.choice.count") == 1
    names = {name for span in memory.spans for name in span.attributes or {}}
    assert {name for name in names if name.startswith("gen_ai.")} <= CONVENTIONS
    assert "secret" not in str([(span.name, dict(span.attributes or {})) for span in memory.spans])

    found = memory.metrics()
    assert sum(point.value for point in found["trio_beam.request.in_flight"]) == 0
    assert sum(point.value for point in found["trio_beam.request.retries"]) == 1
    assert sum(point.value for point in found["trio_beam.request.hedges"]) == 1
    kinds = {
        point.attributes["gen_ai.token.type"]: point.sum
        for point in found["gen_ai.client.token.usage"]
    }
    assert kinds == {"output": 4, "input": 2}
    errors = {
        point.attributes.get("error.type") for point in found["gen_ai.client.operation.duration"]
    }
    assert errors == {None, "ServerError", "RequestRejected", "cancelled"}


async def test_tokens_are_those_of_the_request_that_brought_them(autojump_clock: object) -> None:
    def answer(number: int) -> tuple[float, httpx.Response]:
        if number == 1:
            return 0.5, httpx.Response(200, json={"data": [{"id": "m"}]})
        if number == 2:
            return 0.5, httpx.Response(400, json={"error": {"message": "unknown field: top_p"}})
        return 0.5, completion()

    memory = Memory()
    server = Server(answer)
    config = BeamSearchConfig(beam_width=1, n_per_beam=1, tokens_per_step=2, max_tokens=4, seed=1)
    async with Endpoint(
        "http://server/v1", dialect="openai", http_client=server.client
    ) as endpoint:
        result = await trio_beam.search(endpoint, "x", config, observers=[memory.observer])
    await server.client.aclose()
    requests = memory.named("text_completion")
    tokens = [of(one, "gen_ai.usage.output_tokens") for one in requests]
    assert tokens == [None, 2, 2]
    (models,) = memory.named("request")
    assert of(models, "gen_ai.operation.name") is None
    assert sum(one.count for one in memory.metrics()["gen_ai.client.operation.duration"]) == 3
    assert result.usage.completion_tokens == 4


async def test_concurrent_searches_are_children_of_the_current_span(
    autojump_clock: object,
) -> None:
    memory = Memory()
    config = BeamSearchConfig(tokens_per_step=2, max_tokens=4, seed=1, early_stopping=False)

    async def one(label: str) -> None:
        observers = [memory.observer.search(label)]
        await trio_beam.search(FakeEndpoint(latency=1), "x", config, observers=observers)

    with memory.tracer.start_as_current_span("mine"):
        async with trio.open_nursery() as nursery:
            for label in ("a", "b"):
                nursery.start_soon(one, label)
    (mine,) = memory.named("mine")
    searches = memory.children(mine)
    assert {of(span, "trio_beam.search.label") for span in searches} == {"a", "b"}
    for span in searches:
        assert len(memory.children(span)) == of(span, "trio_beam.rounds")
    chains = trio_beam.McmcConfig(tokens_per_step=2, max_tokens=4, chains=2)
    await trio_beam.search(FakeEndpoint(), "x", chains, observers=[memory.observer])
    assert of(memory.named("search")[-1], "trio_beam.strategy") == "McmcConfig"


async def test_moves_of_particles_have_a_span_of_their_own(autojump_clock: object) -> None:
    memory = Memory()
    config = BeamSearchConfig(
        selection=trio_beam.Resample(moves=1), tokens_per_step=2, max_tokens=4, seed=1
    )
    await trio_beam.search(FakeEndpoint(latency=1), "x", config, observers=[memory.observer])
    (search,) = memory.named("search")
    rounds = memory.children(search)
    assert [of(one, "trio_beam.round") for one in rounds] == [1, 1, 2, 2]
    ends = [(one.start_time or 0, one.end_time or 0) for one in rounds]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))


def test_nothing_of_it_is_imported_unless_it_is_asked_for() -> None:
    program = (
        "import sys, trio_beam, trio_beam.observers, trio_beam.traces\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
