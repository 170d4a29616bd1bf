"""The lines that show what a search is doing."""

from __future__ import annotations

import io
import itertools

import attrs
import pytest
from rich.console import Console

from tests.core.builders import block, chain
from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.events import (
    EvaluationStarted,
    Event,
    RoundFinished,
    RoundStarted,
    SamplesReceived,
    SearchStarted,
)
from trio_beam.core.request_events import RatePaused
from trio_beam.core.tool_calls import ToolCall
from trio_beam.core.usage import Usage
from trio_beam.observers.progress import progress


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            EvaluationStarted(round=2, purpose="judge", candidates=1, samples=1),
            "round 2: asking the judge about 1 candidate",
        ),
        (
            EvaluationStarted(round=1, purpose="rollout", candidates=4, samples=16),
            "round 1: looking ahead from 4 candidates by 16 rollouts",
        ),
        (
            RatePaused(seconds=43.2, limit="tokens"),
            "paused for the rate (tokens per minute): 43 s",
        ),
        (RatePaused(seconds=2.0, limit="requests"), ""),
    ],
)
def test_an_event_is_shown(event: Event, line: str) -> None:
    console = Console(record=True, force_terminal=False, quiet=False, width=200)
    with progress(console) as observe:
        observe(event)
    assert console.export_text().strip() == line


def finished(number: int, *tokens: str) -> RoundFinished:
    return RoundFinished(
        round=number,
        rounds=3,
        candidates=4,
        active=2,
        ended=0,
        best_score=-1.0,
        completion_tokens=8,
        best=chain([block(*tokens)]),
    )


@pytest.mark.parametrize(
    ("prompt", "shown"), [("Once", ["Once upon a time"]), ("Why?\n", ["Why?", " upon a time"])]
)
def test_on_a_terminal_the_best_text_grows_behind_the_prompt(prompt: str, shown: list[str]) -> None:
    console = Console(force_terminal=True, width=80, height=20, file=io.StringIO())
    times = itertools.chain([0.0], itertools.repeat(2.0))
    with progress(console, prompt, lambda: next(times)) as observe:
        observe(RoundStarted(round=1, rounds=3, beams=1, samples=4))
        spent = Usage(completion_tokens=8, cost=0.002)
        observe(
            SamplesReceived(
                round=1, purpose="expand", rank=0, beam=Beam(), wanted=4, max_tokens=2, usage=spent
            )
        )
        observe(finished(1, " upon"))
        first = console.render_lines(observe, pad=False)  # type: ignore[arg-type]
        observe(finished(2, " upon", " a", " time"))
        second = console.render_lines(observe, pad=False)  # type: ignore[arg-type]
    lines = ["".join(segment.text for segment in line) for line in second]
    assert lines[:-2] == shown
    assert "round 1/3, 1 beam alive, best score -1.0000" in lines[-2]
    assert "8 tokens, 4.0 tokens/s, $0.0020" in lines[-1]
    assert len(first) == len(second)
    dim = [segment.text for segment in second[0] if segment.style and segment.style.dim]
    assert dim == [prompt.strip()]


def test_of_a_long_text_its_end_is_shown() -> None:
    console = Console(force_terminal=True, width=20, height=6, file=io.StringIO())
    with progress(console) as observe:
        observe(finished(1, *(f"word{k} " for k in range(40))))
        lines = console.render_lines(observe, pad=False)  # type: ignore[arg-type]
    assert len(lines) <= 6
    assert "word39" in "".join(segment.text for line in lines for segment in line)


def test_steps_thinking_scores_and_tools_are_shown() -> None:
    console = Console(record=True, force_terminal=False, quiet=False, width=200)
    config = BeamSearchConfig(block="steps")
    thinking = chain([block("<think>", "hm")])
    scored = chain([block("a"), block("b")]).replace(step_scores=(0.25, 0.5))
    call = attrs.evolve(
        block("x", reason="stop"), data=b"", tool_calls=(ToolCall("weather", "{}"),)
    )
    with progress(console) as observe:
        observe(SearchStarted(config=config, rounds=512))
        observe(RoundStarted(round=1, rounds=512, beams=1, samples=4))
        observe(EvaluationStarted(round=1, purpose="reward", candidates=4, samples=4))
        for best in (thinking, scored, Beam().extend(call)):
            observe(attrs.evolve(finished(1, "a"), best=best))
    lines = console.export_text().splitlines()
    assert lines[:2] == [
        "step 1: expanding 1 beam by 4 continuations",
        "step 1: asking the reward model about 4 candidates",
    ]
    assert [line.partition("-1.0000")[2].removesuffix("; 0 tokens") for line in lines[2:]] == [
        ", thinking",
        " (steps 0.25 0.50)",
        ", calls weather",
    ]


def test_on_a_terminal_the_thinking_is_shown_until_there_is_an_answer() -> None:
    console = Console(force_terminal=True, width=60, height=20, file=io.StringIO())
    with progress(console, "Why?\n") as observe:
        shown = []
        for tokens in (("<think>", "so"), ("<think>", "so", "</think>", "It is 8.")):
            observe(attrs.evolve(finished(1, "a"), best=chain([block(*tokens)])))
            rows = console.render_lines(observe, pad=False)  # type: ignore[arg-type]
            shown.append(["".join(segment.text for segment in row) for row in rows][1])
    assert [line.strip() for line in shown] == ["so", "It is 8."]


def test_of_very_many_rounds_not_every_one_is_a_line() -> None:
    now = 0.0
    console = Console(record=True, force_terminal=False, quiet=False, width=200)
    with progress(console, clock=lambda: now) as observe:
        for number in range(1000):
            now = number / 10
            observe(attrs.evolve(finished(number, "a"), rounds=1000))
    lines = console.export_text().splitlines()
    assert 25 <= len(lines) <= 30  # 20 at once, and one in ten seconds of the 98 after these
