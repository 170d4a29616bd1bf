"""A recorded search, decided again: bit for bit, or by another strategy from the same samples."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

import trio_beam
from tests.traces.searches import Unreliable, facts, replayed, run_recorded
from trio_beam import (
    Beam,
    BeamSearchConfig,
    Confidence,
    ConfigError,
    Continuation,
    Judge,
    Lookahead,
    McmcConfig,
    Rating,
    ReplayError,
    Resample,
    RewardModel,
    SampleRequest,
    SearchFailed,
    SearchResult,
    Steps,
    Strategy,
    Token,
    ToolCall,
    Vote,
)
from trio_beam.strategies import self_consistency
from trio_beam.testing import FakeEndpoint, Reply, ScriptedModel

FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def length(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    del config
    return [float(len(beam.text)) for beam in beams]


async def awaited_length(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    return length(beams, config)


def rewards(prompt: str, candidates: Sequence[Sequence[str]]) -> list[list[float]]:
    return [[1 / (1 + len(step)) for step in steps] for steps in candidates]


JUDGE = Judge(yes="the", no="a", top_logprobs=8, max_tokens=1)
SCORERS: list[Any] = [
    *("power", "mean_logprob", "equal", length, awaited_length, JUDGE),
    *(Rating(minimum=0, maximum=9, samples=2), RewardModel(function=rewards, aggregate="mean")),
]
VOTES = st.builds(
    Vote, st.sampled_from([None, r"\w+"]), by=st.sampled_from(["count", "score", "reward"])
)
SHARED: dict[str, Any] = {
    "seed": st.none() | st.integers(0, 99) | st.just(2**80),
    "max_tokens": st.integers(1, 10),
    "stop": st.sampled_from([(), (".",), (" ran", "dog sat")]),
    "on_beam_failure": st.sampled_from(["cancel_siblings", "drop_beam"]),
    "max_requests": st.none() | st.integers(1, 60),
    "max_total_tokens": st.none() | st.integers(60, 400),
    "top_logprobs": st.sampled_from([0, 2]),
    "reasoning": st.sampled_from(["auto", "off"]),
}
BLOCKS: dict[str, Any] = SHARED | {"tokens_per_step": st.integers(1, 4)}
WIDTHS: dict[str, Any] = {"beam_width": st.integers(1, 4), "n_per_beam": st.integers(1, 3)}
TARGET: dict[str, Any] = {
    "alpha": st.sampled_from([1.0, 4.0]),
    "beta": st.sampled_from([0.5, 2.0]),
    "reward_at": st.sampled_from(["block", "end"]),
    "scorer": st.sampled_from(SCORERS),
    "proposal_temperature": st.sampled_from([0.5, 1.0]),
}


def valid(kind: Any, **parameters: Any) -> st.SearchStrategy[Any]:
    """Those of the configurations that are valid."""

    def made(values: dict[str, Any]) -> Any:
        try:
            return kind(**values)
        except ConfigError:
            return None

    return st.fixed_dictionaries(parameters).map(made).filter(bool)


BEAMS = valid(
    BeamSearchConfig,
    **BLOCKS,
    **WIDTHS,
    deduplicate=st.booleans(),
    early_stopping=st.sampled_from([True, False, "bound"]),
    selection=st.sampled_from(["top_k", "subtrees"]),
    scorer=st.sampled_from(SCORERS),
    answer=st.just("best") | VOTES | st.builds(trio_beam.Select, orders=st.integers(1, 3)),
    block=st.sampled_from([None, Steps(" dog"), Steps((".", " cat"), min_tokens=1)]),
    reasoning_budget=st.none() | st.integers(1, 3),
)
PARTICLES = valid(
    BeamSearchConfig,
    **BLOCKS,
    **WIDTHS,
    **TARGET,
    selection=st.builds(
        Resample,
        ess_threshold=st.sampled_from([0.3, 1.0]),
        lookahead=st.none() | st.builds(Lookahead, tokens=st.integers(1, 3), rollouts=st.just(2)),
        alpha_ramp_tokens=st.sampled_from([None, 0, 3]),
        moves=st.integers(0, 2),
    ),
    answer=st.just("best") | VOTES,
)
VOTERS = valid(
    self_consistency,
    **SHARED,
    n=st.integers(2, 9),
    key=st.sampled_from([None, r"[t.]", trio_beam.answers.tool_calls]),
    settle=st.sampled_from([None, "certain", 0.8]),
    ahead=st.integers(1, 4),
    confidence=st.none()
    | st.builds(
        Confidence,
        warm_up=st.integers(1, 4),
        keep=st.sampled_from([0.3, 0.9]),
        window=st.integers(1, 3),
        top=st.sampled_from([0, 2]),
    ),
)
ENUMERATED = valid(
    BeamSearchConfig,
    tokens_per_step=st.just(1),
    max_tokens=st.integers(1, 6),
    beam_width=st.integers(1, 4),
    proposal=st.just("enumerate"),
)
CHAINS = valid(McmcConfig, **BLOCKS, **TARGET, steps=st.integers(0, 3), chains=st.integers(1, 3))


def check_repeats(
    strategy: Strategy, within: float, *, most: int | None = None, **given: Any
) -> SearchResult | SearchFailed:
    model = Unreliable(**given, max_per_request=most)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        recorded = run_recorded(path, model, strategy, within=within)
        again = replayed(path)
    assert facts(again) == facts(recorded)
    return recorded


CONDITIONS = {
    "chance": st.integers(0, 10**6),
    "failing": st.sampled_from([0.0, 0.1, 0.4]),
    "within": st.sampled_from([float("inf"), 0.05, 0.6, 1.5, 2.5]),
    "most": st.sampled_from([None, 1, 2]),
    "thinks": st.booleans(),
}


@FEW
@given(strategy=BEAMS, **CONDITIONS)
def test_a_beam_search_repeats(strategy: BeamSearchConfig, **conditions: Any) -> None:
    check_repeats(strategy, **conditions)


@FEW
@given(strategy=PARTICLES, **CONDITIONS)
def test_particles_repeat(strategy: BeamSearchConfig, **conditions: Any) -> None:
    check_repeats(strategy, **conditions)


@FEW
@given(strategy=VOTERS | ENUMERATED, **CONDITIONS)
def test_votes_and_enumeration_repeat(strategy: BeamSearchConfig, **conditions: Any) -> None:
    check_repeats(strategy, **conditions)


@FEW
@given(strategy=CHAINS, **CONDITIONS)
def test_chains_repeat(strategy: McmcConfig, **conditions: Any) -> None:
    check_repeats(strategy, **conditions)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_particles_with_a_reference_repeat(tmp_path: Path, temperature: float) -> None:
    config = BeamSearchConfig(
        selection=Resample(),
        proposal_temperature=temperature,
        beam_width=3,
        n_per_beam=1,
        tokens_per_step=2,
        max_tokens=6,
        scorer=length,
    )
    before = check_repeats(config, float("inf"), chance=1, failing=0.0)
    assert isinstance(before, SearchResult)
    config = attrs.evolve(config, selection=Resample(reference=before.beams[0]))
    check_repeats(config, float("inf"), chance=2, failing=0.0)
    path = tmp_path / "run.jsonl"
    run_recorded(path, FakeEndpoint(), config, prompts=False, texts=False)
    assert '"text"' not in path.read_text()


class Fixed(FakeEndpoint):
    """Sample k of a beam is always the same, whoever asks."""

    async def answer(self, request: SampleRequest, prompt: str) -> Sequence[Continuation]:
        return await super().answer(attrs.evolve(request, seed=0), prompt)


#: What a replay cannot change, and the seed, so that both make the same draws.
_SHARED = ("tokens_per_step", "max_tokens", "top_logprobs", "proposal_temperature", "seed", "stop")


@FEW
@given(strategies=st.one_of([st.tuples(kind, kind) for kind in (BEAMS, PARTICLES, CHAINS)]))
def test_what_another_strategy_would_have_chosen(strategies: tuple[Any, Any]) -> None:
    """Where every sample is the same whoever asks, that is what it chooses; or the trace lacks something."""
    recorded, other = strategies
    shared: dict[str, Any] = {name: getattr(recorded, name) for name in _SHARED}
    shared |= {"seed": recorded.seed or 7, "max_requests": None, "max_total_tokens": None}
    if isinstance(recorded, BeamSearchConfig):
        shared |= {"block": recorded.block, "reasoning_budget": recorded.reasoning_budget}
    try:
        recorded, other = attrs.evolve(recorded, **shared), attrs.evolve(other, **shared)
    except ConfigError:
        return
    with tempfile.TemporaryDirectory() as folder:
        path, second = Path(folder) / "run.jsonl", Path(folder) / "other.jsonl"
        run_recorded(path, Fixed(), recorded)
        chosen = chosen_or_missing(path, other)
        if isinstance(chosen, str):
            assert "round" in chosen or "asked" in chosen
            return
        assert facts_but_cost(chosen) == facts_but_cost(run_recorded(second, Fixed(), other))


def chosen_or_missing(path: Path, strategy: Strategy) -> SearchResult | SearchFailed | str:
    """What a replay returns or raises; what is missing, if something is."""
    try:
        return replayed(path, strategy)
    except ReplayError as error:
        return str(error)


def facts_but_cost(outcome: SearchResult | SearchFailed) -> Any:
    result = outcome.partial if isinstance(outcome, SearchFailed) else outcome
    return str(outcome) if result is not outcome else "", facts(result) | {"usage": None}


def shown(value: Any) -> str:
    """The id of a case, without addresses of functions."""
    return re.sub(r"<function (\w+) at \w+>", r"\1", str(value))


RECORDED = BeamSearchConfig(
    beam_width=4, n_per_beam=3, tokens_per_step=2, max_tokens=8, seed=5, early_stopping=False
)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A beam search that has sampled much."""
    path = tmp_path_factory.mktemp("traces") / "run.jsonl"
    run_recorded(path, Fixed(), RECORDED)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": 1.0, "use_length_penalty": False},
        {"scorer": length},
        {"scorer": awaited_length, "answer": Vote(r"\w+", by="count")},
        {"answer": Vote(len)},
        {"n_per_beam": 2, "beam_width": 1, "scorer": "mean_logprob"},
        {"deduplicate": False},
    ],
    ids=shown,
)
def test_what_was_sampled_is_enough_for(
    trace: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    other = attrs.evolve(RECORDED, **changes)
    chosen = chosen_or_missing(trace, other)
    if isinstance(chosen, str):
        assert "scorer" in changes, chosen  # other beams are better then
        return
    assert isinstance(chosen, SearchResult)
    direct = run_recorded(tmp_path / "other.jsonl", Fixed(), other)
    assert facts_but_cost(chosen) == facts_but_cost(direct)
    assert chosen.usage.completion_tokens <= trio_beam.replay(trace).usage.completion_tokens


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beam_width": 5}, "round 1: the beam without text was continued 12 times, not 15 times"),
        ({"n_per_beam": 4}, "round 1: the beam without text was continued 12 times, not 16 times"),
        ({"tokens_per_step": 3}, "was continued by 2 tokens, not by 3"),
        ({"proposal_temperature": 0.5}, "proposal_temperature=1.0, and not with 0.5"),
        ({"top_logprobs": 3}, "0 alternatives per token, not 3"),
        ({"scorer": JUDGE}, "was never shown to the judge"),
        ({"scorer": RewardModel(function=rewards)}, "was never asked"),
        ({"selection": Resample(lookahead=Lookahead(1))}, "was never rolled out"),
        ({"max_tokens": 10}, "round 5: the beam '"),
    ],
    ids=shown,
)
def test_what_is_missing_is_named(trace: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ReplayError) as caught:
        trio_beam.replay(trace, attrs.evolve(RECORDED, **changes))
    assert message in str(caught.value)


def test_a_judge_may_read_the_recorded_answers_otherwise(tmp_path: Path) -> None:
    config = attrs.evolve(RECORDED, scorer=JUDGE)
    run_recorded(tmp_path / "run.jsonl", Fixed(), config)
    swapped = attrs.evolve(JUDGE, yes="a", no="the")
    known = trio_beam.replay(tmp_path / "run.jsonl")
    assert isinstance(known, SearchResult)
    once = attrs.evolve(config, max_tokens=2, scorer=swapped)
    found = trio_beam.replay(tmp_path / "run.jsonl", once)
    direct = run_recorded(tmp_path / "other.jsonl", Fixed(), once)
    assert facts_but_cost(found) == facts_but_cost(direct)
    other = attrs.evolve(JUDGE, question="Is this good: {text}")
    with pytest.raises(ReplayError, match="was asked another question"):
        trio_beam.replay(tmp_path / "run.jsonl", attrs.evolve(config, scorer=other))


def test_a_models_choice_repeats(tmp_path: Path) -> None:
    script = {"Once": ["one end", "two end", "three end"], "": ["2", "1"]}

    class Chooser(ScriptedModel):
        async def start(self, prompt: Any, context: Any) -> Any:
            question = (
                prompt if prompt.text == "Once" else attrs.evolve(prompt, text="", messages=None)
            )
            return await super().start(question, context)

    config = BeamSearchConfig(
        beam_width=3, n_per_beam=1, max_tokens=4, answer=trio_beam.Select(orders=2)
    )
    recorded = run_recorded(tmp_path / "run.jsonl", Chooser(script), config)
    assert isinstance(recorded, SearchResult)
    assert recorded.votes
    assert facts(trio_beam.replay(tmp_path / "run.jsonl")) == facts(recorded)


@pytest.mark.parametrize("budget", [None, 2])
def test_thinking_messages_and_hostile_texts_repeat(tmp_path: Path, budget: int | None) -> None:
    forced = ("<think>\u202e", " why", "\n</think>\n\n", "so", " it")  # as a budget ends it
    script: list[Any] = [
        "<think>\u202e why \x1b[2J</think> because",
        "no 🚀 <script>",
        ("so be it", -2.5),
        Reply(tokens=[Token(word, -1.0) for word in forced]),
    ]
    prompt = [{"role": "user", "content": "Why?\u2028"}]
    config = BeamSearchConfig(
        beam_width=3, n_per_beam=1, tokens_per_step=2, max_tokens=6, reasoning_budget=budget
    )
    recorded = run_recorded(tmp_path / "run.jsonl", ScriptedModel(script), config, prompt=prompt)
    assert facts(trio_beam.replay(tmp_path / "run.jsonl")) == facts(recorded)


class Calls(FakeEndpoint):
    """Ends every block by a call of a tool."""

    async def answer(self, request: SampleRequest, prompt: str) -> Sequence[Continuation]:
        call = ToolCall("look", '{"at": 1}', "id 1")
        blocks = await super().answer(request, prompt)
        return [attrs.evolve(one, tool_calls=(call,), finish_reason="tool_calls") for one in blocks]


def test_tool_calls_and_fields_of_the_server_repeat(tmp_path: Path) -> None:
    config = attrs.evolve(RECORDED, extra_body={"routing": {"order": ["a", 1.5, None]}})
    recorded = run_recorded(tmp_path / "run.jsonl", Calls(), config)
    assert isinstance(recorded, SearchResult)
    assert recorded.beams[0].tool_calls[0].name == "look"
    assert facts(trio_beam.replay(tmp_path / "run.jsonl")) == facts(recorded)


def broken(beams: Sequence[Beam], config: object) -> list[float]:
    del config
    return [1 / (beam.length - 4) for beam in beams]


def short(beams: Sequence[Beam], config: object) -> list[float]:
    del config
    return [1.0] * (len(beams) - (beams[0].length > 3))


def infinite(beams: Sequence[Beam], config: object) -> list[float]:
    del config
    return [float("inf") if beam.length > 3 else 1.0 for beam in beams]


@pytest.mark.parametrize("scorer", [broken, short, infinite])
@pytest.mark.parametrize(
    "config",
    [
        RECORDED,
        attrs.evolve(RECORDED, selection=Resample()),
        McmcConfig(chains=2, tokens_per_step=2, max_tokens=8, seed=2, steps=1),
    ],
    ids=["beams", "particles", "chains"],
)
def test_a_scorer_that_failed_fails_again(tmp_path: Path, scorer: Any, config: Strategy) -> None:
    config = attrs.evolve(config, scorer=scorer)  # type: ignore[call-arg]  # both have one
    recorded = run_recorded(tmp_path / "run.jsonl", Fixed(), config)
    assert facts(replayed(tmp_path / "run.jsonl")) == facts(recorded)


def test_a_search_that_failed_before_its_first_round_repeats(tmp_path: Path) -> None:
    class Absent(FakeEndpoint):
        async def start(self, prompt: Any, context: Any) -> FakeEndpoint:
            raise trio_beam.ConnectionFailed(
                "refused", url="http://h/v1", attempts=3, never_sent=True
            )

    recorded = run_recorded(tmp_path / "run.jsonl", Absent(), RECORDED)
    assert facts(replayed(tmp_path / "run.jsonl")) == facts(recorded)


@pytest.mark.parametrize("scorer", [JUDGE, "power"])
def test_without_the_prompt_it_repeats_too(tmp_path: Path, scorer: Any) -> None:
    config = attrs.evolve(RECORDED, scorer=scorer)
    path = tmp_path / "run.jsonl"
    recorded = run_recorded(path, FakeEndpoint(), config, prompt="my secret", prompts=False)
    assert b"secret" not in path.read_bytes()
    assert facts(trio_beam.replay(path)) == facts(recorded)


def test_without_texts_nothing_can_be_decided(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    run_recorded(path, FakeEndpoint(), RECORDED, texts=False)
    assert b" cat" not in path.read_bytes()
    with pytest.raises(ReplayError, match="without texts"):
        trio_beam.replay(path)


def test_what_no_file_can_hold_has_to_be_given(tmp_path: Path) -> None:
    config = attrs.evolve(RECORDED, answer=Vote(len))
    recorded = run_recorded(tmp_path / "run.jsonl", FakeEndpoint(), config)
    with pytest.raises(ReplayError, match=r"key was len, which no file can hold: give it"):
        trio_beam.replay(tmp_path / "run.jsonl")
    assert facts(trio_beam.replay(tmp_path / "run.jsonl", config)) == facts(recorded)


def test_a_plain_call_cannot_wait_for_a_scorer(trace: Path) -> None:
    async def slow(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        await trio.sleep(1)
        return [0.0] * len(beams)

    config = attrs.evolve(RECORDED, scorer=slow)

    async def inside() -> None:
        with pytest.raises(ReplayError, match="waits for something"):
            trio_beam.replay(trace, config)

    trio.run(inside, clock=MockClock(autojump_threshold=0))


@FEW
@given(settle=st.sampled_from(["certain", 0.7]), width=st.integers(2, 9), **CONDITIONS)
def test_a_settled_vote_repeats(settle: Any, width: int, **conditions: Any) -> None:

    strategy = BeamSearchConfig(
        beam_width=width,
        n_per_beam=1,
        tokens_per_step=2,
        max_tokens=2,
        scorer="equal",
        deduplicate=False,
        answer=Vote(r"\w+", settle=settle, ahead=2),
        on_beam_failure="drop_beam",
        seed=1,
    )
    check_repeats(strategy, **conditions)
