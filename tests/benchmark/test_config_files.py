"""Files of settings: encodings, lists of defaults, groups and packages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trio_beam.benchmark.config import all_values, load_settings, parse_args
from trio_beam.benchmark.config_files import ConfigFiles, find_config
from trio_beam.errors import ConfigError


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


def load(folder: Path, *args: str, name: str = "config") -> dict[str, Any]:
    return all_values(load_settings(parse_args(args), find_config(name, folder, Path())))


def refusal(folder: Path, *args: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, *args)
    return str(caught.value)


def test_a_list_of_defaults_is_taken_in_its_order(tmp_path: Path) -> None:
    write(
        tmp_path,
        config=(
            "defaults:\n  - base\n  - beam_search: wide\n  - optional beam_search: none\n  - _self_\n"
            "mcmc:\n  steps: 3\n"
        ),
        base="mcmc: {steps: 1, chains: 2}\nbeam_search: {beam_width: 3, alpha: 1}\n",
        beam_search__wide="beam_width: 8\nenabled: true\n",
    )
    values = load(tmp_path)
    assert (values["mcmc.steps"], values["mcmc.chains"]) == (3, 2)
    assert (values["beam_search.beam_width"], values["beam_search.alpha"]) == (8, 1.0)
    assert values["beam_search.enabled"] is True


def test_a_file_may_come_before_its_defaults(tmp_path: Path) -> None:
    write(
        tmp_path,
        config="defaults: [_self_, base]\nmcmc: {steps: 3, chains: 4}\n",
        base="mcmc: {steps: 1}\n",
    )
    values = load(tmp_path)
    assert (values["mcmc.steps"], values["mcmc.chains"]) == (1, 4)


def test_the_command_line_chooses_options_of_groups(tmp_path: Path) -> None:
    write(
        tmp_path,
        config="defaults:\n  - mcmc: short\n",
        mcmc__short="steps: 1\n",
        mcmc__long="steps: 50\n",
        experiment__both="# @package _global_\nmcmc: {chains: 5}\nbenchmark: {seed: 1}\n",
    )
    assert load(tmp_path)["mcmc.steps"] == 1
    values = load(tmp_path, "mcmc=long", "+experiment=both", "mcmc.alpha=2")
    assert (values["mcmc.steps"], values["mcmc.chains"], values["mcmc.alpha"]) == (50, 5, 2.0)
    assert values["benchmark.seed"] == 1


def test_a_package_says_where_keys_belong(tmp_path: Path) -> None:
    write(
        tmp_path,
        config="defaults:\n  - limits@beam_search: small\n  - limits@mcmc: small\n",
        limits__small="max_requests: 9\n",
    )
    values = load(tmp_path)
    assert values["beam_search.max_requests"] == values["mcmc.max_requests"] == 9


def test_names_are_taken_with_or_without_their_ending(tmp_path: Path) -> None:
    write(tmp_path, mine="mcmc: {steps: 3}\n")
    assert load(tmp_path, name="mine") == load(tmp_path, name="mine.yaml")


def test_a_folder_is_looked_for_beside_the_program_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "scripts", conf__config="mcmc: {steps: 3}\n")
    write(tmp_path / "here", conf__mine="mcmc: {steps: 4}\n")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    found = find_config(None, Path("conf"), tmp_path / "scripts")
    assert all_values(load_settings([], found))["mcmc.steps"] == 3
    monkeypatch.chdir(tmp_path / "here")
    found = find_config("mine", None, tmp_path / "scripts")
    assert all_values(load_settings([], found))["mcmc.steps"] == 4


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_file_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "config.yaml").write_bytes("prompt: {suffix: 'é → x'}\n".encode(encoding))
    assert load(tmp_path)["prompt.suffix"] == "é → x"


def test_empty_files_and_groups_say_nothing(tmp_path: Path) -> None:
    write(tmp_path, config="model:\n  vllm:\n    # name: x\nmcmc:\n", empty="# nothing\n")
    assert load(tmp_path) == load(tmp_path, name="empty")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("defaults: base\n", "a file whose defaults are a list"),
        ("defaults: [none]\n", "a YAML file that can be read"),
        ("defaults:\n  - config\n", "a file that is not among its own defaults"),
        ("defaults:\n  - override hydra/launcher: joblib\n", "without settings of Hydra"),
        ("defaults:\n  - override mcmc: long\n", "without 'override'"),
        ("defaults:\n  - {a: b, c: d}\n", "a file without the default"),
        ("hydra: {run: {dir: x}}\n", "there is no key 'hydra.run.dir'"),
        ("beam_search: {widht: 2}\n", "there is no key 'beam_search.widht'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, config=text)
    assert message in refusal(tmp_path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--config-name must be the name of a YAML file in"):
        find_config("none", tmp_path, Path())
    with pytest.raises(ConfigError, match="--config-path must be a folder"):
        find_config(None, tmp_path / "none", Path())


def test_without_a_folder_there_are_no_groups() -> None:
    assert not ConfigFiles().has_group("mcmc")
