"""The command line on the real model; as a process where signals, pipes or the start of one matter."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.e2e.test_local_server import children
from tests.servers.socket_server import threaded_server
from trio_beam.cli.main import cli

SHORT = ["--tokens-per-step", "6", "--max-tokens", "12", "--seed", "4"]


def environment(**changes: str) -> dict[str, str]:
    """Ours, without what names an endpoint."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")}
    return kept | {"COLUMNS": "200"} | changes


def invoke(*words: str, base_url: str | None = None) -> Result:
    """The command in this process; a process of its own takes a second to start."""
    unnamed = {name: None for name in os.environ if name.startswith("OPENAI_")}
    env = {**unnamed, "COLUMNS": "200", "OPENAI_BASE_URL": base_url}
    return CliRunner().invoke(cli, words, env=env, prog_name="trio-beam")


def run(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "trio_beam", *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment(**changes),
    )


def test_the_first_command_of_the_readme() -> None:
    """No endpoint is named anywhere: the embedded model."""
    before = children()
    done = run("generate", "Once upon a time", *SHORT)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.strip()) > 5
    assert "\n" not in done.stdout.strip("\n") or "round" not in done.stdout
    lines = done.stderr.splitlines()
    assert lines[0] == "starting the embedded model, SmolLM2-135M-Instruct"
    assert lines[1] == "round 1/2: expanding 1 beam by 4 continuations"
    assert lines[2].startswith("round 1/2: 2 beams alive, 0 ended, best score -")
    assert "; 24 tokens, " in lines[2]
    assert re.match(
        r"score -[0-9.]+: mean log-probability -[0-9.]+ a token \(12\); the ", lines[-3]
    )
    assert lines[-2].startswith("SmolLM2-135M-Instruct: 48 tokens in ")
    assert lines[-1].startswith("next: ")
    assert children() == before


def test_the_console_script_does_the_same(base_url: str) -> None:
    script = Path(sys.executable).with_name("trio-beam")
    words = ["generate", "Once upon a time", "--base-url", base_url, *SHORT]
    done = subprocess.run(
        [script, *words], capture_output=True, text=True, timeout=120, check=True, env=environment()
    )
    assert done.stdout == run(*words).stdout != ""


def test_json_is_the_whole_result(base_url: str) -> None:
    done = invoke("generate", "Once", "--json", "--top-logprobs", "2", *SHORT, base_url=base_url)
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["text"] == result["beams"][0]["text"]
    assert result["exact"] is True
    assert result["stop_reason"] == "max_tokens"
    assert result["usage"]["completion_tokens"] == 48
    assert len(result["beams"][0]["tokens"]) == 12
    assert len(result["beams"][0]["tokens"][0]["top"]) == 2
    assert result["score"] == pytest.approx(
        4 * sum(token["logprob"] for token in result["beams"][0]["tokens"]) / 12**0.6
    )


def test_debug_prints_the_originals_lines_on_standard_error(base_url: str) -> None:
    done = invoke("generate", "Once", "--debug", "--base-url", base_url, *SHORT)
    assert "[BeamSearch] Block 1/2: 2 active, 0 completed" in done.stderr
    assert "[BeamSearch]" not in done.stdout


def test_chat_and_system(base_url: str) -> None:
    done = invoke(
        "generate", "--system", "You are a poet.", "Hello!", "--base-url", base_url, *SHORT
    )
    assert done.exit_code == 0
    assert done.stdout.strip()
    assert done.stdout != invoke("generate", "Hello!", "--base-url", base_url, *SHORT).stdout


def test_the_prompt_may_come_from_standard_input(base_url: str) -> None:
    words = [sys.executable, "-m", "trio_beam", "generate", "-", "--base-url", base_url, *SHORT]
    done = subprocess.run(
        words,
        input="Once",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
        env=environment(),
    )
    alone = invoke("generate", "Once", "--base-url", base_url, *SHORT)
    assert done.stdout.split() == alone.stdout.split() != []  # whatever ends a line


def test_quiet_says_nothing(base_url: str) -> None:
    assert invoke("generate", "Once", "--quiet", "--base-url", base_url, *SHORT).stderr == ""


LONG = ["--tokens-per-step", "4", "--max-tokens", "900", "--early-stopping", "false", "--seed", "4"]


def test_within_prints_the_best_so_far(base_url: str) -> None:
    done = invoke("generate", "Once", "--within", "3", "--base-url", base_url, *LONG)
    assert done.exit_code == 0
    assert done.stdout.strip()
    assert "deadline after" in done.stderr


def test_a_deadline_before_anything_came_is_a_failure(base_url: str) -> None:
    done = invoke("generate", "Once", "--within", "0", "--base-url", base_url)
    assert done.exit_code == 1
    assert done.stdout == ""
    said = done.stderr.splitlines()[-1]
    assert said.startswith("Error: nothing had come back after 0 s")
    assert "--within" in said
    assert "--tokens-per-step" in said


def started(*words: str, until: str) -> subprocess.Popen[str]:
    """The command in a process group of its own, once it has said something on standard error."""
    process = subprocess.Popen(
        [sys.executable, "-m", "trio_beam", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    assert process.stderr is not None
    while until not in process.stderr.readline():
        assert process.poll() is None
    return process


def searching() -> subprocess.Popen[str]:
    """A long search on the embedded model, with its first round behind it."""
    return started("generate", "Once upon a time", *LONG, until="tokens/s")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_prints_the_best_so_far(number: signal.Signals) -> None:
    process = searching()
    # To the whole group, as a terminal does: the embedded model must not take it.
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert out.strip()
    assert "interrupted after" in err
    assert "Traceback" not in err


def test_a_second_signal_ends_it_at_once() -> None:
    process = searching()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    # Which of the two was read first is the system's choice.
    assert process.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    assert "Traceback" not in err


def test_a_signal_while_standard_input_is_read() -> None:
    with subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "trio_beam", "generate", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stderr is not None
        limit = threading.Timer(
            60, process.kill
        )  # the end of its lines, should the module have gone
        limit.start()
        # The last module that is imported before standard input is read.
        last = "trio_beam.command.strategy_options\n"
        assert any(line.endswith(last) for line in process.stderr)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        limit.cancel()


def test_local_serves_until_it_is_interrupted() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "trio_beam", "local", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    done = run("generate", "Once", *SHORT, OPENAI_BASE_URL=url)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert done.returncode == 0, done.stderr
    assert process.returncode == 130
    assert "Traceback" not in err


def test_the_key_comes_from_the_environment_and_is_not_shown() -> None:
    with threaded_server() as (url, bodies):
        named = ["--base-url", url, "--api-key-env", "MY_KEY"]
        done = run(
            "generate", "Once", *named, *SHORT, MY_KEY="sk-secret-key", OPENAI_API_KEY="sk-other"
        )
    assert done.returncode == 0
    assert bodies
    assert "sk-" not in done.stdout + done.stderr


BAD = {
    "an option that does not exist": ["--frobnicate"],
    "a width of zero": ["--beam-width", "0"],
    "no number": ["--max-tokens", "many"],
    "a negative deadline": ["--within", "-1"],
    "an empty stop": ["--stop", ""],
    "min-beams over the width": ["--min-beams", "9"],
    "a URL without scheme": ["--base-url", "127.0.0.1:8000"],
    "a key that is not there": ["--api-key-env", "NO_SUCH", "--base-url", "http://127.0.0.1:9/v1"],
    "an unknown dialect": ["--dialect", "klingon"],
    "a header without a name": ["--header", "hunter22"],
    "no JSON object": ["--extra-body", "[1]"],
    "a missing model file": ["--model-file", "none.gguf"],
    "a model without its server": ["--model", "gpt-9"],
    "a key without its server": ["--api-key-env", "HOME"],
    "a password in a URL without scheme": ["--base-url", "me:hunter22@127.0.0.1/v1"],
    "a limit that is no number": ["--max-concurrent", "many"],
    "a scorer that decides nothing": ["--scorer", "judge", "--strategy", "greedy"],
    "a vote of one": ["--answer", "vote", "--beam-width", "1"],
    "two places at once": ["--local", "--base-url", "http://127.0.0.1:1/v1"],
}


@pytest.mark.parametrize("words", BAD.values(), ids=BAD.keys())
def test_bad_arguments_are_named(words: list[str]) -> None:
    done = invoke("generate", "Once", *words)
    assert done.exit_code == 2
    assert done.stdout == ""
    named = words[0].removeprefix("--")
    assert named in done.stderr.replace("_", "-")
    assert "Traceback" not in done.stderr
    assert "hunter22" not in done.stderr


def test_a_key_given_for_the_name_of_its_variable_is_not_shown() -> None:
    done = invoke(
        "generate", "Once", "--base-url", "http://127.0.0.1:9", "--api-key-env", "sk-secret"
    )
    assert done.exit_code == 2
    assert "sk-secret" not in done.stderr


def test_a_prompt_that_is_no_text() -> None:
    words = [sys.executable, "-m", "trio_beam", "generate", "-"]
    done = subprocess.run(words, input=b"\xff", capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert b"prompt must be a text" in done.stderr


def test_an_empty_prompt() -> None:
    done = invoke("generate", "")
    assert done.exit_code == 2
    assert "prompt must be a text (Unicode, not empty)" in done.stderr


def test_a_search_that_fails(base_url: str) -> None:
    done = invoke("generate", "word " * 3000, "--base-url", base_url)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert "exceeds the available context size" in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_listening() -> None:
    done = invoke("generate", "Once", "--base-url", "http://127.0.0.1:9/v1")
    assert done.exit_code == 1
    assert "cannot connect" in done.stderr
    assert "again in" in done.stderr  # the retries are shown
    assert "http://127.0.0.1:9/v1" in done.stderr


def test_help_has_examples() -> None:
    for words in (["--help"], ["generate", "--help"], ["local", "--help"]):
        done = invoke(*words)
        assert done.exit_code == 0
        assert "Examples:" in done.stdout
    assert invoke("--version").stdout.startswith("trio-beam, version")


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_its_extra_it_says_what_to_install(missing: str) -> None:
    program = (
        f"import sys; sys.modules[{missing!r}] = None; sys.argv = ['trio-beam', 'generate', 'Hi'];"
        "from trio_beam.__main__ import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "trio-beam[cli]" in done.stderr
    assert len(done.stderr.splitlines()) == 1
