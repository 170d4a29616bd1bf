"""``--cache`` at the commands that search: what is asked twice is sent once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.batch.batches import read
from tests.servers.socket_server import threaded_server
from trio_beam.batch.command import batch
from trio_beam.benchmark.models import choose_model
from trio_beam.benchmark.settings import ModelGroup, Settings
from trio_beam.cli.generate import generate
from trio_beam.command.cache import cache_of

SHORT = ["--max-tokens", "4", "--tokens-per-step", "2", "--dialect", "openai", "--model", "m"]


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with threaded_server() as served:
        yield served


def invoke(command: Any, url: str, *words: object) -> Result:
    args = [*map(str, words), "--base-url", url, *SHORT]
    return CliRunner().invoke(command, args, env={"OPENAI_API_KEY": ""})


def test_generate_says_what_came_from_the_cache(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    url, bodies = server
    first = invoke(generate, url, "Once", "--cache", tmp_path, "--seed", 1)
    sent = len(bodies)
    again = invoke(generate, url, "Once", "--cache", tmp_path, "--seed", 1)
    assert (first.exit_code, again.exit_code) == (0, 0), first.stderr + again.stderr
    assert again.stdout == first.stdout
    assert len(bodies) == sent > 0
    assert "from the cache" not in first.stderr
    assert f"in 0 requests and {sent} from the cache" in again.stderr
    shown = invoke(generate, url, "Once", "--cache", tmp_path, "--seed", 1, "--json")
    usage = json.loads(shown.stdout)["usage"]
    assert (usage["requests"], usage["cached_responses"]) == (0, sent)


def test_samples_without_a_seed_are_not_kept_and_that_is_said(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    url, bodies = server
    said = "--cache keeps no samples without a seed"
    for _ in range(2):
        before = len(bodies)
        done = invoke(generate, url, "Once", "--cache", tmp_path)
        assert said in done.stderr
        assert len(bodies) > before
    done = invoke(generate, url, "Once", "--cache", tmp_path, "--strategy", "greedy")
    assert said not in done.stderr


def test_a_folder_that_cannot_be_used_is_one_line(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    (tmp_path / "file").write_text("")
    done = invoke(generate, server[0], "Once", "--cache", tmp_path / "file", "--seed", 1)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "cannot be used as a cache" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not server[1]


def test_another_batch_asks_only_for_what_is_new(
    tmp_path: Path, server: tuple[str, list[dict[str, Any]]]
) -> None:
    url, bodies = server
    prompts, cache = tmp_path / "prompts.jsonl", tmp_path / "cache"
    counts, answers = [], []
    for count in (2, 3):
        rows = [json.dumps({"id": one, "prompt": f"p {one}"}) for one in range(count)]
        prompts.write_text("\n".join(rows))
        out = tmp_path / str(count)
        done = invoke(batch, url, prompts, "--out", out, "--cache", cache, "--seed", 1)
        assert done.exit_code == 0, done.stderr
        counts.append(len(bodies))
        answers.append({one.id: one for one in read(out)})
    assert counts[1] == counts[0] * 3 // 2
    for name in "01":
        first, again = answers[0][name], answers[1][name]
        assert again.text == first.text
        assert (again.requests, again.cached_responses) == (0, first.requests)
        assert again.completion_tokens == first.completion_tokens > 0


def test_the_benchmark_has_it_as_a_key(tmp_path: Path) -> None:
    model = choose_model(
        Settings(model=ModelGroup(base_url="http://127.0.0.1:9/v1", cache=str(tmp_path))), {}
    )
    assert model.cache == str(tmp_path)
    assert "cache" not in model.identity


def test_the_embedded_model_is_known_by_its_file_wherever_it_listens(tmp_path: Path) -> None:
    one, other = tmp_path / "a" / "m.gguf", tmp_path / "b" / "m.gguf"
    for path, content in ((one, "1"), (other, "2")):
        path.parent.mkdir()
        path.write_text(content)
    names = [cache_of(tmp_path, embedded=True, model_file=path) for path in (one, one, other)]
    servers = [None if name is None else name.server for name in names]
    assert servers[0] == servers[1] != servers[2]
    assert cache_of(None, embedded=True, model_file=one) is None
