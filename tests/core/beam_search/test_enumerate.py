"""`proposal="enumerate"` is classical beam search: against one written without any of the library."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.core.language import END, LENGTH_OF_TEXT, LETTERS, logprobs, texts
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.result import SearchResult
from trio_beam.core.steps import Outcome, Round
from trio_beam.errors import ConfigError

Text = tuple[int, ...]


def best_next(last: int | None, n: int) -> list[tuple[int, float]]:
    """The most probable next tokens with their log-probabilities."""
    values = logprobs(last)
    return sorted(enumerate(values), key=lambda item: -item[1])[:n]


def classical(width: int, n: int, penalty: float) -> list[tuple[Text, float]]:
    """The beams that end up best, each with its score."""
    active: list[tuple[Text, float]] = [((), 0.0)]
    ended: list[tuple[Text, float]] = []

    def score(beam: tuple[Text, float]) -> float:
        return beam[1] / float(len(beam[0]) ** penalty)

    for number in range(LENGTH_OF_TEXT):
        candidates = [
            ((*text, token), total + value)
            for text, total in active
            for token, value in best_next(text[-1] if text else None, n if number else width * n)
        ]
        candidates.sort(key=score, reverse=True)
        ended += [beam for beam in candidates[:width] if beam[0][-1] == END]
        ended = sorted(ended, key=score, reverse=True)[:width]
        active = [beam for beam in candidates if beam[0][-1] != END][:width]
    best = sorted([*ended, *active], key=score, reverse=True)[:width]
    return [(text, score((text, total))) for text, total in best]


def block_of(token: int, value: float) -> Continuation:
    text = LETTERS[token] if token < END else ""
    return Continuation(
        tokens=(Token(text, value, token, text.encode()),),
        data=text.encode(),
        finish_reason=LENGTH if text else STOP,
        generated=0,
    )


def search(config: BeamSearchConfig) -> SearchResult:
    state = BeamSearchMachine(config)
    while isinstance(step := state.step(), Round):
        for expansion in step.expansions:
            tokens = expansion.beam.tokens
            found = best_next(tokens[-1].id if tokens else None, expansion.n)
            blocks = {place: block_of(*one) for place, one in enumerate(found)}
            state.receive(Outcome(rank=expansion.rank, continuations=blocks))
    return state.result("max_tokens")


def config(**changes: Any) -> BeamSearchConfig:
    values: dict[str, Any] = {
        "proposal": "enumerate",
        "tokens_per_step": 1,
        "max_tokens": LENGTH_OF_TEXT,
        "alpha": 1.0,
        "early_stopping": False,
    }
    return BeamSearchConfig(**(values | changes))


@pytest.mark.parametrize("width", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("n", [1, 2, 4])
@pytest.mark.parametrize("penalty", [0.0, 0.6, 1.0])
def test_it_is_classical_beam_search(width: int, n: int, penalty: float) -> None:
    result = search(config(beam_width=width, n_per_beam=n, length_penalty=penalty))
    expected = classical(width, n, penalty)
    # Texts of the same letters in another order may be as probable: the scores have to be the same.
    assert [beam.score for beam in result.beams] == pytest.approx([score for _, score in expected])
    texts_found = {tuple(token.id for token in beam.tokens) for beam in result.beams}
    distinct = {text for text, score in expected if [s for _, s in expected].count(score) == 1}
    assert distinct <= texts_found


def test_a_width_that_covers_everything_finds_the_optimum() -> None:
    width = 3**LENGTH_OF_TEXT
    result = search(config(beam_width=width, n_per_beam=4, use_length_penalty=False))
    best = max(total for _, total in texts())
    assert result.score == pytest.approx(best)
    everything = sorted((total for _, total in texts()), reverse=True)[: len(result.beams)]
    assert [beam.logprob for beam in result.beams] == pytest.approx(everything)
    assert math.fsum(math.exp(total) for _, total in texts()) == pytest.approx(1)


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("stop", [(), ("ab",)])
def test_no_more_is_asked_for_than_can_survive(width: int, stop: tuple[str, ...]) -> None:
    """A server that shows so many alternatives serves any `n_per_beam`."""
    few = config(beam_width=width, n_per_beam=4, stop=stop)
    assert few.samples_of_beam(1) == min(4 * width, 2 * width if stop else width + 1)
    assert few.samples_of_beam(2) == min(4, 2 * width if stop else width + 1)


@pytest.mark.parametrize(
    "changes", [{"scorer": lambda beams: [0.0] * len(beams)}, {"selection": "subtrees"}]
)
def test_where_another_rank_may_survive_all_are_asked_for(changes: dict[str, Any]) -> None:
    free = config(beam_width=2, n_per_beam=4, **changes)
    assert (free.samples_of_beam(1), free.samples_of_beam(2)) == (8, 4)


@pytest.mark.parametrize("changes", [{"tokens_per_step": 2}, {"selection": "resample"}])
def test_what_does_not_go_with_it_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be"):
        config(**changes)
