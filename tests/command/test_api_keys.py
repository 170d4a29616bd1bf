"""A key goes to the host that it is meant for, and to no other, at every command."""

from __future__ import annotations

import click
import pytest

from trio_beam.command.api_keys import SERVICES, api_key_for, read_api_key, service_at

KEYS = {"OPENAI_API_KEY": "general", "XAI_API_KEY": "of xai", "GROQ_API_KEY": "of groq"}
NAMES = [*KEYS, "OPENAI_BASE_URL"]


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("https://api.x.ai/v1", "XAI_API_KEY"),
        ("https://x.ai", "XAI_API_KEY"),
        ("HTTPS://API.X.AI:443/v1", "XAI_API_KEY"),
        ("https://me:secret@api.x.ai/v1", "XAI_API_KEY"),
        ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("https://mine.openai.azure.com/openai/v1", "AZURE_OPENAI_API_KEY"),
        ("https://abc-8000.proxy.runpod.net/v1", "RUNPOD_API_KEY"),
        ("https://api.x.ai@example.org/v1", None),
        ("https://example.org/api.x.ai", None),
        ("https://evilx.ai/v1", None),
        ("https://api.x.ai.example.org/v1", None),
        ("http://127.0.0.1:8000/v1", None),
        ("not a url", None),
        ("http://[::1", None),
        ("", None),
    ],
)
def test_a_host_belongs_to_a_service(url: str, variable: str | None) -> None:
    service = service_at(url)
    assert (None if service is None else service.variable) == variable


def test_no_host_belongs_to_two() -> None:
    domains = [domain for service in SERVICES for domain in service.domains]
    assert len(set(domains)) == len(domains)
    assert len({service.variable for service in SERVICES}) == len(SERVICES)


@pytest.mark.parametrize(
    ("url", "more", "key"),
    [
        ("https://api.x.ai/v1", {}, "of xai"),
        ("https://api.groq.com/openai/v1", {}, "of groq"),
        ("https://api.mistral.ai/v1", {}, None),
        ("http://127.0.0.1:8000/v1", {}, "general"),
        ("https://my.example.org/v1", {"OPENAI_BASE_URL": "https://my.example.org/v1"}, "general"),
        ("https://my.example.org/v1", {"OPENAI_BASE_URL": "https://other.example.org"}, None),
        # Whoever names a service in OPENAI_BASE_URL means its key by OPENAI_API_KEY, if there is no other.
        ("https://api.mistral.ai/v1", {"OPENAI_BASE_URL": "https://api.mistral.ai/v1"}, "general"),
        ("https://api.x.ai/v1", {"OPENAI_BASE_URL": "https://api.x.ai/v1"}, "of xai"),
        ("https://api.openai.com/v1", {"OPENAI_BASE_URL": "http://127.0.0.1/v1"}, "general"),
        ("http://127.0.0.1/v1", {"OPENAI_API_KEY": ""}, None),
    ],
)
def test_the_key_for_a_host(url: str, more: dict[str, str], key: str | None) -> None:
    assert api_key_for(url, {**KEYS, **more}) == key


@pytest.fixture(autouse=True)
def _no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_a_command_reads_the_key_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_api_key(None, "https://api.x.ai/v1") is None
    monkeypatch.setenv("OPENAI_API_KEY", "general")
    assert read_api_key(None, "http://127.0.0.1/v1") == "general"
    assert read_api_key(None, None) is None
    with pytest.raises(click.UsageError, match="XAI_API_KEY, which is not set; OPENAI_API_KEY is"):
        read_api_key(None, "https://api.x.ai/v1")
    monkeypatch.setenv("XAI_API_KEY", "of xai")
    assert read_api_key(None, "https://api.x.ai/v1") == "of xai"


def test_a_variable_that_the_user_names_goes_to_the_server_that_the_user_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_KEY", "mine")
    assert read_api_key("MY_KEY", "https://api.x.ai/v1") == "mine"
    with pytest.raises(click.UsageError, match="the environment has no NO_SUCH_KEY"):
        read_api_key("NO_SUCH_KEY", "https://api.x.ai/v1")
    with pytest.raises(click.UsageError) as caught:
        read_api_key("sk-secret", "https://api.x.ai/v1")
    assert "sk-secret" not in str(caught.value)
