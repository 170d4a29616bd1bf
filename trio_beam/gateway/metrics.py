"""Metrics of a gateway, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from trio_beam.core.usage import Usage
from trio_beam.gateway.admission import Admission

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_SHARES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one gateway.

    Attributes:
        requests: by call and status; 499 where the client has gone.
        seconds: from a request to the end of its response, by strategy.
        first_text: from a request to the first text sent, by strategy.
        settled_early: share of the text of a stream that was sent before the search ended, by strategy.
    """

    def __init__(self, admission: Admission, servers_lost: Callable[[], int]) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "trio_beam_requests", "Requests.", ["call", "status"], registry=registry
        )
        self.seconds = Histogram(
            "trio_beam_request_seconds",
            "From a request to the end of its response.",
            ["strategy"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.first_text = Histogram(
            "trio_beam_first_text_seconds",
            "From a streamed request to its first text.",
            ["strategy"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.settled_early = Histogram(
            "trio_beam_settled_early_share",
            "Share of a streamed text that was sent before the search ended.",
            ["strategy"],
            buckets=_SHARES,
            registry=registry,
        )
        self._tokens = Counter(
            "trio_beam_tokens",
            "Tokens that searches spent, also those that failed.",
            ["kind"],
            registry=registry,
        )
        self._model_requests = Counter(
            "trio_beam_model_requests", "Requests to model servers.", registry=registry
        )
        for name, words, count in (
            ("trio_beam_searches_running", "Searches that run.", lambda: admission.running),
            ("trio_beam_searches_waiting", "Searches that wait.", lambda: admission.waiting),
            ("trio_beam_servers_lost", "Model servers that are left alone.", servers_lost),
        ):
            Gauge(name, words, registry=registry).set_function(count)

    def spent(self, usage: Usage) -> None:
        """Count what a search has spent."""
        self._tokens.labels("prompt").inc(usage.prompt_tokens)
        self._tokens.labels("completion").inc(usage.completion_tokens)
        self._model_requests.inc(usage.requests)

    def page(self) -> bytes:
        """Return the metrics in Prometheus's format."""
        return generate_latest(self._registry)
