"""``trio-beam batch`` over a real socket: what it prints, its exit codes, and that it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from tests.batch.batches import read
from tests.servers.mock_server import completion
from tests.servers.socket_server import threaded_server
from tests.servers.threaded import Asked, threaded
from trio_beam.batch.command import batch
from trio_beam.traces import read_trace, replay

SHORT = ["--max-tokens", "4", "--tokens-per-step", "2", "--seed", "1", "--dialect", "openai"]


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with threaded_server() as served:
        yield served


def write_prompts(path: Path, count: int) -> Path:
    rows = [{"id": number, "prompt": f"p {number}", "answer": 1} for number in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def invoke(server: tuple[str, Any], *words: object) -> Result:
    url, _ = server
    args = [*map(str, words), "--base-url", url, "--model", "m", *SHORT]
    return CliRunner().invoke(batch, args, env={"OPENAI_API_KEY": ""})


def test_it_goes_on_where_it_was(tmp_path: Path, server: tuple[str, list[dict[str, Any]]]) -> None:
    prompts, out = write_prompts(tmp_path / "prompts.jsonl", 6), tmp_path / "out"
    done = invoke(server, prompts, "--out", out, "--limit", 2)
    assert done.exit_code == 0, done.stderr
    assert done.stdout == f"{out / 'results.jsonl'}\n"
    assert len(read(out)) == 2
    assert "2 answers in" in done.stderr
    asked = len(server[1])
    done = invoke(server, prompts, "--out", out, "--parquet", "--beams")
    assert done.exit_code == 0, done.stderr
    assert "2 prompts done already, 4 left" in done.stderr
    answers = read(out)
    assert sorted(one.id for one in answers) == list("012345")
    assert parquet.read_table(out / "results.parquet").column("id").to_pylist() == [
        one.id for one in answers
    ]
    assert len(server[1]) == 3 * asked
    again = invoke(server, prompts, "--out", out)
    assert (again.exit_code, len(server[1])) == (0, 3 * asked)
    assert sorted(path.name for path in out.iterdir()) == [
        "results.jsonl",
        "results.parquet",
        "run.json",
    ]


def test_what_has_changed_is_named_and_nothing_is_touched(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    prompts, out = write_prompts(tmp_path / "prompts.jsonl", 2), tmp_path / "out"
    assert invoke(server, prompts, "--out", out).exit_code == 0
    before = (out / "results.jsonl").read_bytes()
    done = invoke(server, prompts, "--out", out, "--beam-width", 3)
    assert done.exit_code == 1
    assert "beam_width was not given and is 3" in done.stderr
    prompts.write_text('{"id": 0, "prompt": "other"}\n')
    done = invoke(server, prompts, "--out", out)
    assert done.exit_code == 1
    assert "'0' has another prompt now" in done.stderr
    assert "'1' is not in the file any more" in done.stderr
    assert (out / "results.jsonl").read_bytes() == before
    done = invoke(server, prompts, "--out", out, "--allow-changes")
    assert done.exit_code == 0, done.stderr


def test_a_prompt_that_failed_and_was_mended_is_searched_again(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "out"
    row = {"id": "a", "prompt": "p", "search": {"max_tokens": -1}}
    prompts.write_text(json.dumps(row) + "\n")
    assert invoke(server, prompts, "--out", out).exit_code == 1
    prompts.write_text(json.dumps(row | {"search": {"max_tokens": 2}}) + "\n")
    done = invoke(server, prompts, "--out", out)
    assert done.exit_code == 1
    assert "add --retry-failed to search for it as it is now" in done.stderr
    done = invoke(server, prompts, "--out", out, "--retry-failed")
    assert done.exit_code == 0, done.stderr
    assert f"1 answer in {out / 'results.jsonl'};" in done.stderr
    done = invoke(server, prompts, "--out", out)
    assert "1 prompt done already, 0 left" in done.stderr
    assert "/s" not in done.stderr  # no rate of nothing


def test_another_model_at_the_same_server_is_noticed(tmp_path: Path) -> None:
    prompts, out = write_prompts(tmp_path / "prompts.jsonl", 3), tmp_path / "out"
    served = "one"

    def answer(asked: Asked) -> tuple[int, Any]:
        if asked.method == "GET":
            return 200, {"data": [{"id": served}]}
        return 200, completion(json.loads(asked.content))

    with threaded(answer) as url:
        words = [*map(str, (prompts, "--out", out)), "--base-url", url, *SHORT]
        assert CliRunner().invoke(batch, [*words, "--limit", "1"]).exit_code == 0
        served = "other"
        done = CliRunner().invoke(batch, words)
        assert done.exit_code == 1
        assert "served_model was 'one' and is 'other'" in done.stderr
        assert len(read(out)) == 1
        served = "one"
        assert CliRunner().invoke(batch, words).exit_code == 0
        served = "other"
        assert CliRunner().invoke(batch, words).exit_code == 0  # nothing is left to be searched
        prompts.write_text(prompts.read_text() + '{"id": "new", "prompt": "p"}\n')
        for options in (["--allow-changes"], []):
            assert CliRunner().invoke(batch, [*words, *options]).exit_code == 0
    assert len(read(out)) == 4


def test_the_closing_line_counts_what_the_folder_has(tmp_path: Path) -> None:
    prompts, out = write_prompts(tmp_path / "prompts.jsonl", 4), tmp_path / "out"

    def answer(asked: Asked) -> tuple[int, Any]:
        body = json.loads(asked.content)
        refused = body["prompt"] == "p 2"
        return (400, {"error": {"message": "no"}}) if refused else (200, completion(body))

    with threaded(answer) as url:
        for _ in range(2):
            done = invoke((url, []), prompts, "--out", out, "--price-input", 1, "--price-output", 1)
            assert done.exit_code == 1
            assert f"3 answers in {out / 'results.jsonl'}, 1 prompt without one in" in done.stderr
            assert "unknown price" not in done.stderr  # what was refused has cost nothing


def test_records_of_something_else_are_left_alone(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    prompts, out = write_prompts(tmp_path / "prompts.jsonl", 1), tmp_path / "out"
    out.mkdir()
    (out / "results.jsonl").write_text('{"id": "of another program"}\n')
    done = invoke(server, prompts, "--out", out)
    assert done.exit_code == 1
    assert "results.jsonl is not of a run" in done.stderr
    assert [path.name for path in out.iterdir()] == ["results.jsonl"]
    assert (out / "results.jsonl").read_text() == '{"id": "of another program"}\n'
    assert invoke(server, prompts, "--out", out, "--allow-changes").exit_code == 0


def test_files_of_others_stay_as_they_are(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    prompts = write_prompts(tmp_path / "work.jsonl", 1)
    for name in ("work.md", "work.sqlite", "run.txt", "results.csv"):
        (tmp_path / name).write_text("of somebody")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    done = invoke(server, prompts, "--out", tmp_path)
    assert done.exit_code == 0, done.stderr
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert before.items() <= after.items()
    assert after.keys() - before.keys() == {"results.jsonl", "run.json"}


BAD: dict[str, tuple[list[str], str, int]] = {
    "no file": (["none.jsonl"], "none.jsonl cannot be read", 1),
    "no format": (["prompts.doc"], "no known format", 1),
    "bad line": (["bad.jsonl"], "line 2: not JSON", 1),
    "twice": (["twice.jsonl"], "records 1 and 2 have the same id", 1),
    "bad value": (["prompts.jsonl", "--beam-width", "0"], "--beam-width", 2),
    "no effect": (["prompts.jsonl", "--strategy", "greedy", "--n", "3"], "no effect", 2),
    "two models": (["prompts.jsonl", "--local"], "which?", 2),
    "cluster alone": (["prompts.jsonl", "--address", "auto"], "goes with --engine ray", 2),
    "a client's address": (
        ["prompts.jsonl", "--engine", "ray", "--address", "ray://head:10001"],
        "run the command on a machine of the cluster",
        2,
    ),
    "too many workers": (
        ["prompts.jsonl", "--engine", "ray", "--workers", "200"],
        "--workers 200 share --max-concurrent 100",
        2,
    ),
    "a trace from elsewhere": (
        ["prompts.jsonl", "--engine", "ray", "--trace", "t.jsonl"],
        "--trace goes with --engine local",
        2,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_before_anything_is_asked(
    name: str, tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    words, message, code = BAD[name]
    write_prompts(tmp_path / "prompts.jsonl", 2)
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a"}\n{"prompt": \n')
    (tmp_path / "twice.jsonl").write_text('{"id": 1, "prompt": "a"}\n{"id": "1", "prompt": "b"}\n')
    done = invoke(server, tmp_path / words[0], *words[1:], "--out", tmp_path / "out")
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert server[1] == []
    assert not (tmp_path / "out").exists()


def test_a_lost_replica_is_left(tmp_path: Path, server: tuple[str, list[dict[str, Any]]]) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", 6)
    assert invoke(server, prompts, "--out", tmp_path / "one").exit_code == 0
    with threaded_server() as (lost, _):
        pass
    done = invoke(server, prompts, "--out", tmp_path / "two", "--base-url", lost)
    assert done.exit_code == 0, done.stderr
    one, two = ({a.id: a.text for a in read(tmp_path / name)} for name in ("one", "two"))
    assert one == two
    assert len(one) == 6
    done = CliRunner().invoke(
        batch,
        [str(prompts), "--out", str(tmp_path / "none"), "--model", "m", *SHORT]
        + ["--base-url", lost] * 2,
    )
    assert done.exit_code == 1
    assert "no prompt would fare better" in done.stderr


def test_a_folder_that_cannot_be_made(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", 2)
    done = invoke(server, prompts, "--out", prompts / "out")
    assert done.exit_code == 1
    assert "out cannot be made: Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_keeps_what_is_there(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    prompts, out = write_prompts(tmp_path / "prompts.jsonl", 4000), tmp_path / "out"
    words = ["batch", str(prompts), "--out", str(out), "--base-url", server[0], "--model", "m"]
    process = subprocess.Popen(
        [sys.executable, "-m", "trio_beam", *words, *SHORT, "--max-searches", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("OPENAI_")},
    )
    deadline = time.monotonic() + 60
    while not (out / "results.jsonl").exists() or not (out / "results.jsonl").stat().st_size:
        assert time.monotonic() < deadline
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted" in stderr
    assert "the same command goes on" in stderr
    done = {one.id for one in read(out)}
    assert 0 < len(done) < 4000


def test_every_search_is_traced_with_its_id(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    prompts = write_prompts(tmp_path / "prompts.jsonl", 3)
    trace = tmp_path / "run.jsonl"
    result = invoke(server, prompts, "--out", tmp_path / "out", "--trace", trace)
    assert result.exit_code == 0, result.output
    found = read_trace(trace).searches
    assert len({one.began.label for one in found}) == 3
    assert all(one.end is not None for one in found)
    assert replay(trace, search=2).text in [one.text for one in read(tmp_path / "out")]
    prompts = write_prompts(tmp_path / "prompts.jsonl", 4)
    assert not invoke(server, prompts, "--out", tmp_path / "out", "--trace", trace).exit_code
    labels = [
        one.began.label for one in read_trace(trace).searches
    ]  # the restart has added its own
    assert sorted(labels) == list("0123")
    again = invoke(server, prompts, "--out", tmp_path / "out", "--trace", prompts)
    assert again.exit_code == 1
    assert "holds something else than a trace" in again.output
