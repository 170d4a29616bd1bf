"""A chain at the edges: no room, no end, no log q, no budget."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.core.builders import block
from trio_beam import ConfigError, McmcConfig
from trio_beam.core.beam import Beam
from trio_beam.core.block import CONTEXT, STOP, Continuation
from trio_beam.core.events import BeamFailed, ChainExtended, ChainStepped, Event
from trio_beam.core.mcmc.chain import Chain
from trio_beam.core.mcmc.metropolis import acceptance, positions
from trio_beam.core.mcmc.run import McmcRun
from trio_beam.core.steps import Expansion, Outcome, Round
from trio_beam.core.usage import Budget
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.errors import ContextOverflow, ServerError

FULL = ContextOverflow("it is full", status=400)


def make(at: float = 0.5, meter: UsageMeter | None = None, **changes: Any) -> Chain:
    values: dict[str, Any] = {"tokens_per_step": 2, "max_tokens": 4, "steps": 1}
    config = McmcConfig(**(values | changes))
    return Chain(config, 0, lambda name: at, config.seed, meter or UsageMeter())


def wanted(chain: Chain) -> Expansion:
    step = chain.step()
    assert isinstance(step, Round)
    return step.expansions[0]


def give(chain: Chain, *texts: str, **changes: Any) -> tuple[Event, ...]:
    wanted(chain)
    return chain.receive(Outcome(rank=0, continuations={0: block(*texts, **changes)})).events


def fail(chain: Chain, error: Any = FULL) -> tuple[Event, ...]:
    wanted(chain)
    return chain.receive(Outcome(rank=0, continuations={}, errors=(error,))).events


def test_blocks_and_steps_take_turns() -> None:
    chain = make()
    assert (wanted(chain).beam.length, wanted(chain).max_tokens) == (0, 2)
    [extended] = give(chain, "a", "b")
    assert extended == ChainExtended(chain=0, block=1, blocks=2, length=2)
    assert isinstance(extended, ChainExtended)
    assert extended.beam.text == "ab"
    assert (wanted(chain).beam.text, wanted(chain).max_tokens) == ("a", 1)
    [stepped] = give(chain, "c", logprob=-0.5)
    assert stepped == ChainStepped(
        chain=0, block=1, step=1, position=1, length=2, probability=1.0, accepted=True
    )
    assert (wanted(chain).beam.text, wanted(chain).max_tokens) == ("ac", 2)
    give(chain, "d", "e")
    assert (wanted(chain).beam.text, wanted(chain).max_tokens) == ("ac", 2)
    [stepped] = give(chain, "f", "g", logprob=-2)
    assert isinstance(stepped, ChainStepped)
    assert stepped.probability == pytest.approx(math.exp(4 * -2 + 2))  # alpha 4, 2 nats less
    assert stepped.beam is chain.beam
    assert (chain.beam.text, chain.end, chain.blocks) == ("acde", "done", 2)
    assert chain.step() is None


def test_a_server_that_gives_little_is_asked_again() -> None:
    chain = make(tokens_per_step=3, seed=7)
    assert give(chain, "a") == ()
    assert (wanted(chain).beam.text, wanted(chain).max_tokens) == ("a", 2)
    assert wanted(chain).seed == 7 + 1
    assert len(give(chain, "b", "c")) == 1


def test_an_ended_text_gets_steps_and_no_block() -> None:
    chain = make(at=0.0, max_tokens=6)
    give(chain, "a", "", reason=STOP)
    lengths = []
    while chain.end is None:
        lengths.append(wanted(chain).max_tokens)
        give(chain, "a", "", reason=STOP, logprob=-1.0)
    assert lengths == [2, 4, 6]
    chain = make(steps=0)
    give(chain, "a", "", reason=STOP)
    assert chain.end == "done"


def test_a_context_that_is_full_is_as_long_as_it_gets() -> None:
    chain = make(at=0.99, max_tokens=100, tokens_per_step=50)
    give(chain, "a", "b", reason=CONTEXT)
    assert wanted(chain).max_tokens == 49
    give(chain, "c", reason=CONTEXT)
    assert (chain.end, chain.beam.finish_reason) == ("done", CONTEXT)


def test_a_refused_block_leaves_the_one_before() -> None:
    chain = make()
    give(chain, "a", "b")
    give(chain, "c")
    assert fail(chain) == ()
    assert (chain.end, chain.beam.text, chain.beam.finish_reason) == ("done", "ac", CONTEXT)
    ended = make()
    give(ended, "a", "", reason=STOP)
    fail(ended)
    assert ended.beam.finish_reason == STOP
    begun = make()
    give(begun, "a")
    fail(begun)
    assert (begun.beam.text, begun.beam.finish_reason) == ("a", CONTEXT)


def test_a_prompt_without_room_is_a_failure() -> None:
    chain = make()
    [event] = fail(chain)
    assert isinstance(event, BeamFailed)
    assert chain.failure is event.failure
    assert chain.step() is None


def test_no_token_at_all() -> None:
    chain = make()
    give(chain)  # "length", and none
    assert (chain.end, chain.beam.finish_reason) == ("done", CONTEXT)
    state = McmcRun(McmcConfig(), 1)
    state.open()
    state.chains[0].beam = chain.beam
    assert state.result("max_tokens").score == -math.inf


def test_a_silent_end_can_be_drawn_again() -> None:
    chain = make(at=0.99)
    wanted(chain)
    end = Continuation(tokens=(), data=b"", finish_reason=STOP, exact=False)
    chain.receive(Outcome(rank=0, continuations={0: end}))
    assert positions(chain.beam) == 1
    assert (wanted(chain).beam.length, wanted(chain).max_tokens) == (0, 2)
    assert not chain.exact


def test_a_share_that_is_used_up_ends_the_chain_where_it_stands() -> None:
    chain = make(meter=UsageMeter(Budget(completion_tokens=3)), at=0.0)
    give(chain, "a", "b")
    assert chain.step() is None  # two more
    assert (chain.end, chain.beam.text) == ("budget", "ab")
    refused = make()
    wanted(refused)
    refused.receive(Outcome(rank=0, continuations={}, exhausted=True))
    assert (refused.end, refused.failure) == ("budget", None)


def test_what_cannot_be_weighed() -> None:
    def beam(logprob: float) -> Beam:
        return Beam().extend(block("a", logprob=logprob))

    assert acceptance(beam(-math.inf), beam(-1), 0, 4) == 1
    assert acceptance(beam(-1), beam(-math.inf), 0, 4) == 0
    assert acceptance(beam(-math.inf), beam(-math.inf), 0, 4) == 1
    assert acceptance(beam(-1), beam(-2), 0, 1e308) == 0
    assert acceptance(beam(-2), beam(-1), 0, 1e308) == 1
    assert acceptance(beam(-1), Beam(), 0, 4) == 0  # no way back


def test_shares_and_seeds_of_chains() -> None:
    state = McmcRun(McmcConfig(chains=3, seed=5, max_completion_tokens=1000, max_requests=11))
    state.meter.requests = 2  # taking the prompt
    state.open()
    assert [chain.meter.tokens_left for chain in state.chains] == [333] * 3
    seeds = set()
    for chain in state.chains:
        for _ in range(3):
            assert chain.meter.allows(1)
            chain.meter.requests += 1
            seeds.add(wanted(chain).seed if chain.meter.allows(1) else None)
            chain._samples += 1
        assert not chain.meter.allows(1)
    assert len(seeds - {None}) == 6
    assert state.result("budget").usage.requests == 11


@pytest.mark.parametrize("chains", [1, 2, 3])
def test_any_chain_may_be_the_answer(chains: int) -> None:
    firsts = set()
    for entropy in range(40):
        state = McmcRun(McmcConfig(chains=chains), entropy)
        state.open()
        for number, chain in enumerate(state.chains):
            chain.beam = Beam().extend(block(str(number)))
        beams = state.result("max_tokens").beams
        assert sorted(beam.text for beam in beams) == [str(number) for number in range(chains)]
        assert {beam.weight for beam in beams} == {1 / chains}
        assert {beam.score for beam in beams} == {-4.0}
        firsts.add(beams[0].text)
    assert len(firsts) == chains


def test_how_many_chains_may_fail() -> None:
    dropping = McmcConfig(chains=3, min_beams=2, on_beam_failure="drop_beam")
    for config, failures, failed in [
        (McmcConfig(chains=3), 1, True),
        (dropping, 1, False),
        (dropping, 2, True),
    ]:
        state = McmcRun(config)
        state.open()
        for chain in state.chains[:failures]:
            fail(chain, ServerError("it broke", status=500))
        assert state.failed == failed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("alpha", value) for value in (0, -1, math.nan, True, "4")],
        *[("proposal_temperature", value) for value in (0, -1, math.inf, None)],
        *[(field, 0) for field in ("tokens_per_step", "max_tokens", "chains", "min_beams")],
        *[("steps", value) for value in (-1, 1.0, None)],
        *[("seed", value) for value in (-1, 1.5)],
        *[("stop", value) for value in ("", [1], None)],
        ("min_beams", 2),
        ("beam_timeout", 0),
        ("on_beam_failure", "drop"),
        ("max_completion_tokens", 191),
        ("max_requests", 0),
    ],
)
def test_every_field_is_checked(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"^{field} must be ") as caught:
        McmcConfig(**{field: value})
    assert caught.value.field == field


def test_stop_is_given_as_in_a_search() -> None:
    assert McmcConfig(stop="x").stop == ("x",)
    assert McmcConfig(stop=["x", "y"]).stop == ("x", "y")
