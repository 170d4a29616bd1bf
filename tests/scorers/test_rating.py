"""Judges that give a number, or reason before their verdict."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from trio_beam import (
    BeamSearchConfig,
    ConfigError,
    Continuation,
    Judge,
    LogprobsUnavailable,
    MalformedResponse,
    Rating,
    SearchFailed,
    Token,
    beam_search,
)
from trio_beam.core.model_scorer import without_thinking
from trio_beam.testing import FakeEndpoint


def says(*texts: str) -> list[Continuation]:
    """Answers as a scorer is shown them."""
    return [without_thinking(Continuation(tokens=(), data=text.encode()), "auto") for text in texts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", 7),
        ("I rate it 8/10.", 8),
        ("**9**", 9),
        ("8 out of 10", 8),
        ("On a scale of 0 to 10: 6.5", 6.5),
        ("6,5", 6.5),
        ("Rating: 10/10", 10),
        ("There are 350 words, 3 of them wrong; 4", 4),
        ("<think>2? No, 3.</think>5", 5),
        ("opened by the template, so 2</think>\n\n6", 6),
        ("0", 0),
    ],
)
def test_the_last_number_within_the_bounds_counts(text: str, expected: float) -> None:
    assert Rating().read(says(text)) == expected


def test_samples_are_averaged_and_those_without_a_number_do_not_count() -> None:
    assert Rating(samples=3).read(says("6", "9", "no idea")) == 7.5
    assert Rating(minimum=-1, maximum=1).read(says("-0.5")) == -0.5


@pytest.mark.parametrize("text", ["good", "11", "-3", "", "<think>it is 7 or 8", "v2"])
def test_no_number_is_an_error_that_says_what_to_do(text: str) -> None:
    with pytest.raises(MalformedResponse, match=r"no number from 0 to 10; .*raise max_tokens"):
        Rating().read(says(text))


def test_the_bounds_are_in_order() -> None:
    with pytest.raises(ConfigError, match=r"maximum must be above the minimum \(10\)"):
        Rating(minimum=10)


async def test_every_sample_is_asked_for_with_a_seed_of_its_own(autojump_clock: MockClock) -> None:
    judge = _Numbers()
    config = BeamSearchConfig(
        seed=1, tokens_per_step=2, max_tokens=4, scorer=Rating(endpoint=judge, samples=3)
    )
    model = FakeEndpoint()
    result = await beam_search(model, "p", config)
    assert all(request.n == 3 and request.max_tokens == 16 for request in judge.requests)
    seeds = [
        request.seed + place
        for request in [*model.requests, *judge.requests]
        for place in range(request.n)
        if request.seed is not None
    ]
    assert (
        len(seeds)
        == len(set(seeds))
        == sum(request.n for request in [*model.requests, *judge.requests])
    )
    assert result.score == 4
    assert result.usage.completion_tokens >= len(judge.requests) * 3


class _Numbers(FakeEndpoint):
    """Answers 3, 4 and 5."""

    async def sample(self, request, context):  # type: ignore[no-untyped-def]
        await super().sample(request, context)
        return [
            Continuation(tokens=(Token(str(n), -1.0),), data=str(n).encode())
            for n in range(3, 3 + request.n)
        ]


def verdict(*words: str) -> list[Continuation]:
    """An answer in which yes is the more probable, the later it comes."""
    tokens = tuple(
        Token(word, -1.0, top=(Token("yes", -1.0 / (1 + place)), Token("no", -2.0)))
        for place, word in enumerate(words)
    )
    return [Continuation(tokens=tokens, data="".join(words).encode())]


def test_a_judge_may_reason_before_its_verdict() -> None:
    judge = Judge(max_tokens=50)
    answer = verdict("It", " is", " not", " no", ",", " so", ":", " Yes", ".")
    assert judge.read(answer) == pytest.approx(2.0 - 1 / 8)
    with pytest.raises(LogprobsUnavailable, match="neither 'yes' nor 'no' within 50 tokens"):
        judge.read(verdict("hm", "."))


async def test_a_judge_without_a_verdict_fails_the_search(autojump_clock: MockClock) -> None:
    config = BeamSearchConfig(
        seed=1, tokens_per_step=2, max_tokens=4, scorer=Judge(max_tokens=5, endpoint=FakeEndpoint())
    )
    with pytest.raises(SearchFailed, match="within 5 tokens"):
        await beam_search(FakeEndpoint(), "p", config)
