"""Draw the pictures of docs/concepts.md, each from a search that is run here, in virtual time.

    uv run --group dev python scripts/draw_concepts.py
    uv run --group dev python scripts/draw_concepts.py --check

The second changes nothing, and fails where a picture is out of date.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import attrs
import trio
import trio.testing
from svg import AMBER, BLUE, GREEN, GREY, INK, PALE, RED, Svg

import trio_beam
from trio_beam.core.beam_search.phases import TRANSITIONS, Phase
from trio_beam.testing import FakeEndpoint

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"


@attrs.frozen(eq=False)
class Selected:
    """A round and the beams that a selection kept of it."""

    scored: trio_beam.ScoredRound
    kept: trio_beam.Population


@attrs.frozen(eq=False)
class Recorded(trio_beam.Selection):
    """Another selection, with everything written down."""

    inner: trio_beam.Selection
    rounds: list[Selected] = attrs.field(factory=list)
    weighted: ClassVar[bool] = False

    def select(
        self, scored: trio_beam.ScoredRound, config: trio_beam.BeamSearchConfig
    ) -> trio_beam.Population:
        kept = self.inner.select(scored, config)
        self.rounds.append(Selected(scored, kept))
        return kept


class RecordedParticles(Recorded):
    """The same for a selection with weights."""

    weighted: ClassVar[bool] = True
    deduplicates: ClassVar[bool] = False


def recorded(selection: Recorded, **parameters: Any) -> list[Selected]:
    """Search over the fake model; returns the rounds."""
    config = trio_beam.BeamSearchConfig(selection=selection, **parameters)

    async def main() -> None:
        await trio_beam.search(FakeEndpoint(), "Once upon a time", config)

    trio.run(main)
    return selection.rounds


def draw_round() -> Svg:
    """The second round of a beam search: expand, score, select."""
    rounds = recorded(
        Recorded(trio_beam.TopK()),
        beam_width=2,
        n_per_beam=3,
        tokens_per_step=3,
        max_tokens=9,
        seed=4,
    )
    before, now = rounds[0].kept.active, rounds[1]
    stays = {id(beam) for beam in [*now.kept.active, *now.kept.ended]}
    picture = Svg(780, 330, "A round: two beams, three continuations of each, the best two stay")
    for x, words in (
        (20, "beams"),
        (250, "candidates, all requested at the same time"),
        (600, "score"),
    ):
        picture.text(x, 28, words, bold=True)
    candidates = [beam for group in now.scored.groups for beam in group]
    for rank, beam in enumerate(before):
        group = [one for one in candidates if one.parent is beam]
        assert len(group) == 3
        y = 45 + rank * 140
        picture.rect(20, y + 38, 170, 34, fill=PALE, line=INK)
        picture.text(105, y + 60, beam.text.strip(), anchor="middle")
        for index, candidate in enumerate(group):
            top = y + index * 40
            stay = id(candidate) in stays
            colour = BLUE if stay else GREY
            picture.line((190, y + 55), (248, top + 17), colour=colour, arrow=True)
            picture.rect(250, top, 320, 34, fill="#ffffff", line=colour, dashed=not stay)
            fresh = candidate.text[len(beam.text) :]
            picture.text(262, top + 22, f"… {fresh.strip()}", colour=INK if stay else GREY)
            picture.text(600, top + 22, f"{candidate.score:.2f}", colour=colour, bold=stay)
            fate = ("ended" if candidate.ended else "goes on") if stay else "dropped"
            picture.text(670, top + 22, fate, colour=colour)
    return picture


@attrs.define
class Bar:
    """What became of a beam's request: when it began and ended (seconds), and how."""

    start: float
    end: float = 0.0
    fate: str = "cancelled"


#: A search whose particles are drawn anew in some rounds and not in others, and do not end early.
PARTICLES_SEED = 104
#: Seconds that each beam's request takes; the third fails then.
LATENCIES = (2.0, 4.5, 3.0, 6.0)
FAILING = 2


def timeline(on_beam_failure: Any) -> tuple[list[Bar], float]:
    """Run a round of four beams, one of which fails; returns the beams and when the search was over."""
    bars: dict[int, Bar] = {}

    async def before(request: trio_beam.SampleRequest) -> None:
        if request.beam.continuation is None:  # the first round, which makes the beams
            return
        number = len(bars)
        bar = bars[number] = Bar(trio.current_time() - begin)
        try:
            await trio.sleep(LATENCIES[number])
            if number == FAILING:
                bar.fate = "failed"
                raise trio_beam.ServerError("out of memory", status=501)
            bar.fate = "answered"
        finally:
            bar.end = trio.current_time() - begin

    begin = end = 0.0

    async def main() -> None:
        nonlocal begin, end
        begin = trio.current_time()
        config = trio_beam.BeamSearchConfig(
            beam_width=4,
            n_per_beam=1,
            tokens_per_step=2,
            max_tokens=4,
            seed=2,
            deduplicate=False,
            early_stopping=False,
            on_beam_failure=on_beam_failure,
        )
        with contextlib.suppress(trio_beam.SearchFailed):
            await trio_beam.search(FakeEndpoint(before=before), "Once upon a time", config)
        end = trio.current_time() - begin

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return [bars[number] for number in sorted(bars)], end


def draw_cancellation() -> Svg:
    """One beam fails: what happens to the others, with either setting."""
    picture = Svg(
        780, 420, "A beam fails after three seconds: its siblings are cancelled, or go on"
    )
    scale, left = 90, 110
    colours = {"answered": GREEN, "failed": RED, "cancelled": AMBER}
    panels = (
        ("cancel_siblings", "SearchFailed, with the best so far"),
        ("drop_beam", "the round is scored without it"),
    )
    for panel, (setting, outcome) in enumerate(panels):
        top = 20 + panel * 200
        picture.text(20, top + 14, f'on_beam_failure="{setting}"', bold=True)
        bars, end = timeline(setting)
        assert len(bars) == len(LATENCIES)
        for number, bar in enumerate(bars):
            y = top + 28 + number * 32
            colour = colours[bar.fate]
            picture.text(20, y + 18, f"beam {number + 1}")
            picture.rect(left, y, (bar.end - bar.start) * scale, 24, fill=colour)
            over = left + bar.end * scale
            inside = over - left > 120
            picture.text(
                over - 8 if inside else over + 8,
                y + 17,
                "cancelled: socket closed" if bar.fate == "cancelled" else bar.fate,
                anchor="end" if inside else "start",
                colour="#ffffff" if inside else colour,
            )
        x = left + end * scale
        picture.line((x, top + 22), (x, top + 160), colour=INK, dashed=True)
        picture.text(min(x + 6, 770), top + 172, outcome, anchor="start" if x < 500 else "end")
        picture.text(left, top + 172, "0 s", colour=GREY)
        picture.text(x, top + 14, f"{end:g} s", colour=GREY, anchor="middle")
    return picture


def draw_particles() -> Svg:
    """Particles of a sequential Monte Carlo: their weights, and how they are drawn anew."""
    rounds = recorded(
        RecordedParticles(trio_beam.Resample(ess_threshold=0.5, alpha_ramp_tokens=0)),
        beam_width=8,
        n_per_beam=1,
        tokens_per_step=2,
        max_tokens=8,
        alpha=3.0,
        seed=PARTICLES_SEED,
    )
    picture = Svg(780, 370, "Eight particles in four rounds: heavy ones are drawn several times")
    lanes = list(range(8))
    for number, selected in enumerate(rounds):
        x = 80 + number * 190
        picture.text(x, 28, f"round {number + 1}", anchor="middle", bold=True)
        beams = [beam for group in selected.scored.groups for beam in group]
        assert len(beams) == len(lanes), "texts that end early would need a lane of their own"
        for lane, weight in zip(lanes, shares(beams), strict=True):
            picture.circle(x, 62 + lane * 36, 2 + 24 * weight**0.5, fill=BLUE)
        kept = [*selected.kept.active, *selected.kept.ended]
        sources = [place_of(beam, beams) for beam in kept]
        drawn = len(set(sources)) < len(kept)
        if number + 1 < len(rounds):
            before, lanes = lanes, list(range(8))
            order = sorted(range(8), key=lambda place: before[sources[place]])
            lanes = [order.index(place) for place in range(8)]
            for place, source in enumerate(sources):
                start, end = 62 + before[source] * 36, 62 + lanes[place] * 36
                picture.line((x, start), (x + 172, end), colour=RED if drawn else GREY, arrow=True)
            picture.text(
                x + 95,
                352,
                "drawn anew by weight" if drawn else "weights are even enough",
                anchor="middle",
                colour=RED if drawn else GREY,
            )
    return picture


def place_of(beam: trio_beam.Beam, beams: Sequence[trio_beam.Beam]) -> int:
    """Where a kept beam stood among the candidates; only its weight may have changed."""
    return next(place for place, one in enumerate(beams) if one.continuation is beam.continuation)


def shares(beams: Sequence[trio_beam.Beam]) -> list[float]:
    """The weights of particles as shares of 1."""
    greatest = max(beam.log_weight for beam in beams)
    raw = [math.exp(beam.log_weight - greatest) for beam in beams]
    return [weight / sum(raw) for weight in raw]


#: Where each phase stands in the picture: the middle of its box.
PHASES = {
    Phase.READY: (110, 140),
    Phase.EXPANDING: (320, 140),
    Phase.SCORING: (500, 70),
    Phase.EVALUATING: (500, 210),
    Phase.FINISHED: (690, 105),
    Phase.FAILED: (690, 175),
}
#: From where to where each arrow goes, and by how much it is bent.
ARROWS = {
    (Phase.READY, Phase.EXPANDING): ((165, 134), (263, 134), 0),
    (Phase.READY, Phase.EVALUATING): ((140, 158), (443, 208), 14),
    (Phase.EXPANDING, Phase.READY): ((265, 147), (167, 147), 0),
    (Phase.EXPANDING, Phase.SCORING): ((355, 124), (443, 74), 0),
    (Phase.EXPANDING, Phase.EVALUATING): ((355, 156), (443, 206), 0),
    (Phase.SCORING, Phase.EVALUATING): ((500, 86), (500, 192), 0),
    (Phase.SCORING, Phase.READY): ((445, 64), (110, 122), -45),
    (Phase.EVALUATING, Phase.READY): ((445, 216), (110, 158), 45),
    (Phase.EVALUATING, Phase.EVALUATING): ((480, 226), (524, 228), -22),
}


def draw_phases() -> Svg:
    """The phases of the machine, and which may follow which."""
    picture = Svg(780, 280, "The phases of a search")
    picture.rect(35, 30, 545, 230, line=GREY, dashed=True, radius=8)
    for phase, following in TRANSITIONS.items():
        for other in sorted(following, key=lambda one: one.value):
            if TRANSITIONS[other]:
                start, end, bend = ARROWS[phase, other]
                picture.line(start, end, colour=INK, arrow=True, bend=bend)
        # Every phase may end the search: the frame stands for all of them.
        assert not following or {Phase.FINISHED, Phase.FAILED} <= following
    picture.line((580, 105), (633, 105), colour=INK, arrow=True)
    picture.line((580, 175), (633, 175), colour=RED, arrow=True)
    for phase, (x, y) in PHASES.items():
        last = not TRANSITIONS[phase]
        picture.rect(x - 55, y - 16, 110, 32, fill=PALE, line=INK, radius=16 if last else 4)
        picture.text(x, y + 5, phase.value, anchor="middle")
    return picture


DRAWN = {
    "round.svg": draw_round,
    "cancellation.svg": draw_cancellation,
    "particles.svg": draw_particles,
    "phases.svg": draw_phases,
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if a picture is out of date"
    )
    check = parser.parse_args().check
    stale = 0
    for name, draw in DRAWN.items():
        path, content = PICTURES / name, str(draw())
        if path.exists() and path.read_text("utf-8") == content:
            continue
        stale += 1
        if check:
            print(f"{name} is out of date: uv run --group dev python scripts/draw_concepts.py")
        else:
            path.write_text(content, "utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
