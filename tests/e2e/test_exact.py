"""200 random searches on the real model: every score, every text and every replay is exact.

They run on two servers of the same model, and what the one has found (the best beam, or
the last) is scored again by the other, so that no cache can vouch for itself. Some of them run on both,
in another order, and must find the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio

from tests.e2e.conftest import served
from tests.e2e.scoring import Scorer, scorer
from trio_beam import Beam, BeamSearchConfig, Endpoint, SearchResult, beam_search

Prompt = str | list[dict[str, str]]
SMALL = ((1, 1), (1, 1), (2, 1), (1, 2), (2, 2))
#: Searches, by number, of more tokens: blocks of 6, 7 and 5.
LONG = {6: 4, 12: 8, 13: 9, 17: 5, 18: 12}
#: llama.cpp works on eight sequences in the time that it takes for four.
SLOTS = 8
SEARCHES = 20
#: From so many on llama.cpp computes a prompt otherwise than token by token, by up to 0.3 nats.
PROMPT_TOKENS = 64
#: Scripts whose searches have neighbours that are cancelled.
DISTURBED = {"Chinese", "emoji", "code"}
CANCELLED = 5
#: The first so many are searched for on both servers.
TWICE = 6
#: Searches at the same time; more would take each other's slots, and with them what is cached there.
TOGETHER = 2
PROMPTS: dict[str, tuple[str, ...]] = {
    "English": ("Once upon a time", "Dear Sir: ", "The capital of France"),
    "German": ("Grüße aus Köln! Übermäßig schöne Straßen", "Äpfel, Öl und Käse für", "süß"),
    "Chinese": ("从前有一座山,山里有", "漢字 漢字 漢", "你好,世界!"),
    "Arabic": ("السلام عليكم ورحمة", "كان يا ما كان", "مَرْحَبًا"),
    "Devanagari": ("नमस्ते दुनिया, मैं", "क्षत्रिय ज्ञानी श्री", "कि की कु कू"),
    "emoji": ("👩‍👩‍👧 👨🏽‍🚀", "Repeat: 🦜🫠漢字 🦜🫠", "🏳️‍🌈"),
    "code": ("def add(a, b):\n    return", "for (int i = 0; i <", "SELECT * FROM"),
    "numbers": ("1, 2, 3, 4,", "3.14159265358979", "12 + 30 ="),
    "whitespace": (" ", "\n\n", "\t \u3000"),
    "marks": ("e\u0301 a\u0308 o\u0302 e\u0301 a\u0308", "Z\u0351\u036b\u0343a\u030al", "ก็ ที่"),
}


@attrs.frozen
class Case:
    prompt: Prompt
    config: BeamSearchConfig
    stream: bool


def cases(script: str) -> list[Case]:
    """Twenty searches; all block lengths, widths and numbers of samples come up in each script."""
    draw = random.Random(script)
    return [_case(number, PROMPTS[script][number % 3], draw) for number in range(SEARCHES)]


def _case(number: int, text: str, draw: random.Random) -> Case:
    # Nine searches have all widths and numbers of samples; the others are small ones.
    width, n = (number % 3 + 1, number // 3 % 3 + 1) if number < 9 else draw.choice(SMALL)
    temperature = 0.0 if width * n == 1 else draw.choice([1.0, 1.0, 0.6, 1.4])
    config = BeamSearchConfig(
        tokens_per_step=number % 7 + 1,
        beam_width=width,
        n_per_beam=n,
        max_tokens=LONG.get(number) or draw.choice([1, 2, 2, 3, 3, 4, 5]),
        proposal_temperature=temperature,
        seed=draw.randrange(10**9),
        top_logprobs=draw.choice([0, 0, 0, 3]),
        early_stopping=draw.choice([True, False]),
    )
    chat = number % 4 == 1
    return Case([{"role": "user", "content": text}] if chat else text, config, number % 5 == 2)


@pytest.fixture(scope="module")
def one(short_model: Path) -> Iterator[str]:
    with served(short_model, SLOTS) as url:
        yield url


@pytest.fixture(scope="module")
def other(short_model: Path) -> Iterator[str]:
    with served(short_model, SLOTS) as url:
        yield url


async def search_all(base_url: str, which: list[Case], together: int) -> list[SearchResult]:
    """The results of all cases, some at the same time."""
    limit = trio.CapacityLimiter(together)
    results: dict[int, SearchResult] = {}

    async def run(number: int, case: Case) -> None:
        async with limit:
            endpoint = streamed if case.stream else plain
            results[number] = await beam_search(endpoint, case.prompt, case.config)

    async with (
        Endpoint(base_url) as plain,
        Endpoint(base_url, stream=True) as streamed,
        trio.open_nursery() as nursery,
    ):
        for number, case in enumerate(which):
            nursery.start_soon(run, number, case)
    return [results[number] for number in range(len(which))]


async def check(server: Scorer, case: Case, result: SearchResult, place: int) -> None:
    """Whether the beam of that place is what the server says of its tokens."""
    assert result.exact
    assert 1 <= len(result.beams) <= case.config.beam_width
    prompt = case.prompt
    if not isinstance(prompt, str):
        prompt = (await server.post("/apply-template", messages=prompt))["prompt"]
    before = (await server.post("/tokenize", content=prompt, add_special=True))["tokens"]
    assert len(before) < PROMPT_TOKENS
    beam = result.beams[place]
    ids = ids_of(beam)
    assert beam.exact
    assert 1 <= len(ids) == beam.length <= case.config.max_tokens
    again = await server.score(prompt, ids)
    assert [token.logprob for token in beam.tokens] == pytest.approx(again, abs=1e-3)
    assert beam.logprob == pytest.approx(sum(again), abs=1e-3)
    assert beam.score == pytest.approx(4 * sum(again) / beam.length**0.6, abs=4e-3)
    await check_text(server, before, beam)


async def check_text(server: Scorer, before: list[int], beam: Beam) -> None:
    """The text is what the tokens spell, whatever characters were split between them and blocks."""
    data = b"".join([token.bytes or b"" for token in beam.tokens])
    assert beam.text == data.decode("utf-8", "replace")
    shown = [token.id for token in beam.tokens if token.bytes]  # an end of text is no text
    known = (await server.post("/detokenize", tokens=before))["content"]
    whole = (await server.post("/detokenize", tokens=[*before, *shown]))["content"]
    # Of a character that is cut off at the end each decoder makes as many U+FFFD as it likes.
    assert whole.rstrip("\ufffd") == (known + beam.text).rstrip("\ufffd")


def ids_of(beam: Beam) -> list[int]:
    return [token.id for token in beam.tokens if token.id is not None]


def spelt(result: SearchResult) -> list[tuple[list[int], str, int]]:
    return [(ids_of(beam), beam.text, beam.multiplicity) for beam in result.beams]


def scores(result: SearchResult) -> list[float]:
    return [beam.score for beam in result.beams]


def test_the_cases_are_all_there_should_be() -> None:
    every = [case for script in PROMPTS for case in cases(script)]
    assert len(every) == 200
    for script in PROMPTS:
        shapes = [case.config for case in cases(script)]
        assert {shape.tokens_per_step for shape in shapes} == set(range(1, 8))
        assert {(s.beam_width, s.n_per_beam) for s in shapes} == {
            (width, n) for width in (1, 2, 3) for n in (1, 2, 3)
        }
        assert {min(s.tokens_per_step, s.max_tokens) for s in shapes} >= {1, 2, 3, 4, 5, 6, 7}
        assert {case.stream for case in cases(script)} == {True, False}


async def disturb(base_url: str, prompts: list[Prompt]) -> None:
    """Search a few times, and be cancelled somewhere in the middle."""
    draw = random.Random(5)
    config = BeamSearchConfig(beam_width=2, n_per_beam=2, tokens_per_step=4, max_tokens=100)
    async with Endpoint(base_url) as plain, Endpoint(base_url, stream=True) as streamed:
        for _ in range(CANCELLED):
            with trio.move_on_after(draw.uniform(0.01, 0.5)):
                await beam_search(draw.choice([plain, streamed]), draw.choice(prompts), config)


@pytest.mark.parametrize("script", PROMPTS)
async def test_exact(one: str, other: str, script: str) -> None:
    which = cases(script)
    found: dict[str, dict[int, SearchResult]] = {}

    async def run(base_url: str, order: int) -> None:
        async with trio.open_nursery() as neighbours:
            if script in DISTURBED:
                neighbours.start_soon(disturb, base_url, [case.prompt for case in which])
            mine = [n for n in range(SEARCHES) if n < TWICE or (n % 2 == 0) == (base_url == one)]
            results = await search_all(base_url, [which[n] for n in mine[::order]], TOGETHER)
            found[base_url] = dict(zip(mine[::order], results, strict=True))

    with trio.fail_after(300):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, one, 1)
            nursery.start_soon(run, other, -1)
        for number in range(TWICE):
            mine, theirs = found[one][number], found[other][number]
            assert spelt(mine) == spelt(theirs)
            assert scores(mine) == pytest.approx(scores(theirs), abs=1e-4)
            assert mine.usage.completion_tokens == theirs.usage.completion_tokens
        async with (
            scorer(one, SLOTS) as judge,
            scorer(other, SLOTS) as other_judge,
            trio.open_nursery() as nursery,
        ):
            for number, case in enumerate(which):
                server, searched = (judge, other) if number % 2 else (other_judge, one)
                # The best beam of two searches, the last of the third.
                place = -1 if number % 3 == 2 else 0
                nursery.start_soon(check, server, case, found[searched][number], place)
