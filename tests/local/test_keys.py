"""Keys of embedded servers are found by their user's programs, and by nobody else's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from trio_beam import ConfigError, Endpoint, LocalModelError, local_api_key, serve_local
from trio_beam.local.keys import key_file, make_key_folder


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def sent_to(base_url: str, **options: str) -> str | None:
    return Endpoint(base_url, **options)._address.headers.get("authorization")  # type: ignore[arg-type]


def test_an_endpoint_finds_the_key_of_a_server_of_this_machine() -> None:
    key_file(make_key_folder(), 8080).write_text("of-this-start")
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert local_api_key(f"http://{host}:8080/v1") == "of-this-start"
        assert sent_to(f"http://{host}:8080/v1") == "Bearer of-this-start"
    for other in ("http://127.0.0.1:8081/v1", "https://127.0.0.1:8080/v1", "http://a.example:8080"):
        assert local_api_key(other) is None
        assert sent_to(other) is None
    assert local_api_key("http://127.0.0.1:port/v1") is None


def test_a_key_that_is_meant_for_elsewhere_is_not_sent_there() -> None:
    key_file(make_key_folder(), 8080).write_text("of-this-start")
    assert sent_to("http://127.0.0.1:8080/v1", api_key="sk-hosted") == "Bearer of-this-start"
    assert sent_to("http://127.0.0.1:8081/v1", api_key="sk-hosted") == "Bearer sk-hosted"


def test_the_folder_is_for_its_user_alone(runtime: Path) -> None:
    folder = make_key_folder()
    assert folder.stat().st_mode & 0o777 == 0o700
    key_file(folder, 8080).write_text("of-this-start")
    folder.chmod(0o755)
    with pytest.raises(LocalModelError, match="nobody else can read"):
        make_key_folder()
    assert local_api_key("http://127.0.0.1:8080/v1") is None


def test_a_folder_that_somebody_else_made_is_not_used(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file(make_key_folder(), 8080).write_text("theirs")
    user = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: user + 1)
    assert local_api_key("http://127.0.0.1:8080/v1") is None
    with pytest.raises(LocalModelError, match="must be a folder of this user"):
        make_key_folder()


def test_a_link_is_not_followed(runtime: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (runtime / "trio-beam").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LocalModelError, match="must be a folder of this user"):
        make_key_folder()


async def test_other_machines_need_a_key_of_the_users() -> None:
    for host in ("0.0.0.0", "192.0.2.1", "::", "model.lan", ""):
        with pytest.raises(ConfigError, match=r"^host must be"):
            await serve_local(host=host)


async def test_a_key_that_no_header_can_carry() -> None:
    for key in ("", "short", "with a blank", "line\nfeed-in-it", "größer-als-ascii"):
        with pytest.raises(ConfigError, match=r"^api_key must be .*'\*\*\*'$"):
            await serve_local(api_key=key)
