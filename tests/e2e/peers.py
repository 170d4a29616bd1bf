"""Real HTTP servers, each on a port of its own: Hypercorn in this process, uvicorn and nginx as children."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from tests.e2e.asgi_app import App

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@contextmanager
def listening() -> Iterator[socket.socket]:
    """A socket that listens already: what connects before the server is up waits."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        yield listener


def url_of(listener: socket.socket, scheme: str = "http") -> str:
    """Where an endpoint finds it."""
    return f"{scheme}://localhost:{listener.getsockname()[1]}/v1"


async def tell(url: str, what: str, number: int = 0) -> dict[str, int]:
    """Ask the app what it has seen, on a connection of its own and by httpx's own transport."""
    async with httpx.AsyncClient(trust_env=False, verify=False, timeout=None) as client:
        answer = await client.get(f"{url}/{what}?{number}")
    counts: dict[str, int] = answer.json()
    return counts


@asynccontextmanager
async def hypercorn(app: App, listener: socket.socket, **options: Any) -> AsyncIterator[trio.Event]:
    """Serve in this process; yields the event that lets it shut down gracefully."""
    config = Config()
    config.bind = [f"fd://{os.dup(listener.fileno())}"]
    config.errorlog = None
    config.backlog = 512
    for name, value in options.items():
        setattr(config, name, value)
    shutdown = trio.Event()
    async with trio.open_nursery() as nursery:
        application: Any = app
        run = partial(serve, application, config, shutdown_trigger=shutdown.wait)
        await nursery.start(run)
        yield shutdown
        if not shutdown.is_set():
            nursery.cancel_scope.cancel()


@contextmanager
def uvicorn(protocol: str) -> Iterator[str]:
    """Serve in a child; yields the base URL."""
    with listening() as listener:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.e2e.asgi_app", protocol, str(listener.fileno())],
            pass_fds=[listener.fileno()],
            cwd=Path(__file__).parents[2],
        )
        try:
            yield url_of(listener)
        finally:
            child.terminate()
            child.wait(10)


_NGINX_CONF = """
{user}
worker_processes 1;
daemon off;
pid {directory}/pid;
error_log {directory}/error.log warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {http}
    server {{
        listen 127.0.0.1:{port} {listen};
        {server}
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_set_header x-client $remote_addr:$remote_port;
            {location}
        }}
    }}
}}
"""


@asynccontextmanager
async def nginx(
    directory: Path,
    upstream: int,
    *,
    http: str = "",
    server: str = "",
    location: str = "",
    listen: str = "",
) -> AsyncIterator[tuple[str, trio.Process]]:
    """A proxy before a port, with more lines for each block; yields its base URL and process.

    nginx takes over a socket that listens already as it does when its own binary is replaced.
    """
    assert NGINX is not None
    async with trio.open_nursery() as nursery:
        with listening() as listener:
            configuration = _NGINX_CONF.format(
                user="user root;" if os.geteuid() == 0 else "",  # who can read the directory
                directory=directory,
                port=listener.getsockname()[1],
                upstream=upstream,
                http=http,
                server=server,
                location=location,
                listen=listen,
            )
            (directory / "nginx.conf").write_text(configuration)
            command = [NGINX, "-p", str(directory), "-e", "error.log", "-c", "nginx.conf"]
            run = partial(
                trio.run_process,
                command,
                pass_fds=[listener.fileno()],
                env=os.environ | {"NGINX": f"{listener.fileno()};"},
                stderr=subprocess.DEVNULL,
                check=False,
            )
            process: trio.Process = await nursery.start(run)
            url = url_of(listener, "https" if "ssl" in listen else "http")
        yield url, process
        nursery.cancel_scope.cancel()
