"""Clients that name a server: an `Endpoint`, an OpenAI client, or anything with `api_key` and `base_url`."""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

import attrs

from trio_beam.core.language_model import LanguageModel
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.errors import ConfigError
from trio_beam.http.clients import AsyncClient

#: Headers that every client sets by itself; the user set the rest.
_USUAL_HEADERS = frozenset({"accept", "content-type", "user-agent"})
_USUAL_PREFIX = "x-stainless-"


class Client(Protocol):
    """Names a server; ``openai.OpenAI`` and ``openai.AsyncOpenAI`` qualify.

    It may have a ``default_model`` too. Of an OpenAI client's other options, its headers (including
    organisation and project) and its query are used.
    """

    @property
    def api_key(self) -> Any:
        """A string, a secret with `get_secret_value`, a sync or async function returning one, or None."""

    @property
    def base_url(self) -> Any:
        """A URL or an object whose ``str`` is one; None: ``OPENAI_BASE_URL``, else OpenAI's own."""


@attrs.define(kw_only=True, eq=False)
class NamedServer:
    """A server and its options, used as the client by `BeamSearchSampling._run_with_client`.

    For overrides that send their own requests, it has the calls of an ``openai.AsyncOpenAI``, which is
    created on first use.

    Attributes:
        api_key: as `Client.api_key`.
        base_url: as `Client.base_url`.
        default_model: None: the only model that the server lists.
        headers: sent with every request.
        raw, dialect, http_client: as for `BeamSearchSampling`; None: the strategy's value.
    """

    api_key: Any = attrs.field(repr=False)
    base_url: Any
    default_model: str | None = None
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    raw: bool | None = None
    dialect: str | None = None
    http_client: AsyncClient | None = None
    _openai: Any = attrs.field(default=None, init=False, repr=False)

    @classmethod
    def of(cls, client: Any) -> NamedServer:
        """Read the server's details from a client."""
        if isinstance(client, cls):
            return client
        url, key = _url_of(client), _key_of(client)
        if not url:
            key = key or os.environ.get("OPENAI_API_KEY")
        return cls(
            api_key=key,
            base_url=url or default_url(),
            default_model=getattr(client, "default_model", None),
            headers=_headers_of(client),
        )

    @property
    def chat(self) -> Any:
        """The ``chat`` calls of an OpenAI client."""
        return self._client().chat

    @property
    def completions(self) -> Any:
        """The ``completions`` calls of an OpenAI client."""
        return self._client().completions

    def _client(self) -> Any:
        if self._openai is None:
            from openai import AsyncOpenAI  # noqa: PLC0415  # not a dependency

            self._openai = AsyncOpenAI(
                api_key=self.api_key or "none",  # without one it would use the environment's
                base_url=self.base_url,
                default_headers=self.headers,
            )
        return self._openai

    async def aclose(self) -> None:
        """Close the OpenAI client, if there is one."""
        if self._openai is not None:
            await self._openai.close()


def is_model(client: Any) -> bool:
    """Return whether a client is itself an `Endpoint` or another `LanguageModel`."""
    return not hasattr(client, "api_key") and callable(getattr(client, "start", None))


def default_url() -> str:
    """Return the base URL for a client without one."""
    return os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"


@asynccontextmanager
async def opened(server: Any, **options: Any) -> AsyncIterator[LanguageModel]:
    """Open the model that a client names, and close it again; leave an open endpoint open.

    Args:
        server: a `Client` or a `LanguageModel`.
        options: options of the endpoint, if one has to be created.

    Raises:
        ConfigError: the key is not a string, or an endpoint argument is invalid.
    """
    if is_model(server):
        if isinstance(server, Endpoint) and not server.is_open:
            async with server:
                yield server
        else:
            yield server
        return
    named = NamedServer.of(server)
    key = await key_text(named.api_key)
    endpoint = Endpoint(
        str(named.base_url or default_url()),
        api_key=key or None,
        model=named.default_model or None,
        headers=named.headers,
        **options,
    )
    async with endpoint:
        yield endpoint


async def key_text(key: Any) -> str | None:
    """Return a key as a string, whatever holds it.

    Raises:
        ConfigError: it is not a string.
    """
    if callable(key):
        key = key()
    if inspect.isawaitable(key):
        key = await key
    reveal = getattr(key, "get_secret_value", None)
    if reveal is not None:
        key = reveal()
    if key is not None and not isinstance(key, str):
        raise ConfigError("client.api_key", "a string or None", type(key).__name__)
    return key


def _key_of(client: Any) -> Any:
    """Return a client's key, or the function that an OpenAI client was given instead."""
    own = getattr(client, "__dict__", {})  # a mock would have any attribute
    return own.get("_api_key_provider") or getattr(client, "api_key", None)


def _url_of(client: Any) -> str | None:
    """Return a client's base URL with its default query, or None."""
    url = str(client.base_url) if client.base_url else None
    query = getattr(client, "default_query", None)
    if not url or not isinstance(query, Mapping) or not query:
        return url
    return urlsplit(url)._replace(query=urlencode(query)).geturl()


def _headers_of(client: Any) -> dict[str, str]:
    """Return the headers that the user set on a client."""
    given = getattr(client, "default_headers", None)
    if not isinstance(given, Mapping):
        return {}
    return {
        name: value
        for name, value in given.items()
        if isinstance(value, str)  # OpenAI's client marks omitted headers by other values
        and name.lower() not in _USUAL_HEADERS
        and not name.lower().startswith(_USUAL_PREFIX)
    }
