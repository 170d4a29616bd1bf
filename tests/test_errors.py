"""One tree of errors, as it is drawn; each says what happened, where, and after how many attempts."""

from __future__ import annotations

import re

import pytest

import trio_beam
from tests.core.builders import subclasses
from trio_beam import errors
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.result import SearchFailed
from trio_beam.errors import (
    ConfigError,
    ContextOverflow,
    EndpointError,
    MalformedResponse,
    RateLimited,
    RequestRejected,
    ServerError,
    TrioBeamError,
)


def drawn_tree() -> dict[str, str]:
    """Each class in the drawing, with the one above it."""
    above: dict[str, str] = {}
    path = ["TrioBeamError"]
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r" {4}([ │├└]+)── (\w+)", line)
        if found:
            depth = len(found[1]) // 4 + 1
            path = [*path[:depth], found[2]]
            above[found[2]] = path[depth - 1]
    return above


#: The error that carries a result lives beside it.
HOMES = {errors.__name__, SearchFailed.__module__}
#: Applications, and the records that they share, have errors of their own.
THEIRS = ("trio_beam.batch.", "trio_beam.benchmark.", "trio_beam.gateway.", "trio_beam.records.")
OURS = [kind for kind in subclasses(TrioBeamError) if not kind.__module__.startswith(THEIRS)]


def test_the_drawing_is_the_tree() -> None:
    kinds = subclasses(TrioBeamError)
    assert drawn_tree() == {
        kind.__name__: kind.__mro__[1].__name__ for kind in kinds if kind.__module__ in HOMES
    }


def test_it_is_the_only_tree() -> None:
    assert {kind.__module__ for kind in OURS} == HOMES


@pytest.mark.parametrize("kind", [TrioBeamError, *OURS])
def test_every_error_is_public_and_explained(kind: type[TrioBeamError]) -> None:
    assert kind.__name__ in trio_beam.__all__
    assert kind.__doc__


def test_a_bad_value_is_shown_with_its_field_and_bound() -> None:
    error = ConfigError("beam_width", "a whole number from 1 up", "two")
    assert str(error) == "beam_width must be a whole number from 1 up, not 'two'"
    assert (error.field, error.bound) == ("beam_width", "a whole number from 1 up")
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EndpointError("reset"), "reset"),
        (EndpointError("reset", attempts=1), "reset"),
        (EndpointError("reset", attempts=3), "reset (after 3 attempts)"),
        (EndpointError("reset", url="http://host/v1"), "http://host/v1: reset"),
        (
            ServerError("HTTP 503: busy", status=503, url="http://host/v1", attempts=4),
            "http://host/v1: HTTP 503: busy (after 4 attempts)",
        ),
    ],
)
def test_an_endpoint_error_says_where_what_and_how_often(error: EndpointError, text: str) -> None:
    assert str(error) == text


def test_attempts_that_are_counted_later_are_shown() -> None:
    error = EndpointError("reset")
    error.attempts = 2
    assert str(error) == "reset (after 2 attempts)"


def test_errors_carry_fields() -> None:
    assert RateLimited("", retry_after=1.5).retry_after == 1.5
    assert RateLimited("").retry_after is None
    server = ServerError("", status=503, retry_after=2.0)
    assert (server.status, server.retry_after) == (503, 2.0)
    assert RequestRejected("", status=404).status == 404
    assert ContextOverflow("", status=400).status == 400
    assert MalformedResponse("").transient is False
    assert MalformedResponse("", transient=True).transient is True


def test_a_failed_search_carries_its_failures_and_the_best_so_far() -> None:
    partial = BeamSearchMachine(BeamSearchConfig()).result("failed")
    error = SearchFailed("it failed", failures=[], partial=partial)
    assert str(error) == "it failed"
    assert error.failures == ()
    assert error.partial is partial
