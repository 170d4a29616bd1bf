"""The base URL and headers of an endpoint; redacts secrets."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import attrs
import httpx

from trio_beam.errors import ConfigError

_URL = "a URL with its scheme and host, such as http://127.0.0.1:8000/v1"
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
#: Query parameters that hold no secret.
_PLAIN_PARAMETERS = frozenset({"api-version", "version"})
#: Headers that hold no secret; the values of all others are redacted.
_PLAIN_HEADERS = frozenset(
    [
        "accept",
        "accept-encoding",
        "accept-language",
        "connection",
        "content-length",
        "content-type",
        "host",
        "user-agent",
    ]
)
#: Names of headers and query parameters that say who asks, and nothing about the answer.
_ABOUT_CALLER = re.compile(r"auth|key|token|secret|password|credential|cookie|sig", re.IGNORECASE)
#: Headers whose value starts with an authentication scheme.
_CREDENTIALS = frozenset({"authorization", "proxy-authorization"})


@attrs.frozen(kw_only=True, repr=False)
class Address:
    """A base URL without credentials, and the headers that hold them.

    Attributes:
        base_url: without a trailing slash.
        root: the base URL without ``/v1``, the root of servers' native calls.
        query: appended to every path, including its ``?``; never shown, since it may hold a key.
        headers: sent with every request.
        secrets: texts that must never be shown.
    """

    base_url: str
    root: str
    query: str
    headers: Mapping[str, str]
    secrets: frozenset[str]

    @classmethod
    def parse(
        cls, base_url: str, *, api_key: str | None, headers: Mapping[str, str] | None
    ) -> Self:
        """Parse a base URL; user and password become a header.

        Raises:
            ConfigError: an argument is invalid; the message holds no secret.
        """
        parts = _split(base_url)
        if api_key is not None and not _is_header_value(api_key):
            raise ConfigError("api_key", "printable ASCII without blanks around it", "***")
        sent = {"content-type": "application/json"}
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if parts.username is not None:
            pair = f"{user}:{password}".encode()
            sent["authorization"] = f"Basic {b64encode(pair).decode()}"
        if api_key:
            sent["authorization"] = f"Bearer {api_key}"
        for name, value in dict(headers or {}).items():
            if not isinstance(name, str) or not _HEADER_NAME.fullmatch(name):
                raise ConfigError("headers", "names and values that HTTP allows", name)
            if not _is_header_value(value):
                raise ConfigError("headers", f"printable ASCII for {name}", "***")
            sent[name.lower()] = value
        secrets = {api_key or "", user, password, *_secrets_in(parts.query)}
        secrets.update(secrets_in_headers(sent))
        plain = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="")
        url = plain.geturl().rstrip("/")
        return cls(
            base_url=url,
            root=url.removesuffix("/v1"),
            query=f"?{parts.query}" if parts.query else "",
            headers=sent,
            secrets=frozenset(secrets),
        )

    def url(self, path: str, *, at_root: bool = False) -> str:
        """Return the URL of a call, without the query."""
        return (self.root if at_root else self.base_url) + path

    @property
    def identity(self) -> str:
        """All that may determine a server's answers: the address, the query and headers, without secrets.

        To be digested, not to be shown: which headers hold a secret is known by their names only.
        """
        query = sorted(parse_qsl(self.query[1:], keep_blank_values=True))
        named = [*query, *sorted(self.headers.items())]
        told = [pair for pair in named if not _ABOUT_CALLER.search(pair[0])]
        return f"{self.base_url} {told}"

    def __repr__(self) -> str:
        return f"<Address {self.base_url}>"


def _split(base_url: object) -> SplitResult:
    if not isinstance(base_url, str):
        raise ConfigError("base_url", _URL, type(base_url).__name__)
    try:
        parts = urlsplit(base_url.strip())
        host, port = parts.hostname or "", parts.port
        # The form name services require: no label empty or too long.
        ascii_host = host.encode("idna").decode() if host else ""
        _ = httpx.URL(base_url.strip()).host  # httpx parses names and addresses differently
    except (ValueError, httpx.InvalidURL):
        raise ConfigError("base_url", _URL, _shown(base_url)) from None
    plain = ascii_host.isprintable() and not set(ascii_host) & set(' /\\<>"{}|^`')
    if parts.scheme not in ("http", "https") or not ascii_host or not plain or port == 0:
        raise ConfigError("base_url", _URL, _shown(base_url))
    if parts.fragment:
        raise ConfigError("base_url", "a URL without a fragment (#)", _shown(base_url))
    return parts


def _secrets_in(query: str) -> Iterator[str]:
    """Yield the values of a query's parameters."""
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _PLAIN_PARAMETERS:
            yield value


def secrets_in_headers(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the values of headers that hold secrets; of credentials, the part after the scheme."""
    for name, value in headers.items():
        if carries_secret(name):
            scheme, _, credentials = value.partition(" ")
            yield credentials if credentials and name.lower() in _CREDENTIALS else value
            if scheme == "Basic":
                yield from _decoded(credentials)


def carries_secret(header: str) -> bool:
    """Return whether the value of a header may be a secret."""
    return header.lower() not in _PLAIN_HEADERS


def _decoded(credentials: str) -> Iterator[str]:
    with suppress(ValueError):
        yield from b64decode(credentials).decode().split(":", 1)


def _shown(url: str) -> str:
    """Return a URL without credentials, query and fragment."""
    return re.split(r"[?#]", url.rpartition("@")[2])[0]


def _is_header_value(text: object) -> bool:
    if not isinstance(text, str):
        return False
    return text.isascii() and text.isprintable() and text == text.strip()
