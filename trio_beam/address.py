"""Where an endpoint is and what it is called with; keeps secrets out of everything that is shown."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

import attrs

from trio_beam.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_URL = "a URL with its scheme and host, such as http://127.0.0.1:8000/v1"
#: Headers that carry no secret; the values of all others are kept out of messages.
_PLAIN_HEADERS = frozenset({"accept", "content-type", "user-agent"})


@attrs.frozen(kw_only=True, repr=False)
class Address:
    """A base URL without credentials, and the headers that carry them.

    Attributes:
        base_url: without a trailing slash.
        root: the base URL without its ``/v1``, where servers keep their own calls.
        headers: sent with every request.
        secrets: what must never be shown.
    """

    base_url: str
    root: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...]

    @classmethod
    def parse(
        cls, base_url: str, *, api_key: str | None, headers: Mapping[str, str] | None
    ) -> Self:
        """Check a base URL; a user and password in it become a header.

        Raises:
            ConfigError: an argument is not usable; the message holds no secret.
        """
        if not isinstance(base_url, str):
            raise ConfigError("base_url", _URL, type(base_url).__name__)
        try:
            parts = urlsplit(base_url.strip())
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ConfigError("base_url", _URL, base_url) from None
        shown = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
        if parts.scheme not in ("http", "https") or not host:
            raise ConfigError("base_url", _URL, base_url if "@" not in base_url else shown.geturl())
        if api_key is not None and (not isinstance(api_key, str) or not _is_header_value(api_key)):
            raise ConfigError("api_key", "a string of printable ASCII characters", "***")
        sent = {"content-type": "application/json"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            sent["authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        if api_key:
            sent["authorization"] = f"Bearer {api_key}"
        for name, value in (headers or {}).items():
            sent[name.lower()] = value
        url = shown.geturl().rstrip("/")
        secrets = {api_key or "", unquote(parts.password or "")}
        for name, value in sent.items():
            if name not in _PLAIN_HEADERS:
                secrets |= {value, value.partition(" ")[2]}
        return cls(
            base_url=url,
            root=url.removesuffix("/v1"),
            headers=sent,
            # The longest first, so that a secret inside another leaves nothing of it.
            secrets=tuple(sorted((s for s in secrets if len(s) > 3), key=len, reverse=True)),
        )

    def url(self, path: str, *, at_root: bool = False) -> str:
        """The URL of a call."""
        return (self.root if at_root else self.base_url) + path

    def redact(self, text: str) -> str:
        """The text without any of the secrets, should a server repeat one."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def __repr__(self) -> str:
        return f"<Address {self.base_url}>"


def _is_header_value(text: str) -> bool:
    return text.isascii() and text.isprintable()
