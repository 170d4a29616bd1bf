"""Serve the gateway: Hypercorn on Trio, with its limits."""

from __future__ import annotations

import socket
from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from trio_beam.errors import ConfigError
from trio_beam.gateway.app import Gateway

#: Size of a request's head, in bytes.
MAX_HEAD = 16 * 1024
#: Seconds for which a client may take nothing of what it is sent.
_MAX_UNREAD = 30.0


async def serve_gateway(
    gateway: Gateway,
    listener: socket.socket,
    *,
    grace: float,
    stop: trio.Event,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until `stop`; then take no more requests, and cancel what runs after `grace` seconds.

    Args:
        gateway: what to serve.
        listener: a socket that listens; it is closed at the end.
        grace: seconds for the requests in progress.
        stop: set to end.
        task_status: told when requests are answered.
    """
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = None  # the door shows bugs, with the request's id
    config.graceful_timeout = grace
    config.h11_max_incomplete_size = MAX_HEAD
    config.keep_alive_timeout = gateway.limits.max_send_time  # also the time for a request's head
    config.include_server_header = False
    app: Any = gateway.app()
    async with trio.open_nursery() as nursery:
        run = partial(serve, app, config, shutdown_trigger=stop.wait)
        await nursery.start(run)
        task_status.started()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ConfigError: it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        wrong = ConfigError("port", "one that is free", port)
        wrong.args = (f"cannot listen at {host} port {port}: {error}",)
        raise wrong from None
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        # Hypercorn shields its writes; the kernel ends a connection whose client reads nothing.
        unread = int(_MAX_UNREAD * 1000)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, unread)
    return listener


def base_url_of(listener: socket.socket) -> str:
    """Return where clients on this machine find it."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # not listening
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


