"""A server that ignores `n` is served by more requests (promise 6), and remembered."""

from __future__ import annotations

import pytest

from tests.dialects.replay import ask, capture, encode, sent

pytestmark = pytest.mark.promise(6)

IGNORED = capture("llamacpppython0260__completions_n3")


def test_one_choice_for_three() -> None:
    dialect = IGNORED.dialect()
    replayed = ask(IGNORED, dialect=dialect)
    assert sent(replayed.requests[0])["n"] == 3
    assert len(replayed.value.continuations) == 1
    assert dialect.limits.n == 1


def test_the_next_request_asks_for_one_without_the_field() -> None:
    dialect = IGNORED.dialect()
    ask(IGNORED, dialect=dialect)
    (request,) = ask(IGNORED, dialect=dialect).requests
    assert "n" not in sent(request)


def test_a_single_choice_has_the_count_to_itself() -> None:
    answer = IGNORED.answer()
    answer["usage"]["completion_tokens"] = 5  # two tokens that it does not show
    for asked, generated in ((8, 5), (4, 4)):  # never more than it was allowed
        replayed = ask(IGNORED, encode(answer), max_tokens=asked)
        assert replayed.value.continuations[0].generated == generated


def test_as_many_as_asked_for_teach_nothing() -> None:
    recorded = capture("vllm__completions_n3_seed")
    dialect = recorded.dialect()
    ask(recorded, dialect=dialect)
    assert dialect.limits.n is None
