"""Which server the group ``model`` means, and an endpoint for it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import dotenv
import trio

from trio_beam.benchmark.common.nearest import nearest_keys
from trio_beam.benchmark.settings import ServedModel, Settings
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.errors import ConfigError
from trio_beam.local.server import serve_local

_PROVIDERS = ("auto", "local", "xai", "ollama", "vllm", "runpod", "openai")
#: Providers that refuse everything without a key.
_KEYED = ("xai", "openai")
_EMBEDDED = "SmolLM2-135M-Instruct"


@attrs.frozen(kw_only=True)
class Model:
    """A model and how to reach it.

    Attributes:
        provider: a provider's name, never ``"auto"``.
        name: for people; what the server calls it, if it was named.
        base_url: None for the embedded model.
        identity: what answers depend on: the same for the same model at another address.
    """

    provider: str
    name: str
    base_url: str | None
    identity: Mapping[str, Any]
    served_name: str | None
    api_key: str | None = attrs.field(repr=False)
    model_file: Path | None
    slots: int
    context: int
    threads: int | None
    options: Mapping[str, Any]

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Endpoint]:
        """An endpoint; for the embedded model also its server, which is gone when the block is left.

        Raises:
            LocalModelError: the embedded model did not start; in an `ExceptionGroup`.
        """
        if self.base_url is not None:
            async with self._endpoint(self.base_url) as endpoint:
                yield endpoint
            return
        async with trio.open_nursery() as nursery:
            base_url = await nursery.start(self._serve)
            async with self._endpoint(base_url) as endpoint:
                yield endpoint
            nursery.cancel_scope.cancel(reason="the run is done")

    def check(self) -> None:
        """Raise `ConfigError` for what an endpoint would refuse, before anything is started."""
        self._endpoint(self.base_url or "http://127.0.0.1/v1")

    def _endpoint(self, base_url: str) -> Endpoint:
        return Endpoint(base_url, model=self.served_name, api_key=self.api_key, **self.options)

    async def _serve(self, task_status: trio.TaskStatus[str]) -> None:
        await serve_local(
            self.model_file,
            slots=self.slots,
            context=self.context,
            threads=self.threads,
            task_status=task_status,
        )


def read_environment(folder: Path | None = None) -> dict[str, str]:
    """The environment, and below it what a file ``.env`` in `folder` (the current one) says."""
    file = (folder or Path.cwd()) / ".env"
    values = dotenv.dotenv_values(file) if file.is_file() else {}
    return {name: value for name, value in values.items() if value is not None} | dict(os.environ)


def choose_model(settings: Settings, environment: Mapping[str, str]) -> Model:
    """The model that the settings mean.

    Raises:
        ConfigError: an unknown provider; a key, a name or a base URL is missing; a name is given
            for the embedded model.
    """
    group = settings.model
    provider = _provider(settings)
    options = {
        "api": group.api,
        "dialect": group.dialect,
        "max_concurrent": settings.beam_search.max_concurrent or group.max_concurrent,
        "attempt_timeout": settings.beam_search.timeout or group.attempt_timeout,
        "stream": group.stream,
    }
    identity: dict[str, Any] = {"provider": provider, "api": group.api, "dialect": group.dialect}
    if provider == "local":
        return _local(settings, options, identity)
    served: ServedModel = getattr(group, provider)
    name = group.name or served.name
    base_url = group.base_url or served.base_url
    if provider == "runpod":
        base_url = base_url or environment.get("RUNPOD_ENDPOINT")
    if not base_url:
        more = ", or in RUNPOD_ENDPOINT" if provider == "runpod" else ""
        raise ConfigError(f"model.{provider}.base_url", f"given{more}", base_url)
    key = environment.get(served.api_key_env) or None
    if provider in _KEYED and key is None and not group.base_url:
        raise ConfigError(served.api_key_env, "set in the environment or in a file .env", key)
    model = Model(
        provider=provider,
        name=name or base_url,
        base_url=base_url,
        identity=identity | {"name": name} | ({} if name else {"base_url": base_url}),
        served_name=name,
        api_key=key,
        model_file=None,
        slots=group.local.slots,
        context=group.local.context,
        threads=group.local.threads,
        options=options,
    )
    model.check()
    return model


def _local(settings: Settings, options: dict[str, Any], identity: dict[str, Any]) -> Model:
    group = settings.model
    for key, value in (("model.name", group.name), ("model.base_url", group.base_url)):
        if value is not None:
            bound = "left out with model.provider=local (model.local.model_file names another file)"
            raise ConfigError(key, bound, value)
    file = None if group.local.model_file is None else Path(group.local.model_file)
    name = _EMBEDDED if file is None else file.stem
    model = Model(
        provider="local",
        name=name,
        base_url=None,
        identity=identity | {"name": name, "context": group.local.context},
        served_name=None,
        api_key=None,
        model_file=file,
        slots=group.local.slots,
        context=group.local.context,
        threads=group.local.threads,
        options=options,
    )
    model.check()
    return model


def _provider(settings: Settings) -> str:
    group = settings.model
    if group.provider not in _PROVIDERS:
        nearest = nearest_keys(group.provider, _PROVIDERS)
        meant = f" (did you mean {nearest[0]}?)" if nearest else ""
        raise ConfigError(
            "model.provider", f"one of {', '.join(_PROVIDERS)}{meant}", group.provider
        )
    if group.provider != "auto":
        return group.provider
    if group.base_url is not None:
        return "openai"
    if group.name is None:
        return "local"
    if group.name.startswith("grok"):
        return "xai"
    raise ConfigError("model.provider", "given with model.name (xai, ollama, vllm, ...)", "auto")
