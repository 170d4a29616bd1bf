"""The grammar of arguments: signs before keys, and values of a sweep."""

from __future__ import annotations

import pytest

from trio_beam.benchmark.config import all_values, load_settings, parse_args
from trio_beam.benchmark.overrides import Override, combinations, parse_override, split_values
from trio_beam.errors import ConfigError


def value(key: str, *args: str) -> object:
    return all_values(load_settings(parse_args(args)))[key]


def refusal(*args: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_settings(parse_args(args))
    return str(caught.value)


@pytest.mark.parametrize(
    ("argument", "override"),
    [
        ("a.b=1", Override("a.b", "1")),
        ("+a.b=1", Override("a.b", "1")),
        ("++a.b=1", Override("a.b", "1")),
        ("~a.b", Override("a.b", None, deletes=True)),
        ("~a.b=1", Override("a.b", "1", deletes=True)),
        ("a.b=x=y", Override("a.b", "x=y")),
        ("a.b=", Override("a.b", "")),
        ("a.b=line\nline", Override("a.b", "line\nline")),
        (" a.b = 1", Override("a.b", " 1")),
    ],
)
def test_an_argument_is_split(argument: str, override: Override) -> None:
    assert parse_override(argument) == override


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_a_key_is_set_with_any_sign(sign: str) -> None:
    assert value("model.name", f"{sign}model.name=grok-3") == "grok-3"


@pytest.mark.parametrize("sign", ["+", "++"])
def test_a_sign_makes_no_key(sign: str) -> None:
    assert "there is no key 'mcmc.stepz'; did you mean 'mcmc.steps'?" in refusal(
        f"{sign}mcmc.stepz=1"
    )


@pytest.mark.parametrize(
    ("args", "key", "expected"),
    [
        (["~benchmark.seed"], "benchmark.seed", None),
        (["benchmark.seed=7", "~benchmark.seed=7"], "benchmark.seed", None),
        (["~greedy.suffix"], "greedy.suffix", None),
        (["~greedy"], "greedy.enabled", False),
        (["~greedy.enabled"], "greedy.enabled", False),
        (["mcmc.enabled=true", "~mcmc"], "mcmc.enabled", False),
        (["beam_search.alpha=2", "~beam_search.alpha"], "beam_search.alpha", 4.0),
        (["~temperature_sampling"], "sample.enabled", False),
    ],
)
def test_a_key_is_deleted(args: list[str], key: str, expected: object) -> None:
    assert value(key, *args) == expected


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["~benchmark.name"], "~benchmark.name must be left out: a run needs benchmark.name"),
        (["~benchmark.seed=7"], "~benchmark.seed=7 must be left out: that is not what the key is"),
        (["~benchmark.seeds"], "there is no key 'benchmark.seeds'"),
        (["hydra.run.dir=x"], "hydra.run.dir must be left out: Hydra is not used here"),
        (["hydra/launcher=joblib"], "hydra/launcher must be left out"),
        (["+hydra.job.chdir=true"], "hydra.job.chdir must be left out"),
        (["model@other=x"], "without @"),
        (["+=1"], "group.key=value"),
        (["+a"], "group.key=value"),
    ],
)
def test_what_cannot_be_is_refused_by_name(args: list[str], message: str) -> None:
    assert message in refusal(*args)


def test_any_key_below_an_open_mapping_exists() -> None:
    args = ["+model.extra_body.chat_template_kwargs.enable_thinking=false"]
    args += ["model.extra_body.reasoning_effort=low", "model.headers.X-Title=a: b"]
    settings = load_settings(parse_args(args))
    assert settings.model.extra_body == {
        "chat_template_kwargs": {"enable_thinking": False},
        "reasoning_effort": "low",
    }
    assert settings.model.headers == {"X-Title": "a: b"}
    whole = load_settings(parse_args(["model.extra_body={top_k: 5}"]))
    assert whole.model.extra_body == {"top_k": 5}
    assert "model.extra_body must be a mapping, not 'x'" in refusal("model.extra_body=x")


# Expected values are those of Hydra 1.3.8's own parser, but for the zeros behind a decimal point.
@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("range(1,4)", ["1", "2", "3"]),
        ("range(5)", ["0", "1", "2", "3", "4"]),
        ("range(0, 1, 0.25)", ["0", "0.25", "0.50", "0.75"]),
        ("range(start=1,stop=4)", ["1", "2", "3"]),
        ("range(4,1,-1)", ["4", "3", "2"]),
        ("range(1,4,step=2)", ["1", "3"]),
        ("range(0.5,3)", ["0.5", "1.5", "2.5"]),
        ("range(0,0.3,0.1)", ["0", "0.1", "0.2"]),
        ("choice(a,b, c)", ["a", "b", "c"]),
        ("choice('a,b',c)", ["'a,b'", "c"]),
        ("choice([1,2],[3])", ["[1,2]", "[3]"]),
        ("range(1,3),10", ["1", "2", "10"]),
        ("f(x)", ["f(x)"]),
        ("say range(3)", ["say range(3)"]),
    ],
)
def test_functions_give_the_values_of_a_sweep(text: str, values: list[str]) -> None:
    assert split_values(text) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("range(3,1)", "range(start, stop, step)"),
        ("range(1,3,0)", "range(start, stop, step)"),
        ("range(a)", "range(start, stop, step)"),
        ("range()", "range(start, stop, step)"),
        ("range(1,2,3,4)", "range(start, stop, step)"),
        ("range(from=1,stop=2)", "range(start, stop, step)"),
        ("range(1e9)", "range(start, stop, step)"),
        ("range(inf)", "range(start, stop, step)"),
        ("choice()", "choice(a, b, ...)"),
        ("glob(*)", "there is no glob()"),
        ("interval(0,1)", "there is no interval()"),
        ("shuffle(1,2)", "there is no shuffle()"),
        ("sort(2,1)", "there is no sort()"),
        ("int(2.5)", "there is no int()"),
    ],
)
def test_other_functions_are_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        split_values(text)
    assert message in str(caught.value)


def test_a_deleted_key_takes_part_in_a_sweep() -> None:
    args = parse_args(["~greedy", "mcmc.enabled=true", "mcmc.steps=range(1,3)"])
    chosen = [all_values(load_settings(one))["mcmc.steps"] for one in combinations(args)]
    assert chosen == [1, 2]
