"""Words of a command line, files and defaults: what is taken, and how it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.benchmark import original
from trio_beam.benchmark.common.nearest import nearest_keys
from trio_beam.benchmark.config import (
    all_values,
    describe_keys,
    known_keys,
    load_settings,
    parse_args,
    to_yaml,
)
from trio_beam.benchmark.overrides import (
    Override,
    UnknownKey,
    combinations,
    split_values,
)
from trio_beam.benchmark.settings import Settings
from trio_beam.benchmark.strategies import enabled_strategies
from trio_beam.core.config import SELECTIONS, BeamSearchConfig
from trio_beam.core.validation import Parameter, number
from trio_beam.errors import ConfigError
from trio_beam.selection.top_k import TopK
from trio_beam.strategies import STRATEGIES, strategy_options
from trio_beam.strategies._registry import evolve, preset


def load(*words: str) -> Settings:
    return load_settings(parse_args(words))


def said(*words: str) -> str:
    """The message for words that are refused."""
    with pytest.raises(ConfigError) as caught:
        load(*words)
    return str(caught.value)


def test_every_strategy_and_every_group_of_the_runner_is_there() -> None:
    values = all_values(load())
    assert tuple(values) == known_keys()
    assert {key.partition(".")[0] for key in values} == {
        *("model", "benchmark", "prompt", "output", "mcmc_parallel"),
        *STRATEGIES.names(),
    }
    on = [key for key, value in values.items() if key.endswith(".enabled") and value]
    assert on == ["greedy.enabled"]
    assert values["benchmark.num_problems"] == 10
    assert values["model.provider"] == "auto"


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_every_option_of_a_strategy_is_a_key(name: str) -> None:
    """Declared once: a parameter that a strategy gets is a key of its group by itself."""
    options = {option.name for option in strategy_options(name)}
    expected = options | {"enabled", "suffix", "debug", *original.EXTRA.get(name, {})}
    assert {key.removeprefix(f"{name}.") for key in known_keys() if key.startswith(f"{name}.")} == (
        expected
    )


def test_a_new_selection_and_a_new_preset_are_keys_by_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(SELECTIONS, "_added", dict(SELECTIONS._entries()))
    monkeypatch.setattr(STRATEGIES, "_added", dict(STRATEGIES._entries()))

    @SELECTIONS.register("threshold")
    @attrs.frozen
    class Threshold(TopK):
        margin: float = number(1.0, minimum=0, unit="nats", help="Distance from the best score.")

    @preset("narrow")
    def narrow(
        margin: Annotated[float, Parameter(kind="number", minimum=0)] = 0.5, **others: Any
    ) -> BeamSearchConfig:
        """Only what is near the best."""
        return evolve(BeamSearchConfig, others, selection=Threshold(margin))

    settings = load("beam_search.threshold_margin=0.25", "beam_search.enabled=true")
    (_, beams) = enabled_strategies(settings)
    assert beams.config == BeamSearchConfig(selection=Threshold(0.25), max_tokens=3072)
    settings = load("narrow.enabled=true", "narrow.margin=2", "greedy.enabled=false")
    (one,) = enabled_strategies(settings)
    assert one.label == "Narrow(margin=2.0)"
    assert one.config == BeamSearchConfig(selection=Threshold(2.0), max_tokens=3072)
    assert "margin: 0.5" in describe_keys()


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("beam_search.beam_width=5", "beam_search.beam_width", 5),
        ("beam_search.alpha=2", "beam_search.alpha", 2.0),
        ("beam_search.alpha=1e-3", "beam_search.alpha", 0.001),
        ("beam_search.enabled=true", "beam_search.enabled", True),
        ("beam_search.enabled=False", "beam_search.enabled", False),
        ("beam_search.early_stopping=bound", "beam_search.early_stopping", "bound"),
        ("beam_search.early_stopping=false", "beam_search.early_stopping", False),
        ("benchmark.num_problems=null", "benchmark.num_problems", None),
        ("benchmark.name=jsonl:a=b.jsonl", "benchmark.name", "jsonl:a=b.jsonl"),
        ("benchmark.name=123", "benchmark.name", "123"),
        ("prompt.suffix=", "prompt.suffix", ""),
        ("prompt.suffix=Think: {step} [1]", "prompt.suffix", "Think: {step} [1]"),
        (r'prompt.suffix="\n\nThink, step by step"', "prompt.suffix", "\n\nThink, step by step"),
        ("prompt.suffix='it''s'", "prompt.suffix", "it's"),
        ("prompt.suffix=${model.name}", "prompt.suffix", "${model.name}"),
        ("prompt.suffix=null", "prompt.suffix", "null"),
        ("prompt.system=null", "prompt.system", None),
        ("prompt.system=''", "prompt.system", ""),
        ("model.vllm.name=a/b", "model.vllm.name", "a/b"),
        ("model.local.slots=4", "model.local.slots", 4),
    ],
)
def test_a_word_sets_its_key(word: str, key: str, value: object) -> None:
    found = all_values(load(word))[key]
    assert found == value
    assert type(found) is type(value)


def test_the_last_of_equal_words_counts() -> None:
    assert all_values(load("mcmc.steps=3", "mcmc.steps=4"))["mcmc.steps"] == 4


@pytest.mark.parametrize(
    ("word", "nearest"),
    [
        ("beam_search.beam_widht=5", "beam_search.beam_width"),
        ("beam_serach.beam_width=5", "beam_search.beam_width"),
        ("beamsearch.enabled=true", "beam_search.enabled"),
        ("benchmark.num_problem=5", "benchmark.num_problems"),
        ("tokens_per_step=64", "beam_search.tokens_per_step"),
        ("max_tokens=64", "benchmark.max_tokens"),
        ("model.vlm.name=x", "model.vllm.name"),
        ("output.result_dir=x", "output.results_dir"),
        ("mcmc.step=5", "mcmc.steps"),
    ],
)
def test_a_misspelt_key_names_the_nearest(word: str, nearest: str) -> None:
    key = word.partition("=")[0]
    message = said(word)
    assert message.startswith(f"there is no key {key!r}; did you mean")
    assert repr(nearest) in message


def test_a_key_like_no_other_names_the_groups() -> None:
    message = said("zzz=1")
    assert "there is no key 'zzz'" in message
    assert "beam_search" in message
    assert "output" in message


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "beam_search.beam_width=wide",
            "beam_search.beam_width must be a whole number, not 'wide'",
        ),
        ("beam_search.beam_width=1.5", "beam_search.beam_width must be a whole number, not 1.5"),
        ("beam_search.beam_width=null", "beam_search.beam_width must be a whole number, not None"),
        ("beam_search.beam_width=true", "beam_search.beam_width must be a whole number, not True"),
        ("beam_search.alpha=big", "beam_search.alpha must be a number, not 'big'"),
        ("beam_search.enabled=maybe", "beam_search.enabled must be true or false, not 'maybe'"),
        ("benchmark.num_problems=ten", "a whole number or null, not 'ten'"),
        ("benchmark.num_problems=[1]", "a whole number or null, not [1]"),
        ("benchmark.num_problems={", "a whole number or null, not '{'"),
        ("beam_search.beam_width=2,5,10", "add -m"),
        ("beam_search=5", "beam_search must be given by one of its keys (beam_search.enabled"),
        ("beam_search.enabled", "group.key=value"),
        ("=5", "group.key=value"),
        ("", "group.key=value"),
    ],
)
def test_what_is_wrong_is_said(word: str, message: str) -> None:
    assert message in said(word)


def test_a_file_goes_over_the_defaults_and_words_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("beam_search:\n  beam_width: 7\n  alpha: 3\nprompt:\n  suffix: ' é'\n", "utf-8")
    settings = load_settings(parse_args(["beam_search.alpha=5"]), file)
    assert settings.strategies["beam_search"].given == {"beam_width": 7, "alpha": 5.0}
    assert settings.prompt.suffix == " é"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("beam_search:\n  widht: 7\n", "there is no key 'beam_search.widht'"),
        ("beam_search:\n  beam_width: wide\n", "beam_search.beam_width must be a whole number"),
        ("beam_search: 7\n", "beam_search"),
        ("- a\n- b\n", "a YAML file with the groups as its keys"),
        ("a: [\n", "a YAML file that can be read"),
    ],
)
def test_a_file_is_refused_like_words(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_settings([], file)
    assert message in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--config must be a YAML file that can be read"):
        load_settings([], tmp_path / "none.yaml")


def test_what_is_printed_is_read_back(tmp_path: Path) -> None:
    words = ["prompt.suffix=: ${x} 'é", "beam_search.beam_width=3", "prompt.system=null"]
    settings = load(*words)
    file = tmp_path / "printed.yaml"
    file.write_text(to_yaml(settings), "utf-8")
    assert load_settings([], file) == settings


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("2,5,10", ["2", "5", "10"]),
        ("2", ["2"]),
        ("", [""]),
        ("'a,b',c", ["'a,b'", "c"]),
        ("[1,2],[3]", ["[1,2]", "[3]"]),
        ("{a: 1, b: 2}", ["{a: 1, b: 2}"]),
    ],
)
def test_a_sweep_splits_at_bare_commas(text: str, values: list[str]) -> None:
    assert split_values(text) == values


@pytest.mark.parametrize("text", [",", "2,", ",2", "2,,5", "2, ,5"])
def test_a_comma_stands_between_values(text: str) -> None:
    with pytest.raises(ConfigError, match="single commas"):
        split_values(text)


@given(
    st.lists(st.lists(st.integers(0, 99).map(str), min_size=1, max_size=3, unique=True), max_size=3)
)
def test_a_sweep_has_every_combination_once(choices: list[list[str]]) -> None:
    keys = [f"mcmc.key{index}" for index in range(len(choices))]
    words = [Override(key, ",".join(texts)) for key, texts in zip(keys, choices, strict=True)]
    found = [tuple(one.text for one in chosen) for chosen in combinations(words)]
    expected = 1
    for texts in choices:
        expected *= len(texts)
    assert len(found) == len(set(found)) == expected
    assert all(text in texts for row in found for text, texts in zip(row, choices, strict=True))


@given(st.sampled_from(known_keys()), st.data())
def test_a_slip_of_one_letter_still_finds_the_key(key: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(key) - 1))
    slip = key[:place] + key[place + 1 :]
    if slip in known_keys():
        return
    name = key.rpartition(".")[2]
    near = nearest_keys(slip, known_keys())
    # Of short names several are as near; two are shown.
    assert near
    if len(name) > 6:
        assert name in {one.rpartition(".")[2] for one in near}


def test_an_unknown_key_is_a_configuration_error() -> None:
    with pytest.raises(UnknownKey) as caught:
        load("mcmc.stepz=1")
    assert caught.value.nearest == ["mcmc.steps"]
    assert isinstance(caught.value, ConfigError)
