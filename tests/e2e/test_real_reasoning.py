"""Thinking on the real server: its end is forced, and ids travel without log-probabilities."""

from __future__ import annotations

import pytest
import trio

from trio_beam import Beam, BeamSearchConfig, Endpoint, beam_search, search
from trio_beam.strategies import best_of_n, self_consistency

OPENED = "<|im_start|>user\nWhat is 2+3?<|im_end|>\n<|im_start|>assistant\n<think>\n"
#: The next character is one of three tokens, 漢.
UTF8 = "Repeat: " + "🦜🫠漢字 " * 3 + "🦜🫠"


def ids_of(beam: Beam) -> list[int | bytes]:
    blocks = [node.continuation for node in beam.lineage()]
    return [key for block in blocks if block is not None for key in block.keys]


@pytest.mark.parametrize("scorer", ["power", "equal"])
async def test_the_end_of_thinking_is_forced(base_url: str, scorer: str) -> None:
    config = BeamSearchConfig(
        tokens_per_step=6, max_tokens=24, reasoning_budget=8, seed=3, scorer=scorer
    )
    with trio.fail_after(120):
        async with Endpoint(base_url) as endpoint:
            result = await beam_search(endpoint, OPENED, config)
            votes = await search(
                endpoint,
                OPENED,
                self_consistency(2, max_tokens=24, reasoning_budget=8, seed=3),
            )
    closing = [198, 9617, 17400, 46, 1116]  # "\n", "</", "think", ">", "\n\n"
    for beam in (*result.beams, *votes.beams):
        if not beam.forced:
            continue  # it ended in its thinking, or ended that by itself
        assert ids_of(beam)[8:13] == closing
        assert beam.full_text.count("\n</think>\n\n") == 1
        assert beam.exact
    assert any(beam.forced for beam in result.beams)
    if scorer == "power":
        forced = [token for token in result.beams[0].tokens if token.forced]
        assert [token.logprob for token in forced] == [0.0] * result.beams[0].forced


@pytest.mark.parametrize("prompt", ["Once upon a time", UTF8])
@pytest.mark.parametrize("size", [2, 3, 24])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_same_ids_and_text_with_and_without_log_probabilities(
    base_url: str, prompt: str, size: int, stream: bool
) -> None:
    def config(scorer: str) -> BeamSearchConfig:
        return BeamSearchConfig(
            beam_width=1,
            n_per_beam=1,
            proposal_temperature=0,
            tokens_per_step=size,
            max_tokens=12,
            scorer=scorer,
        )

    with trio.fail_after(120):
        async with Endpoint(base_url, stream=stream) as endpoint:
            scored = await beam_search(endpoint, prompt, config("power"))
            plain = await beam_search(endpoint, prompt, config("equal"))
    (one,), (other,) = scored.beams, plain.beams
    assert ids_of(one) == ids_of(other)
    assert other.full_text == one.full_text.rstrip("\ufffd")
    assert (other.logprob, other.tokens, other.exact) == (None, (), True)


async def test_a_best_of_n_by_a_function_asks_for_none(base_url: str) -> None:
    strategy = best_of_n(3, scorer=lambda beams, _: [len(b.text) for b in beams], max_tokens=8)
    with trio.fail_after(120):
        async with Endpoint(base_url) as endpoint:
            result = await search(endpoint, "Once upon a time", strategy)
    assert [len(beam.text) for beam in result.beams] == sorted(
        (len(beam.text) for beam in result.beams), reverse=True
    )
    assert result.exact
