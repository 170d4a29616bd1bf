"""The providers of ``model.provider``, each with its address, model and API key variable."""

from __future__ import annotations

import attrs

from trio_beam.command.api_keys import BASE_URL


@attrs.frozen(kw_only=True)
class Provider:
    """A kind of server.

    Attributes:
        api_key_env: environment variable with its API key.
        base_url: its default address.
        base_url_env: environment variable that overrides `base_url`; "" for none.
        model: its default model; None: the only one that the server lists.
        elsewhere: whether `model` is also the default at addresses other than `base_url`.
    """

    api_key_env: str
    base_url: str | None
    base_url_env: str = ""
    model: str | None = None
    elsewhere: bool = True


PROVIDERS: dict[str, Provider] = {
    "xai": Provider(api_key_env="XAI_API_KEY", base_url="https://api.x.ai/v1", model="grok-3-mini"),
    "ollama": Provider(
        api_key_env="OLLAMA_API_KEY", base_url="http://localhost:11434/v1", model="smollm2:1.7b"
    ),
    "vllm": Provider(api_key_env="VLLM_API_KEY", base_url="http://localhost:8000/v1"),
    "runpod": Provider(api_key_env="RUNPOD_API_KEY", base_url=None, base_url_env="RUNPOD_ENDPOINT"),
    # Also any other OpenAI-compatible server, whose model has a different name.
    "openai": Provider(
        api_key_env="OPENAI_API_KEY",
        base_url="https://api.openai.com/v1",
        base_url_env=BASE_URL,
        model="gpt-4o-mini",
        elsewhere=False,
    ),
}
