"""Other numbers of choices and tokens than were asked for, and counts that cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from tests.endpoint.bad_json import (
    SHAPES,
    Place,
    Shape,
    changed,
    inner,
    replaced,
    spoiling,
)
from tests.endpoint.bad_peer import (
    Spoil,
    bad_peer,
    found,
)
from tests.servers.fault_server import (
    Fault,
    Request,
    answering,
)
from trio_beam import (
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
    SearchResult,
)


def choices_changed(change: Callable[[list[Any]], list[Any]]) -> Callable[[Shape], Spoil]:
    """Another list of choices."""

    def of(shape: Shape) -> Spoil:
        def spoil(right: bytes) -> bytes:
            answer = json.loads(right)
            if isinstance(answer, dict) and not shape.choices:
                answer = [answer]
            choices = change(inner(answer, shape.choices))
            return json.dumps(changed(answer, shape.choices, choices)).encode()

        return spoil

    return of


PUT_UP_WITH = {
    "fewer than asked for": choices_changed(lambda choices: choices[: (len(choices) + 1) // 2]),
    "a single one": choices_changed(lambda choices: choices[:1]),
    "all with the same index": choices_changed(
        lambda choices: [{**choice, "index": 0} for choice in choices]
    ),
    "none with an index": choices_changed(
        lambda choices: [
            {key: value for key, value in choice.items() if key != "index"} for choice in choices
        ]
    ),
    "in another order": choices_changed(lambda choices: choices[::-1]),
    "with indices from 7 on": choices_changed(
        lambda choices: [{**choice, "index": choice["index"] + 7} for choice in choices]
    ),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("change", PUT_UP_WITH.values(), ids=PUT_UP_WITH)
async def test_choices_that_are_put_up_with(change: Callable[[Shape], Spoil], name: str) -> None:
    """They are the right ones, so what is found is right."""
    shape = SHAPES[name]
    async with spoiling(shape, change(shape)) as peer:
        result = await peer.result()
        peer.cure()
        assert found(result) == found(await peer.result())
        assert result.usage.retries == 0


LEGACY_LENGTHS = {
    "a logprob too few": ("token_logprobs", lambda row: row[:-1], "3 tokens with 2 log"),
    "a logprob too many": ("token_logprobs", lambda row: [*row, -1.0], "3 tokens with 4 log"),
    "a token too few": ("tokens", lambda row: row[:-1], "2 tokens with 3 log"),
    "no tokens": ("tokens", lambda row: None, "0 tokens with 3 log"),
}


@pytest.mark.parametrize(("field", "change", "words"), LEGACY_LENGTHS.values(), ids=LEGACY_LENGTHS)
async def test_legacy_arrays_of_unequal_lengths(
    field: str, change: Callable[[list[Any]], Any], words: str
) -> None:
    place: Place = ("choices", 1, "logprobs", field)

    def spoil(right: bytes) -> bytes:
        answer = json.loads(right)
        return json.dumps(changed(answer, place, change(inner(answer, place)))).encode()

    async with spoiling(SHAPES["completions"], spoil) as peer:
        error = await peer.error()
        assert type(error) is MalformedResponse
        assert words in error.message


NATIVE_LENGTHS: dict[str, tuple[str, Callable[[list[Any]], Any], type[EndpointError]]] = {
    "an entry too few": ("completion_probabilities", lambda row: row[1:], LogprobsUnavailable),
    "no entries": ("completion_probabilities", lambda row: [], LogprobsUnavailable),
    "an entry too many": (
        "completion_probabilities",
        lambda row: [*row, row[0]],
        MalformedResponse,
    ),
    "entries in another order": (
        "completion_probabilities",
        lambda row: [{**entry, "id": 90 - at} for at, entry in enumerate(row)],
        MalformedResponse,
    ),
    "a token too few": ("tokens", lambda row: row[:-1], MalformedResponse),
    "a negative token": ("tokens", lambda row: [-1, *row[1:]], MalformedResponse),
    "a huge token": ("tokens", lambda row: [10**400, *row[1:]], MalformedResponse),
}


@pytest.mark.parametrize(("field", "change", "kind"), NATIVE_LENGTHS.values(), ids=NATIVE_LENGTHS)
async def test_native_entries_that_are_not_those_of_the_tokens(
    field: str, change: Callable[[list[Any]], Any], kind: type[EndpointError]
) -> None:
    def spoil(right: bytes) -> bytes:
        answer = json.loads(right)
        return json.dumps(changed(answer, (0, field), change(inner(answer, (0, field))))).encode()

    async with spoiling(SHAPES["native"], spoil) as peer:
        assert type(await peer.error()) is kind


@pytest.mark.parametrize("name", SHAPES)
async def test_more_choices_than_asked_for(name: str) -> None:
    """They are the answer to something else."""
    shape = SHAPES[name]
    more = choices_changed(lambda choices: [*choices, {**choices[-1], "index": 99}])
    async with spoiling(shape, more(shape)) as peer:
        error = await peer.error()
        assert type(error) is MalformedResponse
        assert "were asked for" in error.message
        assert len(peer.server.requests) == 1


@pytest.mark.parametrize("name", SHAPES)
async def test_many_more_tokens_than_asked_for(name: str) -> None:
    """A thousand, where three were asked for."""
    shape = SHAPES[name]

    def spoil(right: bytes) -> bytes:
        answer = json.loads(right)
        for choice in inner(answer, shape.choices):
            rows = choice.get("logprobs", choice)
            for key in ("tokens", "token_logprobs", "content", "completion_probabilities"):
                if key in rows:
                    rows[key] = rows[key][:1] * 1000
        return json.dumps(answer).encode()

    async with spoiling(shape, cache(spoil)) as peer:
        error = await peer.error()
        # They do not spell the text, where the text does not come from them.
        assert type(error) is (MalformedResponse if name == "native" else LogprobsUnavailable)
        assert len(error.message) < 500
        assert len(peer.server.requests) == 1


async def test_a_long_block_with_gaps_is_not_repaired() -> None:
    """Each gap costs requests; none is sent for a block that is too long to be used."""

    def script(request: Request) -> Fault:
        entry = {"id": 1, "token": " beta", "bytes": list(b" beta"), "logprob": -1.0}
        silent = {"id": 0, "token": "a", "bytes": [97], "logprob": -1.0}
        whole = {"tokens": [0, 1] * 300, "completion_probabilities": [entry] * 300}
        repaired = {
            "tokens": [1],
            "completion_probabilities": [entry | {"top_logprobs": [silent, entry]}],
        }
        return answering(repaired if "logit_bias" in request.body else whole)

    async with bad_peer(script, dialect="llama_cpp") as peer:
        error = await peer.error()
        assert type(error) is MalformedResponse
        assert "600 tokens, where at most 3 were asked for" in error.message
        assert len(peer.server.requests) < 10


@pytest.mark.parametrize("name", SHAPES)
async def test_a_negative_count_of_prompt_tokens(name: str) -> None:
    shape = SHAPES[name]

    def spoil(right: bytes) -> bytes:
        answer = json.loads(right)
        if isinstance(answer, dict) and not shape.choices:
            answer = [answer]
        return replaced(answer, shape.count, b"-1000000")

    async with spoiling(shape, spoil) as peer:
        outcome = await peer.search()
        if isinstance(outcome, SearchResult):
            assert outcome.usage.prompt_tokens >= 0
        else:
            assert type(outcome) is MalformedResponse


@pytest.mark.parametrize("count", ["-1000", "9" * 400])
@pytest.mark.parametrize("name", ["completions", "chat"])
async def test_a_count_of_generated_tokens_that_cannot_be(name: str, count: str) -> None:
    """One choice a request: then the server's count is looked at."""

    def spoil(right: bytes) -> bytes:
        return replaced(json.loads(right), ("usage", "completion_tokens"), count.encode())

    async with spoiling(SHAPES[name], spoil, max_n=1) as peer:
        outcome = await peer.search()
        if isinstance(outcome, SearchResult):
            assert outcome.stop_reason == "max_tokens"
            assert 0 <= outcome.usage.completion_tokens <= 3 * outcome.usage.requests
        else:
            assert type(outcome) is MalformedResponse
