"""A model that is asked about candidates may think first: only its answer is the verdict, in every shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
from trio.testing import MockClock

from trio_beam import (
    BeamSearchConfig,
    Continuation,
    Judge,
    Prompt,
    Rating,
    RequestContext,
    SampleRequest,
    SearchFailed,
    Select,
    Token,
    beam_search,
)
from trio_beam.core.model_scorer import without_thinking
from trio_beam.testing import FakeEndpoint

#: The thinking, in which each verdict is spoken of, and its opposite.
THOUGHT = ("yes", " no", " 3", " 1", " 2", " no")
SHAPES: dict[str, tuple[str, ...]] = {
    "tags": ("<think>", *THOUGHT, "</think>", "\n\n"),
    "other tags": ("[THINK]", *THOUGHT, "[/THINK]"),
    "opened by the template": (*THOUGHT, "</think>", "\n"),
    "field": (),
    "field, with its tokens": ("<think>", *THOUGHT, "</think>"),
}


def top(text: str, *, last: bool) -> tuple[Token, ...]:
    good = Token("yes", -0.5 if last else -3.0), Token("no", -3.0 if last else -0.5)
    return good if text.strip() in ("yes", "no") else ()


def says(shape: str, *verdict: str) -> Continuation:
    """An answer that thinks in that shape; () is no verdict, since the thinking was cut off."""
    before = SHAPES[shape] if verdict else SHAPES[shape][:-2]
    texts = (*before, *verdict)
    tokens = [Token(one, -1.0, top=top(one, last=one in verdict)) for one in texts]
    apart = shape.startswith("field")
    return Continuation(
        tokens=tuple(tokens),
        data="".join(verdict if apart else texts).encode(),
        reasoning="".join(THOUGHT) if apart else None,
    )


@attrs.define
class Thinker:
    """A model that says the same about everything."""

    answer: Continuation
    opens_thinking: bool

    async def start(self, prompt: Prompt, context: RequestContext) -> Thinker:
        return self

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        return [self.answer] * request.n


KINDS = {"judge": ("yes", "."), "rating": ("7",), "select": ("2", ".")}


def searching(kind: str, model: Thinker) -> BeamSearchConfig:
    every: dict[str, dict[str, Any]] = {
        "judge": {"scorer": Judge(endpoint=model, max_tokens=20)},
        "rating": {"scorer": Rating(endpoint=model)},
        "select": {"answer": Select(endpoint=model, orders=1)},
    }
    parts = every[kind]
    return BeamSearchConfig(seed=1, tokens_per_step=3, max_tokens=3, n_per_beam=1, **parts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_the_verdict_is_what_stands_behind_the_thinking(
    shape: str, kind: str, autojump_clock: MockClock
) -> None:
    model = Thinker(says(shape, *KINDS[kind]), shape.startswith("opened"))
    result = await beam_search(FakeEndpoint(), "p", searching(kind, model))
    if kind == "select":
        first = await beam_search(
            FakeEndpoint(),
            "p",
            BeamSearchConfig(seed=1, tokens_per_step=3, max_tokens=3, n_per_beam=1),
        )
        assert result.text == first.beams[1].text
    else:
        assert result.score == {"judge": 2.5, "rating": 7}[kind]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
async def test_thinking_that_was_cut_off_is_no_verdict(
    shape: str, kind: str, autojump_clock: MockClock
) -> None:
    model = Thinker(says(shape), shape.startswith("opened"))
    with pytest.raises(SearchFailed, match="raise max_tokens"):
        await beam_search(FakeEndpoint(), "p", searching(kind, model))


def test_a_judge_of_one_token_that_thinks_says_so() -> None:
    begun = without_thinking(Continuation(tokens=(Token("yes", -1.0),), data=b"yes"), "opened")
    with pytest.raises(Exception, match="still thinking after 1 tokens: raise max_tokens"):
        Judge().read([begun])


async def test_a_model_that_judges_itself_thinks_as_the_search_was_told(
    autojump_clock: MockClock,
) -> None:
    """Where nobody can see that the template opens the thinking, the user says so once."""
    config = BeamSearchConfig(
        seed=1, tokens_per_step=9, max_tokens=9, scorer=Rating(), reasoning="opened"
    )
    with pytest.raises(SearchFailed, match="raise max_tokens"):
        await beam_search(Thinker(says("opened by the template"), False), "p", config)
    config = attrs.evolve(config, reasoning="off")
    block = Continuation(tokens=(Token("5", -1.0),), data=b"<think>5")
    assert (await beam_search(Thinker(block, False), "p", config)).score == 5


@pytest.mark.parametrize(
    ("tokens", "data", "kept"),
    [
        (["<think>", "a", "</think>", "\n", "b", " c"], "<think>a</think>\nb c", ["b", " c"]),
        (["<think>", "a", "</think>b", "c"], "<think>a</think>bc", ["</think>b", "c"]),
        (["a", "</think>", "b", "<end>"], "a</think>b", ["b", "<end>"]),
        (["a", "</think>", "\ufffd", "\ufffd", "b"], "a</think>éb", ["\ufffd", "b"]),
        (["b"], "b", ["b"]),
        (["<think>", "a"], "<think>a", []),
    ],
)
def test_the_tokens_of_the_answer_are_kept(tokens: list[str], data: str, kept: list[str]) -> None:
    block = Continuation(
        tokens=tuple(Token(text, -1.0) for text in tokens), data=data.encode(), generated=9
    )
    answer = without_thinking(block, "auto")
    assert [token.text for token in answer.tokens] == kept
    assert (len(answer), answer.generated) == (len(kept), 9)
