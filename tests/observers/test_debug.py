"""The lines that users of the original grep for, to the last character."""

from __future__ import annotations

from typing import Any

import pytest

from trio_beam import (
    BeamSearchConfig,
    Continuation,
    McmcConfig,
    SampleRequest,
    Token,
    beam_search,
    mcmc,
)
from trio_beam.observers import DebugLines
from trio_beam.testing import FakeEndpoint


class Scripted(FakeEndpoint):
    """Sample k of a beam has the log-probability -1 - k for each token; it ends at a given length."""

    def __init__(self, ends_at: int = 10**9, word: str = " word") -> None:
        super().__init__()
        self.ends_at = ends_at
        self.word = word

    async def sample(self, request: SampleRequest, context: Any) -> list[Continuation]:
        await super().sample(request, context)
        length = min(request.max_tokens, self.ends_at - request.beam.length)
        ended = request.beam.length + length >= self.ends_at
        return [
            Continuation(
                tokens=tuple(Token(f"{self.word}{k}", -1.0 - k) for _ in range(length)),
                data=f"{self.word}{k}".encode() * length,
                finish_reason="stop" if ended else "length",
            )
            for k in range(request.n)
        ]


async def lines_of(model: FakeEndpoint, **parameters: Any) -> list[str]:
    lines: list[str] = []
    config = BeamSearchConfig(**{"tokens_per_step": 4, "max_tokens": 8} | parameters)
    await beam_search(model, "p", config, observers=[DebugLines(lines.append)])
    return lines


async def test_a_search_that_uses_all_its_tokens() -> None:
    assert await lines_of(Scripted()) == [
        "[BeamSearch] TRUE beam search (ASYNC): beam_width=2, n_per_beam=2",
        "[BeamSearch] Generating 2 blocks of 4 tokens",
        "[BeamSearch] α=4.0, length_penalty=0.6",
        "[BeamSearch] Each iteration: 2 beams × 2 samples = candidates (PARALLEL)",
        "[BeamSearch] Block 1: Generated 4 candidates (parallel)",
        "[BeamSearch] Block 1/2: 2 active, 0 completed",
        "[BeamSearch]   Best score: -6.9644",
        "[BeamSearch] Block 2: Generated 4 candidates (parallel)",
        "[BeamSearch] Block 2/2: 2 active, 0 completed",
        "[BeamSearch]   Best score: -9.1896",
        "[BeamSearch] Final: 8 tokens, score=-9.1896",
        f"[BeamSearch] Text: {' word0' * 8}",
    ]


async def test_a_search_of_which_enough_beams_have_ended() -> None:
    lines = await lines_of(Scripted(ends_at=6), max_tokens=12)
    assert lines[7:] == [
        "[BeamSearch] Block 2: Generated 4 candidates (parallel)",
        "[BeamSearch] Block 2/3: 0 active, 2 completed",
        "[BeamSearch]   Best score: -8.1907",
        "[BeamSearch] Stopping: 2 beams completed",
        "[BeamSearch] Final: 6 tokens, score=-8.1907",
        f"[BeamSearch] Text: {' word0' * 6}",
    ]


class Same(Scripted):
    """All samples are the same text, and count once."""

    async def sample(self, request: SampleRequest, context: Any) -> list[Continuation]:
        first, *others = await super().sample(request, context)
        return [first] * (1 + len(others))


async def test_it_stops_without_a_word_where_no_beam_is_left() -> None:
    lines = await lines_of(Same(ends_at=2), beam_width=3, n_per_beam=1)
    assert lines[4:] == [
        "[BeamSearch] Block 1: Generated 3 candidates (parallel)",
        "[BeamSearch] Block 1/2: 0 active, 1 completed",
        "[BeamSearch]   Best score: -5.2780",
        "[BeamSearch] Final: 2 tokens, score=-5.2780",
        "[BeamSearch] Text:  word0 word0",
    ]


@pytest.mark.parametrize(("characters", "shown"), [(200, 200), (201, 203)])
async def test_a_long_text_is_cut_where_the_original_cuts_it(characters: int, shown: int) -> None:
    model = Scripted(ends_at=1, word="x" * (characters - 1))
    *_, last = await lines_of(model)
    assert len(last) == len("[BeamSearch] Text: ") + shown
    assert last.endswith("...") is (shown > characters)


async def test_searches_of_another_kind_have_no_such_lines() -> None:
    lines: list[str] = []
    config = McmcConfig(max_tokens=2, tokens_per_step=2)
    await mcmc(FakeEndpoint(), "p", config, observers=[DebugLines(lines.append)])
    assert lines == []


async def test_print_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    config = BeamSearchConfig(tokens_per_step=4, max_tokens=4)
    await beam_search(Scripted(), "p", config, observers=[DebugLines()])
    assert capsys.readouterr().out.endswith(f"\n[BeamSearch] Text: {' word0' * 4}\n")
