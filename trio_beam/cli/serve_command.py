"""The work of ``trio-beam serve``: the model's servers, the gateway, and their end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import attrs
import trio

from trio_beam.command.observing import close_trace, observers_of_search
from trio_beam.command.output import say, write
from trio_beam.core.price import Prices
from trio_beam.core.validation import integer, number
from trio_beam.endpoint.cache import ResponseCache
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.endpoint.replicas import REPLICA_RETRY, Replicas
from trio_beam.gateway.aliases import Aliases, Named
from trio_beam.gateway.app import Gateway
from trio_beam.gateway.limits import Limits
from trio_beam.gateway.server import base_url_of, listen, serve_gateway
from trio_beam.gateway.shown import ShownSearches
from trio_beam.local.keys import LOOPBACK
from trio_beam.local.server import serve_local
from trio_beam.observers.log import Log
from trio_beam.observers.trace import Trace


@attrs.define(kw_only=True, eq=False)
class ServeCommand:
    """The work of ``trio-beam serve``. Without base URLs: on the embedded model.

    Attributes:
        stop: set to end.
        cache: of responses.
    """

    base_urls: Sequence[str]
    model: str | None
    server_keys: Sequence[str | None] = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    extra_body: Mapping[str, Any]
    api: Any
    dialect: str
    max_concurrent: Any
    rates: Mapping[str, Any]
    prices: Prices | str | None
    stream: Any
    attempt_timeout: float
    model_file: Path | None
    aliases: Aliases
    default: Named
    limits: Limits
    host: str
    port: int = integer(minimum=0, maximum=65535)
    keys: Sequence[str] = attrs.field(repr=False)
    heart_beat: float = number(above=0)
    grace: float = number(minimum=0)
    ui: bool = False
    trace: Trace | None = None
    log: Log | None = None
    cache: ResponseCache | None = attrs.field(default=None, init=False)
    stop: trio.Event = attrs.field(factory=trio.Event, init=False)

    def __attrs_post_init__(self) -> None:
        # Report invalid arguments before starting a server.
        self._endpoints(self.base_urls or ["http://127.0.0.1/v1"])

    async def __call__(self, nursery: trio.Nursery) -> int:
        """Serve until stopped; return the exit code."""
        listener = listen(self.host, self.port)
        with listener:
            base_urls = self.base_urls
            if not base_urls:
                say("starting the embedded model")
                base_urls = [await nursery.start(self._serve_model)]
            async with AsyncExitStack() as stack:
                endpoints = [
                    await stack.enter_async_context(one) for one in self._endpoints(base_urls)
                ]
                await self._serve(Replicas(endpoints), listener)
        return close_trace(self.trace)

    async def _serve(self, replicas: Replicas, listener: Any) -> None:
        gateway = Gateway(
            replicas=replicas,
            aliases=self.aliases,
            default=self.default,
            limits=self.limits,
            heart_beat=self.heart_beat,
            keys=tuple(self.keys),
            observers_of=lambda name: observers_of_search(self.trace, self.log, name),
            hosts=LOOPBACK if self.host in LOOPBACK and not self.keys else None,
            shown=ShownSearches() if self.ui else None,
        )
        base_url = base_url_of(listener)
        async with trio.open_nursery() as nursery:
            await nursery.start(self._serve_gateway, gateway, listener)
            write(base_url)
            servers = ", ".join(one.endpoint.base_url for one in replicas.all)
            say(f"serving searches over {servers}; Ctrl-C ends it")
            if self.ui:
                say(f"its searches, with their prompts: {base_url.removesuffix('/v1')}/ui")
            await self.stop.wait()
            if gateway.shown is not None:
                gateway.shown.close()
            say(f"no more requests; those in progress have {self.grace:g} s")

    async def _serve_gateway(
        self, gateway: Gateway, listener: Any, *, task_status: trio.TaskStatus[None]
    ) -> None:
        await serve_gateway(
            gateway, listener, grace=self.grace, stop=self.stop, task_status=task_status
        )

    async def _serve_model(self, task_status: trio.TaskStatus[str]) -> None:
        await serve_local(self.model_file, task_status=task_status)

    def _endpoints(self, base_urls: Sequence[str]) -> list[Endpoint]:
        retry = REPLICA_RETRY if len(base_urls) > 1 else None
        keys = self.server_keys or [None] * len(base_urls)
        return [
            Endpoint(
                url,
                model=self.model,
                api_key=key,
                headers=self.headers,
                extra_body=self.extra_body,
                api=self.api,
                dialect=self.dialect,
                max_concurrent=self.max_concurrent,
                prices=self.prices,
                **self.rates,
                attempt_timeout=self.attempt_timeout,
                stream=self.stream,
                retry=retry,
                cache=self.cache,
            )
            for url, key in zip(base_urls, keys, strict=True)
        ]
