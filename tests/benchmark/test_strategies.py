"""The strategies: what each asks a model for, its seeds, and how its parameters are refused."""

from __future__ import annotations

from typing import Any

import pytest

from trio_beam.answers import Vote
from trio_beam.benchmark.config import load_settings, parse_args
from trio_beam.benchmark.keys import canonical, strategy_groups
from trio_beam.benchmark.plan import make_plan
from trio_beam.benchmark.strategies import LabelledStrategy, enabled_strategies
from trio_beam.core.config import BeamSearchConfig, Lookahead
from trio_beam.core.delimiters import Steps
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.errors import ConfigError
from trio_beam.records.identity import digest_of
from trio_beam.rewards import RewardModel
from trio_beam.scorers import Judge
from trio_beam.selection import Resample
from trio_beam.testing import FakeEndpoint

KINDS = list(strategy_groups())
SHORT = ["benchmark.max_tokens=24", "beam_search.tokens_per_step=8", "mcmc.block_size=8"]
SHORT += ["mcmc.steps=2", "power.tokens_per_step=8", "power.particles=3", "best_of_n.n=4"]
SHORT += ["self_consistency.n=5", "mcmc_parallel.block_size=8", "mcmc_parallel.steps=1"]


def strategies(*words: str) -> list[LabelledStrategy]:
    return enabled_strategies(load_settings(parse_args([*SHORT, *words])))


def strategy(kind: str, *words: str) -> LabelledStrategy:
    (one,) = strategies("greedy.enabled=false", f"{kind}.enabled=true", *words)
    assert one.kind == canonical(f"{kind}.").removesuffix(".")
    return one


def test_they_come_in_the_order_of_their_groups() -> None:
    every = strategies(*[f"{kind}.enabled=true" for kind in reversed(KINDS)])
    assert [one.kind for one in every] == KINDS
    assert len({one.label for one in every}) == len(KINDS)


@pytest.mark.parametrize(
    ("kind", "words", "label", "width"),
    [
        ("greedy", [], "Greedy", 1),
        ("temperature_sampling", ["temperature_sampling.temperature=0.5"], "Temperature(T=0.5)", 1),
        (
            "beam_search",
            ["beam_search.beam_width=5", "beam_search.n_per_beam=3", "beam_search.alpha=2"],
            "BeamSearch(α=2.0,width=5,n=3,tps=8)",
            5,
        ),
        ("mcmc", ["mcmc.alpha=1.67", "mcmc.chains=2"], "MCMC(α=1.67,steps=2,B=8)", 2),
        ("mcmc_parallel", [], "ParallelMCMC(α=4.0,steps=1,B=8,N=4)", 4),
        ("best_of_n", [], "BestOfN(n=4,T=1.0)", 4),
        ("self_consistency", [], "SelfConsistency(n=5,T=1.0)", 5),
        (
            "self_consistency",
            ["self_consistency.vote_by=score", "self_consistency.temperature=0.8"],
            "SelfConsistency(n=5,by=score,T=0.8)",
            5,
        ),
        ("power", [], "PowerSampling(particles=3,α=4.0)", 3),
    ],
)
def test_its_name_says_what_matters(kind: str, words: list[str], label: str, width: int) -> None:
    one = strategy(kind, *words)
    assert (one.label, one.width) == (label, width)


async def test_greedy_is_one_request_at_temperature_0() -> None:
    model = FakeEndpoint()
    await strategy("greedy").search(model, "p", 1)
    (request,) = model.requests
    assert (request.n, request.max_tokens, request.temperature) == (1, 24, 0)


async def test_a_sample_is_one_request_at_its_temperature() -> None:
    model = FakeEndpoint()
    await strategy("temperature_sampling").search(model, "p", 1)
    (request,) = model.requests
    assert (request.n, request.max_tokens, request.temperature) == (1, 24, 0.8)


@pytest.mark.parametrize(
    ("kind", "n", "temperature"), [("best_of_n", 4, 1), ("self_consistency", 5, 1)]
)
async def test_samples_know_nothing_of_each_other(kind: str, n: int, temperature: float) -> None:
    model = FakeEndpoint()
    result = await strategy(kind).search(model, "p", 1)
    assert sum(request.n for request in model.requests) == n
    assert {(r.max_tokens, r.temperature, r.beam.length) for r in model.requests} == {
        (24, temperature, 0)
    }
    assert sum(beam.multiplicity for beam in result.beams) == n
    assert result.score == max(beam.score for beam in result.beams)


async def test_beam_search_goes_on_from_its_best_beams() -> None:
    model = FakeEndpoint()
    one = strategy("beam_search", "beam_search.beam_width=2", "beam_search.n_per_beam=2")
    result = await one.search(model, "p", 3)
    first, *later = model.requests
    assert (first.n, first.max_tokens, first.beam.length) == (4, 8, 0)
    assert later
    assert all(request.n == 2 and request.beam.length > 0 for request in later)
    assert len(result.beams) <= 2


async def test_power_has_weights_and_mcmc_has_chains() -> None:
    power = await strategy("power").search(FakeEndpoint(), "p", 1)
    assert sum(beam.weight or 0 for beam in power.beams) == pytest.approx(1)
    chains = await strategy("mcmc", "mcmc.chains=3").search(FakeEndpoint(), "p", 1)
    assert len(chains.beams) == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_the_same_seed_gives_the_same_answer(kind: str) -> None:
    one = strategy(kind)
    texts = [(await one.search(FakeEndpoint(), "p", seed)).text for seed in (5, 5, 6, 7, 8)]
    assert texts[0] == texts[1]
    assert len(set(texts)) > 1 or kind == "greedy"


@pytest.mark.parametrize("kind", KINDS)
def test_each_problem_has_a_seed_of_its_own(kind: str) -> None:
    one = strategy(kind)
    seeds = [one.seed(42, f"p/{k}") for k in range(50)]
    assert len(set(seeds)) == 50
    assert seeds == [one.seed(42, f"p/{k}") for k in range(50)]
    assert one.seed(43, "p/0") not in seeds
    assert one.seed(None, "p/0") is None
    type(one.config)(seed=seeds[0])  # it is within the bounds


def test_two_strategies_draw_differently() -> None:
    seeds = [strategy(kind).seed(42, "p/0") for kind in KINDS]
    assert len(set(seeds)) == len(KINDS)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "beam_search.beam_width=0",
            "beam_search.beam_width must be a whole number from 1 up, not 0",
        ),
        ("beam_search.alpha=-1", "beam_search.alpha must be a finite number above 0, not -1.0"),
        ("beam_search.scorer=nice", "beam_search.scorer must be one of"),
        ("beam_search.early_stopping=later", "beam_search.early_stopping must be one of"),
        ("beam_search.proposal=guess", "beam_search.proposal must be one of"),
        ("mcmc.block_size=0", "mcmc.tokens_per_step must be a whole number from 1 up, not 0"),
        ("mcmc.steps=-1", "mcmc.steps must be a whole number from 0 up, not -1"),
        ("mcmc.restrict_to_last_n=2", "mcmc.restrict_to_last_n must be null"),
        ("best_of_n.n=0", "best_of_n.n must be a whole number from 1 up, not 0"),
        ("best_of_n.temperature=0", "best_of_n.temperature must be a finite number above 0"),
        ("self_consistency.n=0", "self_consistency.n must be a whole number from 1 up, not 0"),
        ("temperature_sampling.temperature=-1", "sample.temperature must be"),
        ("power.particles=0", "power_sampling.particles must be a whole number from 1 up, not 0"),
        (
            "power.ess_threshold=2",
            "power_sampling.ess_threshold must be a finite number from 0 to 1, not 2.0",
        ),
        ("greedy.beam_width=2", "greedy.beam_width has no effect here: the strategy sets it to 1"),
    ],
)
def test_a_bad_parameter_is_named_with_its_group(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        strategy(word.partition(".")[0], word)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("words", "config"),
    [
        (["beam_search.vote_by=score"], {"answer": Vote(by="score")}),
        (["beam_search.answer=vote", "beam_search.vote_key=[0-9]+"], {"answer": Vote("[0-9]+")}),
        (["beam_search.judge_yes=ja"], {"scorer": Judge(yes="ja")}),
        (["beam_search.selection=subtrees"], {"selection": "subtrees"}),
        (["beam_search.selection=resample"], {"selection": "resample"}),
        (["beam_search.ess_threshold=0.9"], {"selection": Resample(0.9)}),
        (
            ["beam_search.selection={name: resample, ess_threshold: 0.9}"],
            {"selection": Resample(0.9)},
        ),
        (
            ["beam_search.selection=resample", "beam_search.selection.ess_threshold=0.9"],
            {"selection": Resample(0.9)},
        ),
        (["beam_search.lookahead_tokens=4"], {"selection": Resample(lookahead=Lookahead(4))}),
        (["beam_search.stop=[END, '\\n\\n']"], {"stop": ("END", "\\n\\n")}),
        (["beam_search.stop=END"], {"stop": ("END",)}),
        (["beam_search.max_tokens=16"], {"max_tokens": 16}),
    ],
)
def test_parts_have_their_parameters_as_keys(words: list[str], config: dict[str, Any]) -> None:
    expected = {"tokens_per_step": 8, "max_tokens": 24, **config}
    assert strategy("beam_search", *words).config == BeamSearchConfig(**expected)


def test_a_vote_takes_the_benchmarks_answers_unless_it_has_a_key() -> None:
    keyed = strategy("self_consistency", "self_consistency.key=[0-9]+").config
    assert isinstance(keyed, BeamSearchConfig)
    assert keyed.answer == Vote("[0-9]+")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("benchmark.max_tokens=0", "benchmark.max_tokens must be a whole number from 1 up, not 0"),
        ("benchmark.num_problems=0", "benchmark.num_problems must be a whole number from 1 up"),
        ("benchmark.seed=-1", "benchmark.seed must be a whole number from 0 up or None, not -1"),
        ("benchmark.max_concurrent_problems=0", "benchmark.max_concurrent_problems must be"),
    ],
)
def test_what_all_strategies_share_is_checked_first(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_plan(load_settings(parse_args([word])), {})
    assert str(caught.value).startswith(message)


def test_a_bad_parameter_of_what_is_off_is_let_be() -> None:
    assert [one.kind for one in strategies("beam_search.beam_width=0")] == ["greedy"]


@pytest.mark.parametrize("kind", KINDS)
def test_its_digest_is_of_what_answers_depend_on(kind: str) -> None:
    plain = digest_of(strategy(kind).depends_on())
    assert plain == digest_of(strategy(kind).depends_on())
    assert plain != digest_of(strategy(kind, "benchmark.max_tokens=23").depends_on())
    others = {digest_of(strategy(other).depends_on()) for other in KINDS if other != kind}
    assert plain not in others


def test_to_look_on_changes_no_answer() -> None:
    one, other = strategy("beam_search"), strategy("beam_search", "beam_search.debug=true")
    assert other.debug
    assert one.depends_on() == other.depends_on()


@pytest.mark.parametrize("kind", KINDS)
def test_a_suffix_of_its_own_changes_its_answers(kind: str) -> None:
    one, other = strategy(kind), strategy(kind, f"{kind}.suffix=Think.")
    assert one.depends_on() != other.depends_on()
    assert other.suffix == "Think."


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_of_its_own_changes_its_answers(kind: str) -> None:
    one, other = strategy(kind), strategy(kind, f"{kind}.seed=7")
    assert one.depends_on() != other.depends_on()
    assert other.seed(1, "p") == other.seed(2, "p") == one.seed(7, "p")


def test_all_parameters_of_a_beam_search_are_handed_on() -> None:
    one = strategy(
        "beam_search",
        "beam_search.use_length_penalty=false",
        "beam_search.length_penalty=0.9",
        "beam_search.proposal_temperature=0.5",
        "beam_search.top_logprobs=3",
        "beam_search.early_stopping=bound",
        "beam_search.max_total_tokens=999",
    )
    assert one.config == BeamSearchConfig(
        tokens_per_step=8,
        max_tokens=24,
        use_length_penalty=False,
        length_penalty=0.9,
        proposal_temperature=0.5,
        top_logprobs=3,
        early_stopping="bound",
        max_total_tokens=999,
    )
    listed = strategy(
        "beam_search", "beam_search.proposal=enumerate", "beam_search.tokens_per_step=1"
    )
    assert isinstance(listed.config, BeamSearchConfig)
    assert listed.config.proposal == "enumerate"


def test_all_parameters_of_mcmc_are_handed_on() -> None:
    words = ["mcmc.alpha=2", "mcmc.proposal_temperature=0.5", "mcmc.top_logprobs=3"]
    assert strategy("mcmc", *words).config == McmcConfig(
        alpha=2.0,
        tokens_per_step=8,
        max_tokens=24,
        steps=2,
        chains=1,
        proposal_temperature=0.5,
        top_logprobs=3,
    )


RM = "http://127.0.0.1:1/v1"


def test_fields_steps_and_a_reward_model_are_keys() -> None:
    words = [
        f"beam_search.{word}" for word in ("steps=true", "steps_delimiter=.", f"reward_model={RM}")
    ]
    words += ["+beam_search.extra_body.chat_template_kwargs.enable_thinking=false"]
    config = strategy("beam_search", *words, "beam_search.reward_model_kind=outcome").config
    assert isinstance(config, BeamSearchConfig)
    assert config.block == Steps(".")
    assert config.scorer == RewardModel(RM, kind="outcome")
    assert config.extra_body == {"chat_template_kwargs": {"enable_thinking": False}}
    whole = strategy("best_of_n", "best_of_n.extra_body={reasoning_effort: low}").config
    assert whole.extra_body == {"reasoning_effort": "low"}


def test_fields_of_a_strategy_are_in_the_identity_of_its_answers_only_if_there_are_any() -> None:
    plain = strategy("best_of_n").depends_on()
    fields = strategy("best_of_n", "best_of_n.extra_body.reasoning_effort=low").depends_on()
    assert "extra_body" not in plain["config"]
    assert fields["config"]["extra_body"] == {"reasoning_effort": "low"}


@pytest.mark.parametrize("group", ["model", "beam_search"])
def test_a_grammar_for_several_blocks_is_refused_before_the_run(group: str) -> None:
    words = [
        "beam_search.enabled=true",
        "beam_search.max_tokens=24",
        f"{group}.extra_body.grammar=x",
    ]
    settings = load_settings(parse_args([*SHORT, "model.provider=local", *words]))
    with pytest.raises(ConfigError, match=r"beam_search\.extra_body cannot have 'grammar' here"):
        make_plan(settings, {})
