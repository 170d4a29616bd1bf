"""Choose the API key for a host, so that no host is sent another's key.

A key belongs to the service that its variable is named after. ``OPENAI_API_KEY`` is also used for other
OpenAI-compatible servers, but if ``OPENAI_BASE_URL`` names one, for that server only.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import attrs
import click

GENERIC = "OPENAI_API_KEY"
BASE_URL = "OPENAI_BASE_URL"


@attrs.frozen
class Service:
    """A hosted service.

    Attributes:
        variable: environment variable with its key.
        domains: its hosts, including subdomains.
        needs_key: whether every request needs one.
    """

    variable: str
    domains: tuple[str, ...]
    needs_key: bool = True


SERVICES = (
    Service("OPENAI_API_KEY", ("openai.com",)),
    Service("XAI_API_KEY", ("x.ai",)),
    Service("RUNPOD_API_KEY", ("runpod.net", "runpod.ai", "runpod.io"), needs_key=False),
    Service("ANTHROPIC_API_KEY", ("anthropic.com",)),
    Service("AZURE_OPENAI_API_KEY", ("openai.azure.com",)),
    Service("CEREBRAS_API_KEY", ("cerebras.ai",)),
    Service("DEEPSEEK_API_KEY", ("deepseek.com",)),
    Service("FIREWORKS_API_KEY", ("fireworks.ai",)),
    Service("GEMINI_API_KEY", ("generativelanguage.googleapis.com",)),
    Service("GROQ_API_KEY", ("groq.com",)),
    Service("HF_TOKEN", ("huggingface.co", "endpoints.huggingface.cloud")),
    Service("MISTRAL_API_KEY", ("mistral.ai",)),
    Service("NVIDIA_API_KEY", ("api.nvidia.com",)),
    Service("OPENROUTER_API_KEY", ("openrouter.ai",)),
    Service("TOGETHER_API_KEY", ("together.xyz", "together.ai")),
)


def service_at(base_url: str) -> Service | None:
    """Return the hosted service of a base URL, or None for any other server."""
    host = _host(base_url)
    for service in SERVICES:
        if any(host == domain or host.endswith(f".{domain}") for domain in service.domains):
            return service
    return None


def api_key_for(base_url: str, environment: Mapping[str, str]) -> str | None:
    """Return the key for the host of a base URL, or None if the environment has none."""
    service = service_at(base_url)
    if service is not None and environment.get(service.variable):
        return environment[service.variable]
    home = environment.get(BASE_URL)
    meant = _host(home) == _host(base_url) if home else service is None
    return (environment.get(GENERIC) or None) if meant else None


def read_api_key(variable: str | None, base_url: str | None) -> str | None:
    """Read a command's API key from the environment.

    Args:
        variable: the variable named by the user; None: the host's.
        base_url: of the server; None: the embedded model, which needs no key.

    Raises:
        click.UsageError: the named variable is not set, or the only available key belongs to another host.
    """
    if variable is not None:
        key = os.environ.get(variable)
        if not key:
            # Anything else may be the key itself, given by mistake.
            plain = variable.isidentifier() and variable.isupper()
            name = variable if plain else "variable of that name"
            raise click.UsageError(f"--api-key-env: the environment has no {name}")
        return key
    if base_url is None:
        return None
    key, service = api_key_for(base_url, os.environ), service_at(base_url)
    if key is None and service is not None and os.environ.get(GENERIC):
        raise click.UsageError(
            f"the key for {_host(base_url)} is read from {service.variable}, which is not set;"
            f" {GENERIC} is not sent there (--api-key-env names another variable)"
        )
    return key


def _host(base_url: str) -> str:
    try:
        return (urlsplit(base_url.strip()).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""  # refused later, with a message
