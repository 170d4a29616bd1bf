"""`Endpoint.capabilities` and ``trio-beam probe`` on the embedded model."""

from __future__ import annotations

import json

import trio
from click.testing import CliRunner

from tests.e2e.conftest import SLOTS
from trio_beam import Endpoint
from trio_beam.cli.main import cli


async def test_the_embedded_model_is_what_it_is(own_base_url: str) -> None:
    with trio.fail_after(120):
        async with Endpoint(own_base_url) as endpoint:
            found = await endpoint.capabilities()
            attempts = endpoint.statistics().attempts
            assert await endpoint.capabilities() is found
            assert endpoint.statistics().attempts == attempts <= 37
    assert found.dialect == "llama_cpp"
    assert found.server is not None
    assert found.server.startswith("llama.cpp")
    assert (found.slots, found.max_n, found.context_tokens) == (SLOTS, SLOTS, 1024)
    assert found.choices_differ
    assert found.seed_repeats
    assert found.seed_plus_index
    assert (found.logprobs, found.max_logprobs, found.raw_logprobs) == ("native", None, True)
    assert found.end_of_text_counted is not False  # None: this answer did not end in time
    assert found.token_ids_in
    assert found.token_ids_out
    assert found.continues_chat
    assert found.streams
    assert found.inexact == ()
    assert any("stream=True" in note for note in found.notes)


def test_by_text_it_says_why_it_is_inexact(own_base_url: str) -> None:
    args = ["probe", "--json", "--quiet", "--dialect", "openai", own_base_url]
    done = CliRunner().invoke(cli, args)
    assert (done.exit_code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["max_n"] == SLOTS
    assert found["continues_chat"]
    assert found["streams"]
    (reason,) = found["inexact"]
    assert "by their text" in reason


def test_the_command_prints_a_report(own_base_url: str) -> None:
    done = CliRunner().invoke(cli, ["probe", own_base_url])
    assert done.exit_code == 0
    assert "token ids:              in: yes, out: yes" in done.stdout
    assert "A search here is exact." in done.stdout
    assert "streaming" in done.stderr


def test_what_is_wrong_is_said(own_base_url: str) -> None:
    def fails(code: int, words: str, *args: str) -> None:
        done = CliRunner().invoke(cli, ["probe", *args])
        assert (done.exit_code, done.stdout) == (code, "")
        assert words in done.stderr

    fails(2, "URL must be a URL", "nonsense")
    fails(2, "which?", "--local", own_base_url)
    fails(2, "no NOT_THERE", "--api-key-env", "NOT_THERE", own_base_url)
    fails(1, "cannot connect", "http://127.0.0.1:9/v1", "--quiet")
