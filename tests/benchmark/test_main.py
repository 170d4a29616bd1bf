"""The command itself: its exit codes, and what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmark.fake_command import run
from trio_beam.benchmark.config import known_keys, load_settings
from trio_beam.benchmark.main import _flags, _parser, main
from trio_beam.benchmark.sandbox import bubblewrap
from trio_beam.benchmark.sandbox.bubblewrap import find_bubblewrap
from trio_beam.benchmark.store import Store, read_records

ROOT = Path(__file__).parents[2]
SHORT = ["benchmark.name=words", "benchmark.max_tokens=24", "output.plots=false"]
SHORT += ["output.predictions_dir=null"]


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As on a fresh machine, in an empty folder."""
    for name in ("XAI_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "RUNPOD_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def here(tmp_path: Path) -> list[str]:
    return [*SHORT, f"output.dir={tmp_path / 'run'}"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["beam_search.widht=5"], "there is no key 'beam_search.widht'; did you mean"),
        (["beam_search.beam_width=wide"], "must be a whole number, not 'wide'"),
        (["beam_search.beam_width=0", "beam_search.enabled=true"], "from 1 up, not 0"),
        (["beam_search.beam_width=2,5"], "(several values are a sweep: add -m)"),
        (["-m", "beam_search.beam_width=2,"], "single commas between them"),
        (["greedy.enabled=false"], "one of the strategies must be switched on"),
        (["model.provider=xai"], "XAI_API_KEY must be set in the environment or in a file .env"),
        (["model.provider=vlm"], "did you mean vllm?"),
        (["prompt.template=x"], "prompt.template must be a text with {prompt} in it"),
        (["benchmark.name=humanevil"], "humaneval"),
        (["--config", "missing.yaml"], "--config must be a YAML file that can be read"),
        (["-m", "beam_search.beam_width=2,5", "output.dir=x"], "output.dir must be left out"),
        (["hello"], "group.key=value"),
        (["--config-name", "none"], "--config-name must be the name of a YAML file"),
        (["--config", "a.yaml", "-cn", "b"], "--config must be left out beside --config-name"),
        (["--header", "X-Key secret"], "--header must be a name and a value"),
        (["--extra-body", "[1]"], "--extra-body must be a JSON object"),
        (["+beam_search.widht=5"], "there is no key 'beam_search.widht'; did you mean"),
        (["~benchmark.name"], "a run needs benchmark.name"),
        (["-m", "mcmc.alpha=glob(*)"], "there is no glob()"),
        (["hydra.run.dir=x"], "Hydra is not used here"),
    ],
)
def test_bad_words_give_exit_code_2_and_a_plain_message(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(words) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir()), "nothing is written for a command that is refused"


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("humaneval", "Without benchmark.allow_code_execution=true answers are kept, not graded"),
        ("gsm8k", ""),
        ("math500", ""),
        ("reasoning_gym:chain_sum", ""),
        ("jsonl:own.jsonl", ""),
    ],
)
def test_without_a_sandbox_nothing_that_needs_one_is_started(
    name: str,
    more: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (tmp_path / "own.jsonl").write_text('{"prompt": "?", "answer": "1", "grading": "math"}\n')
    find_bubblewrap.cache_clear()
    monkeypatch.setattr(bubblewrap, "_candidates", list)
    words = [f"benchmark.name={name}", "benchmark.allow_code_execution=true"]
    assert main([*words, "model.base_url=http://127.0.0.1:9/v1", "model.name=m"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith(
        "Error: programs and verifiers run only in a sandbox, which this machine"
    )
    assert "bubblewrap is not installed; pip install" in line
    assert more in line
    assert [path.name for path in tmp_path.iterdir()] == ["own.jsonl"]


def test_help_shows_every_key_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert all(f"{key.rpartition('.')[2]}: " in shown for key in known_keys())
    assert "    beam_width: 2  # Beams kept from one round to the next.\n" in shown


def test_show_config_prints_what_a_file_may_say(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--show-config", "beam_search.beam_width=7"]) == 0
    file = tmp_path / "shown.yaml"
    file.write_text(capsys.readouterr().out)
    assert load_settings([], file).strategies["beam_search"].given == {"beam_width": 7}
    assert main(["--show-config", "--config", str(file), "mcmc.steps=3"]) == 0
    again = capsys.readouterr().out
    assert "beam_width: 7" in again
    assert "steps: 3" in again


def test_show_config_says_what_each_strategy_runs_with(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--cfg", "job", "mcmc.enabled=true", "mcmc.block_size=64"]) == 0
    shown = capsys.readouterr().out
    assert "# greedy: BeamSearchConfig(" in shown
    assert "# mcmc: McmcConfig(alpha=4.0, " in shown
    assert " tokens_per_step=64, max_tokens=3072, " in shown


def test_config_name_and_path_name_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "conf"
    (folder / "mcmc").mkdir(parents=True)
    (folder / "config.yaml").write_text("mcmc: {steps: 3}\n")
    (folder / "mine.yaml").write_text("defaults: [config]\nmcmc: {chains: 2}\n")
    (folder / "mcmc" / "long.yaml").write_text("steps: 50\n")
    for args, steps, chains in (
        (["--config-path", "conf"], 3, 1),
        (["-cp", "conf", "-cn", "mine"], 3, 2),
        (["--config-name=mine.yaml"], 3, 2),
        (["--config-dir", str(folder), "--config-name", "mine", "+mcmc=long"], 50, 2),
    ):
        assert main(["--show-config", "mcmc.enabled=true", *args]) == 0
        shown = capsys.readouterr().out
        assert f"steps={steps}, chains={chains}, " in shown, args


def test_options_about_requests_become_keys(capsys: pytest.CaptureFixture[str]) -> None:
    args = ["--header", "X-Trace: a:b, c", "--extra-body", '{"top_k": 5, "a": {"b": "c"}}']
    settings = load_settings(_flags(_parser("").parse_args(args)))
    assert settings.model.headers == {"X-Trace": "a:b, c"}
    assert settings.model.extra_body == {"top_k": 5, "a": {"b": "c"}}


def test_a_key_of_a_strategy_that_is_off_is_a_warning(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    off = ["beam_search.alpha=6.0", "beam_search.suffix=!", "sample.temperature=0.5"]
    words = [*here(tmp_path), *off, "greedy.suffix=!"]
    assert run(0, words) == 0
    said = capsys.readouterr().err
    for word in off:
        group = word.partition(".")[0]
        assert f"{word} has no effect: {group}.enabled=true switches the strategy on" in said
    assert "greedy.suffix" not in said


def test_it_says_who_answers_if_nobody_was_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(0, here(tmp_path)) == 0
    assert "no model is named, so the embedded one answers" in capsys.readouterr().err
    monkeypatch.setenv("XAI_API_KEY", "very-secret")
    assert run(0, here(tmp_path)) == 0
    said = capsys.readouterr().err
    assert "XAI_API_KEY is set and no model is named, so the hosted model answers" in said
    assert "words on grok-3-mini" in said


def test_show_config_of_a_sweep_prints_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "beam_search.beam_width=3,4", "--show-config"]) == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith("  beam_width")] == [
        "  beam_width: 3",
        "  beam_width: 4",
    ]


def test_a_run_ends_with_0_and_its_table_is_on_standard_output(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(0, [*here(tmp_path), "beam_search.enabled=true"]) == 0
    shown = capsys.readouterr()
    assert "WORDS BENCHMARK RESULTS" in shown.out
    assert "Greedy: 10/10" in shown.err
    assert "BENCHMARK RESULTS" not in shown.err


def test_verbose_prints_the_configuration_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(0, [*here(tmp_path), "output.verbose=true"]) == 0
    shown = capsys.readouterr().out
    assert 0 < shown.index("max_concurrent_problems:") < shown.index("BENCHMARK RESULTS")


def test_a_key_is_printed_nowhere(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XAI_API_KEY", "very-secret")
    words = [*here(tmp_path), "output.verbose=true", "model.provider=xai"]
    assert run(0, words) == 0
    shown = capsys.readouterr()
    assert "very-secret" not in shown.out + shown.err
    for path in (tmp_path / "run").iterdir():
        assert b"very-secret" not in path.read_bytes()


def test_a_folder_in_use_gives_exit_code_1(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with Store(tmp_path / "run"):
        assert run(0, here(tmp_path)) == 1
    said = capsys.readouterr().err
    assert "another run is using" in said
    assert "Traceback" not in said


def process(latency: float, words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.benchmark.fake_command", str(latency), *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_prints_what_there_is_and_the_same_command_goes_on(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    words = [*here(tmp_path), "benchmark.max_concurrent_problems=1"]
    with process(0.2, words) as command:
        assert command.stderr is not None
        for line in command.stderr:
            if "2/10" in line:
                command.send_signal(number)
                break
        out, said = command.communicate(timeout=60)
    assert command.returncode == code
    assert "of 10" in out
    assert "interrupted: everything finished is kept; the same command goes on from here" in said
    assert "Traceback" not in said
    records = read_records(tmp_path / "run")
    assert 2 <= len(records) < 10
    with process(0, words) as command:
        out, said = command.communicate(timeout=60)
    assert command.returncode == 0, said
    assert f"{len(records)} of them already there" in said
    done = read_records(tmp_path / "run")
    assert done[: len(records)] == records
    assert len(done) == 10
