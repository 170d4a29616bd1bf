"""A model that chooses among the final texts: shown in several orders, and how its requests fail."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
import pytest
import trio
from trio.testing import MockClock

from trio_beam import (
    BeamSearchConfig,
    Continuation,
    EvaluationStarted,
    Event,
    MalformedResponse,
    Prompt,
    RequestContext,
    SampleRequest,
    SearchFailed,
    Select,
    ServerError,
    Token,
    beam_search,
    beam_search_within,
)
from trio_beam.testing import FakeEndpoint

BASE = BeamSearchConfig(
    beam_width=4, n_per_beam=1, tokens_per_step=6, max_tokens=6, seed=7, early_stopping=False
)


@attrs.define
class Reader:
    """Sees the answers of a question, and names one by its number."""

    choose: Callable[[list[str]], str]
    questions: list[list[str]] = attrs.field(factory=list)
    latency: float = 1.0

    async def start(self, prompt: Prompt, context: RequestContext) -> _Asked:
        assert prompt.messages is not None
        shown = prompt.messages[0]["content"].split("\n\nWhich")[0].split("\n\nAnswer ")[1:]
        answers = [one.split(":\n", 1)[1] for one in shown]
        self.questions.append(answers)
        return _Asked(self, answers)


@attrs.frozen
class _Asked:
    reader: Reader
    answers: list[str]

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        context.meter.requests += 1
        await trio.sleep(self.reader.latency)
        said = self.reader.choose(self.answers)
        return [Continuation(tokens=(Token(said, -1.0),), data=said.encode())]


def last_of_the_alphabet(answers: list[str]) -> str:
    place = answers.index(max(answers))
    return f"<think>1 or 2?</think>Answer {place + 1} is the best."


async def final_texts() -> list[str]:
    return [beam.text for beam in (await beam_search(FakeEndpoint(), "p", BASE)).beams]


async def test_the_preferred_text_is_the_answer_wherever_it_stands(
    autojump_clock: MockClock,
) -> None:
    texts = await final_texts()
    assert len(set(texts)) == 4
    reader = Reader(last_of_the_alphabet)
    seen: list[Event] = []
    config = attrs.evolve(BASE, answer=Select(endpoint=reader))
    result = await beam_search(FakeEndpoint(), "p", config, observers=[seen.append])
    assert result.text == max(texts) != texts[0]
    assert sorted(one[0] for one in reader.questions) == sorted(texts)  # each comes first once
    assert all(sorted(one) == sorted(texts) for one in reader.questions)
    assert result.votes == ((result.text, 1.0),)
    assert result.stop_reason == "max_tokens"
    (asked,) = [event for event in seen if isinstance(event, EvaluationStarted)]
    assert (asked.purpose, asked.candidates) == ("judge", 4)
    assert result.usage.completion_tokens == 4 + sum(len(beam.tokens) for beam in result.beams)


async def test_a_model_that_likes_the_first_place_decides_nothing(
    autojump_clock: MockClock,
) -> None:
    config = attrs.evolve(BASE, answer=Select(endpoint=Reader(lambda _: "1")))
    result = await beam_search(FakeEndpoint(), "p", config)
    assert [beam.text for beam in result.beams] == await final_texts()
    assert [share for _, share in result.votes] == [0.25] * 4


async def test_one_text_is_no_choice(autojump_clock: MockClock) -> None:
    reader = Reader(last_of_the_alphabet)
    config = attrs.evolve(BASE, beam_width=1, answer=Select(endpoint=reader))
    assert (await beam_search(FakeEndpoint(), "p", config)).text
    assert reader.questions == []


async def test_an_answer_without_a_number_fails_the_search_with_all_that_was_found(
    autojump_clock: MockClock,
) -> None:
    config = attrs.evolve(BASE, answer=Select(endpoint=Reader(lambda _: "none of the 5")))
    with pytest.raises(SearchFailed, match="names none") as caught:
        await beam_search(FakeEndpoint(), "p", config)
    assert isinstance(caught.value.failures[0].error, MalformedResponse)
    assert [beam.text for beam in caught.value.partial.beams] == await final_texts()


async def test_with_drop_beam_the_orders_that_came_decide(autojump_clock: MockClock) -> None:
    def choose(answers: list[str]) -> str:
        if answers[0] == min(answers):
            raise ServerError("broken", status=500)
        return last_of_the_alphabet(answers)

    config = attrs.evolve(BASE, answer=Select(endpoint=Reader(choose)), on_beam_failure="drop_beam")
    result = await beam_search(FakeEndpoint(), "p", config)
    assert result.text == max(await final_texts())
    assert result.failures
    assert all(isinstance(one.error, ServerError) for one in result.failures)


async def test_a_deadline_or_a_budget_leaves_the_order_of_the_beams(
    autojump_clock: MockClock,
) -> None:
    texts = await final_texts()
    config = attrs.evolve(BASE, answer=Select(endpoint=Reader(last_of_the_alphabet, latency=100.0)))
    late = await beam_search_within(50.0, FakeEndpoint(), "p", config)
    assert (late.stop_reason, [beam.text for beam in late.beams]) == ("deadline", texts)
    assert late.usage.requests == 1 + 4
    config = attrs.evolve(config, max_completion_tokens=4 * 6 + 10)
    poor = await beam_search(FakeEndpoint(), "p", config)
    assert [beam.text for beam in poor.beams] == texts
    assert poor.votes == ()
