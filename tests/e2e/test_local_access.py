"""The embedded model's server is there for its caller, and for nobody else."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import trio

from tests.e2e.bare import bare_client
from tests.e2e.test_cli import run, started
from tests.e2e.test_local_server import children
from trio_beam import BeamSearchConfig, Endpoint, LocalModelError, beam_search, serve_local
from trio_beam.local.keys import key_file, local_api_key, make_key_folder

GENERATE = json.dumps({"prompt": "Once", "n_predict": 2}).encode()


async def test_without_the_key_nothing_is_answered(base_url: str) -> None:
    root = base_url.removesuffix("/v1")
    async with httpx.AsyncClient(base_url=root, trust_env=False) as client:
        for path in ("/slots", "/props", "/metrics", "/v1/models", "/models"):
            assert (await client.get(path)).status_code == 401, path
        for path in ("/completion", "/v1/completions", "/v1/chat/completions", "/tokenize"):
            for header in ({}, {"authorization": "Bearer sk-guess"}, {"x-api-key": "guess"}):
                assert (await client.post(path, json={}, headers=header)).status_code == 401, path


@pytest.mark.parametrize("foreign", [{"host": "evil.example"}, {"origin": "http://evil.example"}])
async def test_a_web_page_is_refused_even_with_the_key(
    base_url: str, foreign: dict[str, str]
) -> None:
    async with bare_client(base_url) as client:
        for path in ("/health", "/slots", "/v1/models"):
            answer = await client.get(path, headers=foreign)
            assert answer.status_code == 403
            assert "access-control-allow-origin" not in answer.headers
        preflight = {"access-control-request-method": "POST", **foreign}
        assert (await client.options("/completion", headers=preflight)).status_code == 403
        assert (await client.get("/slots")).status_code == 200


async def exchange(base_url: str, *pieces: bytes) -> bytes:
    """What comes back for these bytes, until the server closes."""
    parts = urlsplit(base_url)
    stream = await trio.open_tcp_stream("127.0.0.1", parts.port or 0)
    got = b""
    async with stream:
        for piece in pieces:
            await stream.send_all(piece)
            await trio.testing.wait_all_tasks_blocked()
        while data := await stream.receive_some():
            got += data
    return got


def request(base_url: str, *lines: str, body: bytes = b"", close: bool = True) -> bytes:
    own = [f"Host: {urlsplit(base_url).netloc}", f"Authorization: Bearer {local_api_key(base_url)}"]
    own += ["Connection: close"] if close else []
    length = [f"Content-Length: {len(body)}"] if body else []
    line = "POST /completion HTTP/1.1" if body else "GET /slots HTTP/1.1"
    return "\r\n".join([line, *own, *lines, *length, "", ""]).encode() + body


async def test_requests_arrive_in_any_pieces(base_url: str) -> None:
    whole = request(base_url, body=GENERATE)
    with trio.fail_after(60):
        for size in (1, 7, len(whole)):
            pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
            answer = await exchange(base_url, *pieces)
            assert answer.startswith(b"HTTP/1.1 200")


async def test_the_second_request_of_a_connection_is_looked_at_too(base_url: str) -> None:
    first = request(base_url, body=GENERATE, close=False)
    with trio.fail_after(60):
        answer = await exchange(base_url, first + request(base_url, "Origin: http://evil.example"))
        assert b"foreign Origin" in answer
        # A request in the body of another is a body.
        inner = request(base_url, "Origin: http://evil.example")
        answer = await exchange(base_url, request(base_url, body=inner))
        assert answer.count(b"HTTP/1.1 ") == 1
        assert not answer.startswith(b"HTTP/1.1 403")


async def test_an_endless_head(base_url: str) -> None:
    with trio.fail_after(60):
        answer = await exchange(base_url, b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000)
    assert answer.startswith(b"HTTP/1.1 431")


def shown(process: int, name: str) -> bytes:
    return Path(f"/proc/{process}/{name}").read_bytes()


async def test_its_key_is_another_at_each_start_and_gone_with_it() -> None:
    keys = []
    for _ in range(2):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve_local)
            file = key_file(make_key_folder(), urlsplit(url).port or 0)
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            keys.append(file.read_text())
            assert len(keys[-1]) > 30
            for child in children():  # nowhere that other users might read
                assert keys[-1].encode() not in shown(child, "cmdline") + shown(child, "environ")
            nursery.cancel_scope.cancel()
        assert not file.exists()
    assert keys[0] != keys[1]


async def test_the_callers_environment_is_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "OPENAI_API_KEY",
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "LLAMA_API_KEY",
        "PGPASSWORD",
    ):
        monkeypatch.setenv(name, "sk-visible")
    before = children()
    async with trio.open_nursery() as nursery:
        await nursery.start(serve_local)
        (child,) = children() - before
        found = shown(child, "environ")
        assert b"PATH=" in found
        assert b"sk-visible" not in found
        nursery.cancel_scope.cancel()


async def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, trio.fail_after(60):
        port = taken.getsockname()[1]
        with pytest.raises(LocalModelError, match=f"cannot listen on port {port}"):
            await serve_local(port=port)


async def test_a_server_for_other_machines_with_a_key_of_the_users() -> None:
    async def serve(task_status: trio.TaskStatus[str]) -> None:
        await serve_local(host="0.0.0.0", api_key="my-own-key", slots=1, task_status=task_status)

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve)
            assert url.startswith("http://127.0.0.1:")
            headers = {"authorization": "Bearer my-own-key", "host": "model.lan"}
            async with httpx.AsyncClient(trust_env=False) as client:
                assert (await client.get(f"{url}/models", headers=headers)).status_code == 200
                assert (await client.get(f"{url}/models")).status_code == 401
            nursery.cancel_scope.cancel()


async def test_many_connections_at_once(base_url: str) -> None:
    # Of 8 tokens, some belong to whole characters.
    config = BeamSearchConfig(beam_width=16, n_per_beam=4, tokens_per_step=8, max_tokens=8, seed=1)
    with trio.fail_after(120):
        async with Endpoint(
            base_url, dialect="openai", model="m", max_n=1, max_concurrent=64
        ) as endpoint:
            result = await beam_search(endpoint, "Once", config)
            assert result.usage.requests == 64
            assert endpoint.statistics().retries == 0


def test_the_command_for_other_machines() -> None:
    done = run("local", "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 2
    assert "host must be one of" in done.stderr
    assert done.stdout == ""
    done = run("local", "--host", "0.0.0.0", "--api-key-env", "NOT_THERE")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_the_best_so_far_is_printed_when_the_model_dies(more: list[str]) -> None:
    long = ["--tokens-per-step", "8", "--max-tokens", "400", "--seed", "4"]
    before = children_of_anybody()
    process = started("generate", "Once upon a time", *long, *more, until="tokens/s")
    (child,) = [one for one in children_of_anybody() - before if parent(one) == process.pid]
    os.kill(child, 9)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in err
    if more:
        found = json.loads(out)
        assert (found["stop_reason"], bool(found["text"])) == ("failed", True)
    else:
        assert out.strip()
    assert "Error: the embedded model ended by itself (-9)" in err


def children_of_anybody() -> set[int]:
    found = set()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"_local_child.py" in file.read_bytes():
                found.add(int(file.parent.name))
        except OSError:
            continue
    return found


def parent(process: int) -> int:
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
