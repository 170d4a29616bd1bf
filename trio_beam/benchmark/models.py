"""Resolve the group ``model`` to a server, and open an endpoint for it."""

from __future__ import annotations

import io
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import dotenv
import trio

from trio_beam.benchmark.common.encoding import decode
from trio_beam.benchmark.providers import PROVIDERS, Provider
from trio_beam.benchmark.settings import LocalModel, ModelGroup, Settings
from trio_beam.command.api_keys import BASE_URL, api_key_for, service_at
from trio_beam.command.cache import cache_of
from trio_beam.command.price_options import prices_from
from trio_beam.core.price import Prices
from trio_beam.endpoint.cache import ResponseCache
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.errors import ConfigError
from trio_beam.local.server import serve_local
from trio_beam.records.identity import fingerprint

_EMBEDDED = "SmolLM2-135M-Instruct"
_HERE = "http://127.0.0.1/v1"


@attrs.frozen(kw_only=True)
class Model:
    """A model and how to reach it.

    Attributes:
        provider: a provider's name, never ``"auto"``.
        name: display name.
        base_url: None for the embedded model.
        identity: everything answers depend on; the same for the same model at another address.
        served_name: the server's name for it; None: the only one that the server lists.
        cache: folder of the cache of responses; None: there is none.
        why: a line that says why it was chosen if no model was named; otherwise "".
    """

    provider: str
    name: str
    base_url: str | None
    identity: Mapping[str, Any]
    served_name: str | None
    api_key: str | None = attrs.field(repr=False)
    local: LocalModel
    options: Mapping[str, Any] = attrs.field(repr=False)
    cache: str | None = None
    why: str = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Endpoint]:
        """Open an endpoint, and for the embedded model also its server until the block ends.

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
        """Raise `ConfigError` for arguments that an endpoint would refuse, before starting anything."""
        self._endpoint(self.base_url or _HERE)

    def _endpoint(self, base_url: str) -> Endpoint:
        return Endpoint(
            base_url,
            model=self.served_name,
            api_key=self.api_key,
            cache=self._cache(),
            **self.options,
        )

    def _cache(self) -> ResponseCache | None:
        folder = None if self.cache is None else Path(self.cache).expanduser()
        embedded = self.base_url is None
        return cache_of(folder, embedded=embedded, model_file=_model_file(self.local))

    async def _serve(self, task_status: trio.TaskStatus[str]) -> None:
        file = _model_file(self.local)
        await serve_local(
            file,
            slots=self.local.slots,
            context=self.local.context,
            threads=self.local.threads,
            task_status=task_status,
        )


@attrs.frozen
class _Choice:
    """A provider; if it was not named, why it was chosen, and its address if that was the reason."""

    provider: str
    why: str = ""
    base_url: str | None = None


def read_environment(folder: Path | None = None) -> dict[str, str]:
    """Read the environment, completed by the nearest ``.env`` file in a folder or its parents.

    Args:
        folder: None: the current one.
    """
    start = (folder or Path.cwd()).absolute()
    files = (above / ".env" for above in (start, *start.parents))
    file = next((file for file in files if file.is_file()), None)
    values = {} if file is None else dotenv.dotenv_values(stream=io.StringIO(_text_of(file)))
    return {name: value for name, value in values.items() if value is not None} | dict(os.environ)


def choose_model(settings: Settings, environment: Mapping[str, str]) -> Model:
    """Choose the model specified by the settings and the environment.

    Raises:
        ConfigError: a key, a name or a base URL is missing; a name is given for the embedded model.
    """
    choice = _choose(settings, environment)
    embedded = choice.provider == "local"
    model = _local(settings, choice) if embedded else _served(settings, choice, environment)
    model.check()
    return model


def _choose(settings: Settings, environment: Mapping[str, str]) -> _Choice:
    named = _named(settings.model)
    return _found(settings.model, environment) if named is None else _Choice(named)


def _named(group: ModelGroup) -> str | None:
    """Return the provider that the settings name or imply."""
    if group.provider != "auto":
        return group.provider
    if group.base_url is not None:
        return _provider_at(group.base_url)
    if group.name is not None and group.name.startswith("grok"):
        return "xai"
    return None if group.local.model_file is None else "local"


def _found(group: ModelGroup, environment: Mapping[str, str]) -> _Choice:
    """Return the provider that the environment implies, or the embedded model."""
    if url := environment.get(BASE_URL):
        return _Choice(_provider_at(url), f"{BASE_URL} is set, so its server answers", url)
    if group.name is not None:
        raise ConfigError(
            "model.provider", "given with model.name (xai, ollama, vllm, ...)", "auto"
        )
    if environment.get(PROVIDERS["xai"].api_key_env):
        return _Choice(
            "xai",
            "XAI_API_KEY is set and no model is named, so the hosted model answers"
            " (model.provider=local: the embedded one)",
        )
    return _Choice(
        "local", "no model is named, so the embedded one answers (model.provider names another)"
    )


def _provider_at(base_url: str) -> str:
    """Return the provider at a host; any other server is assumed to speak OpenAI's protocol."""
    service = service_at(base_url)
    own = [
        name for name, one in PROVIDERS.items() if service and one.api_key_env == service.variable
    ]
    return own[0] if own else "openai"


def _served(settings: Settings, choice: _Choice, environment: Mapping[str, str]) -> Model:
    group, provider = settings.model, PROVIDERS[choice.provider]
    served = group.served[choice.provider]
    base_url = (
        group.base_url
        or served.base_url
        or choice.base_url
        or environment.get(provider.base_url_env)
        or provider.base_url
    )
    if not base_url:
        raise ConfigError(
            f"model.{choice.provider}.base_url", f"given, or in {provider.base_url_env}", base_url
        )
    at_home = provider.elsewhere or base_url == provider.base_url
    name = group.name or served.name or (provider.model if at_home else None)
    identity = {"provider": choice.provider, **_how_it_is_asked(settings), "name": name}
    return Model(
        provider=choice.provider,
        name=name or base_url,
        base_url=base_url,
        identity=identity if name else identity | {"base_url": base_url},
        served_name=name,
        api_key=_api_key(settings, provider, served.api_key_env, base_url, environment),
        local=group.local,
        options=_options(settings),
        cache=group.cache,
        why=choice.why,
    )


def _api_key(
    settings: Settings,
    provider: Provider,
    variable: str | None,
    base_url: str,
    environment: Mapping[str, str],
) -> str | None:
    """Return the API key from the variable in the settings, or the host's, or the provider's."""
    service = service_at(base_url)
    variable = None if variable == provider.api_key_env else variable
    if variable is not None:
        key = environment.get(variable) or None
    elif service is not None or provider is PROVIDERS["openai"]:
        key = api_key_for(base_url, environment)
    else:
        key = environment.get(provider.api_key_env) or None
    wanted = variable or (service.variable if service is not None and service.needs_key else None)
    authorised = any(name.lower() == "authorization" for name in settings.model.headers)
    if key is None and wanted and not authorised:
        raise ConfigError(wanted, "set in the environment or in a file .env", None)
    return key


def _local(settings: Settings, choice: _Choice) -> Model:
    group = settings.model
    for key, value in (("model.name", group.name), ("model.base_url", group.base_url)):
        if value is not None:
            bound = "left out with model.provider=local (model.local.model_file names another file)"
            raise ConfigError(key, bound, value)
    file = _model_file(group.local)
    name = _EMBEDDED if file is None else file.stem
    identity = {"provider": "local", **_how_it_is_asked(settings), "context": group.local.context}
    identity |= {"name": name} if file is None else {"file": fingerprint(file)}
    return Model(
        provider="local",
        name=name,
        base_url=None,
        identity=identity,
        served_name=None,
        api_key=None,
        local=group.local,
        options=_options(settings),
        cache=group.cache,
        why=choice.why,
    )


def _model_file(local: LocalModel) -> Path | None:
    return None if local.model_file is None else Path(local.model_file).expanduser()


def _how_it_is_asked(settings: Settings) -> dict[str, Any]:
    """Return the part of a model's identity other than its name."""
    group = settings.model
    asked: dict[str, Any] = {"api": group.api, "dialect": group.dialect}
    return asked | {"extra_body": dict(group.extra_body)} if group.extra_body else asked


def _options(settings: Settings) -> dict[str, Any]:
    """Return the endpoint's options; the original's per-strategy limits apply to all requests."""
    group = settings.model
    extra = [strategy.extra for strategy in settings.strategies.values()]

    def given(name: str) -> list[Any]:
        return [one[name] for one in extra if one.get(name) is not None]

    retries = given("max_retries")
    return {
        "api": group.api,
        "dialect": group.dialect,
        "max_concurrent": min(given("max_concurrent"), default=group.max_concurrent),
        "requests_per_minute": group.requests_per_minute,
        "tokens_per_minute": group.tokens_per_minute,
        "rate_file": group.rate_file,
        "attempt_timeout": max(given("timeout"), default=group.attempt_timeout),
        "stream": group.stream,
        "prices": _prices(group),
        "retry": attrs.evolve(group.retry, attempts=max(retries) + 1) if retries else group.retry,
        "headers": {name: str(value) for name, value in group.headers.items()},
        "extra_body": dict(group.extra_body),
    }


def _prices(group: ModelGroup) -> Prices | str | None:
    names = ("prices", "price_input", "price_output", "price_cached")
    try:
        return prices_from({name: getattr(group, name) for name in names})
    except ConfigError as error:
        value = getattr(group, error.field, None)
        raise ConfigError(f"model.{error.field}", error.bound, value) from None


def _text_of(file: Path) -> str:
    data = file.read_bytes()
    try:
        return decode(data)
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")  # a Windows path
