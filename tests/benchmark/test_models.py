"""The server that the group ``model`` means, and its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_beam.benchmark.config import load_settings, parse_args, to_yaml
from trio_beam.benchmark.models import Model, choose_model, read_environment
from trio_beam.benchmark.plan import make_plan
from trio_beam.errors import ConfigError

KEYS = {
    "XAI_API_KEY": "xai-secret",
    "OPENAI_API_KEY": "openai-secret",
    "VLLM_API_KEY": "vllm-secret",
}


def choose(*words: str, **environment: str) -> Model:
    return choose_model(load_settings(parse_args(words)), environment)


def said(*words: str, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        choose(*words, **environment)
    return str(caught.value)


def test_with_nothing_given_it_is_the_embedded_model_and_it_is_said() -> None:
    model = choose(VLLM_API_KEY="x", OPENAI_API_KEY="y")
    assert (model.provider, model.name) == ("local", "SmolLM2-135M-Instruct")
    assert model.base_url is None
    assert model.api_key is None
    assert model.why.startswith("no model is named, so the embedded one answers")


def test_a_key_of_xai_alone_means_its_model_and_it_is_said() -> None:
    model = choose(**KEYS)
    assert (model.provider, model.name) == ("xai", "grok-3-mini")
    assert model.base_url == "https://api.x.ai/v1"
    assert model.api_key == "xai-secret"
    assert model.why.startswith("XAI_API_KEY is set and no model is named, so the hosted model")
    assert "secret" not in model.why
    assert choose("model.provider=local", **KEYS).base_url is None
    assert choose("model.local.model_file=x.gguf", **KEYS).base_url is None


def test_whatever_was_named_is_not_explained() -> None:
    for words in (["model.provider=xai"], ["model.name=grok-3"], ["model.provider=local"]):
        assert choose(*words, **KEYS).why == ""


def test_another_file_gives_its_name() -> None:
    model = choose("model.local.model_file=models/Some-Model.Q8.gguf", "model.local.slots=3")
    assert model.name == "Some-Model.Q8"
    assert model.local.model_file == "models/Some-Model.Q8.gguf"
    assert model.local.slots == 3


def test_files_of_the_same_name_are_other_models(tmp_path: Path) -> None:
    identities = []
    for folder, content in (("a", b"GGUF one"), ("b", b"GGUF other")):
        file = tmp_path / folder / "model.gguf"
        file.parent.mkdir()
        file.write_bytes(content)
        identities.append(choose(f"model.local.model_file={file}").identity)
    assert identities[0] != identities[1]


def test_a_file_is_the_same_model_under_another_name(tmp_path: Path) -> None:
    found = set()
    for name in ("model.gguf", "renamed.gguf"):
        (tmp_path / name).write_bytes(b"GGUF one")
        args = ["model.provider=local", f"model.local.model_file={tmp_path / name}"]
        plan = make_plan(load_settings(parse_args(args)), {})
        found.add((plan.configuration(plan.strategies[0]), plan.folder))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("provider", "base_url", "key"),
    [
        ("xai", "https://api.x.ai/v1", "xai-secret"),
        ("ollama", "http://localhost:11434/v1", None),
        ("vllm", "http://localhost:8000/v1", "vllm-secret"),
        ("openai", "https://api.openai.com/v1", "openai-secret"),
    ],
)
def test_a_provider_has_its_address_and_its_own_key(
    provider: str, base_url: str, key: str | None
) -> None:
    model = choose(f"model.provider={provider}", **KEYS)
    assert (model.provider, model.base_url, model.api_key) == (provider, base_url, key)


@pytest.mark.parametrize("provider", ["xai", "ollama", "vllm", "runpod", "openai"])
def test_its_name_and_address_can_be_given_in_two_ways(provider: str) -> None:
    inner = choose(
        f"model.provider={provider}",
        f"model.{provider}.name=mine",
        f"model.{provider}.base_url=http://127.0.0.1:9/v1",
        **KEYS,
    )
    outer = choose(
        f"model.provider={provider}",
        "model.name=mine",
        "model.base_url=http://127.0.0.1:9/v1",
        **KEYS,
    )
    for model in (inner, outer):
        assert (model.name, model.served_name) == ("mine", "mine")
        assert model.base_url == "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("words", "provider"),
    [
        (["model.name=grok-3"], "xai"),
        (["model.base_url=http://127.0.0.1:9/v1"], "openai"),
        (["model.base_url=http://127.0.0.1:9/v1", "model.name=any"], "openai"),
    ],
)
def test_auto_is_what_the_name_or_the_address_says(words: list[str], provider: str) -> None:
    assert choose(*words, **KEYS).provider == provider


def test_a_name_alone_may_be_of_any_provider() -> None:
    assert said("model.name=my-model").startswith("model.provider must be given with model.name")


@pytest.mark.parametrize(
    ("provider", "key"), [("xai", "XAI_API_KEY"), ("openai", "OPENAI_API_KEY")]
)
def test_a_missing_key_is_named(provider: str, key: str) -> None:
    message = said(f"model.provider={provider}")
    assert message.startswith(f"{key} must be set in the environment or in a file .env")
    assert message == said(f"model.provider={provider}", **{key: ""})


def test_a_server_of_ones_own_wants_no_key_and_no_name() -> None:
    model = choose("model.provider=openai", "model.base_url=http://127.0.0.1:9/v1")
    assert model.api_key is None
    assert model.served_name is None
    assert choose("model.provider=openai", **KEYS).served_name == "gpt-4o-mini"


LOCAL = "http://127.0.0.1:8000/v1"


@pytest.mark.parametrize(
    ("words", "environment", "provider", "base_url", "key"),
    [
        # The host says whose key it is.
        (["model.base_url=https://api.x.ai/v1"], {}, "xai", "https://api.x.ai/v1", "xai"),
        (["model.base_url=https://API.X.AI./v1"], {}, "xai", "https://API.X.AI./v1", "xai"),
        (["model.base_url=https://eu.api.x.ai/v1"], {}, "xai", "https://eu.api.x.ai/v1", "xai"),
        (["model.base_url=https://api.openai.com/v1"], {}, "openai", None, "openai"),
        (["model.base_url=https://openrouter.ai/api/v1"], {}, "openai", None, "router"),
        (
            ["model.provider=xai", "model.base_url=https://api.openai.com/v1"],
            {},
            "xai",
            None,
            "openai",
        ),
        (["model.provider=vllm", "model.base_url=https://api.x.ai/v1"], {}, "vllm", None, "xai"),
        # A server of one's own has the general key, or that of its provider.
        ([f"model.base_url={LOCAL}"], {}, "openai", LOCAL, "openai"),
        (["model.base_url=https://api.x.ai.example.org/v1"], {}, "openai", None, "openai"),
        (["model.base_url=https://notx.ai/v1"], {}, "openai", None, "openai"),
        (["model.provider=vllm", f"model.base_url={LOCAL}"], {}, "vllm", LOCAL, "vllm"),
        (["model.provider=xai", f"model.base_url={LOCAL}"], {}, "xai", LOCAL, "xai"),
        # OPENAI_BASE_URL is where OPENAI_API_KEY belongs, and an address at every door.
        (["model.provider=openai"], {"OPENAI_BASE_URL": LOCAL}, "openai", LOCAL, "openai"),
        ([], {"OPENAI_BASE_URL": LOCAL}, "openai", LOCAL, "openai"),
        (["model.name=m"], {"OPENAI_BASE_URL": LOCAL}, "openai", LOCAL, "openai"),
        ([], {"OPENAI_BASE_URL": "https://api.x.ai/v1"}, "xai", "https://api.x.ai/v1", "xai"),
        (
            [f"model.base_url={LOCAL}"],
            {"OPENAI_BASE_URL": "https://proxy.example.org/v1"},
            "openai",
            LOCAL,
            None,
        ),
        # A variable that the settings name goes to the server that they name.
        (
            [f"model.base_url={LOCAL}", "model.openai.api_key_env=VLLM_API_KEY"],
            {},
            "openai",
            LOCAL,
            "vllm",
        ),
    ],
)
def test_a_key_goes_to_no_other_host(
    words: list[str],
    environment: dict[str, str],
    provider: str,
    base_url: str | None,
    key: str | None,
) -> None:
    keys = {**KEYS, "OPENROUTER_API_KEY": "router-secret"}
    model = choose(*words, **keys, **environment)
    assert model.provider == provider
    assert model.api_key == (None if key is None else f"{key}-secret")
    if base_url is not None:
        assert model.base_url == base_url


@pytest.mark.parametrize(
    ("url", "variable"),
    [
        ("https://api.x.ai/v1", "XAI_API_KEY"),
        ("https://api.groq.com/openai/v1", "GROQ_API_KEY"),
        ("https://mine.openai.azure.com/openai/v1", "AZURE_OPENAI_API_KEY"),
    ],
)
def test_a_key_that_is_missing_is_not_replaced_by_another(url: str, variable: str) -> None:
    message = said(f"model.base_url={url}", OPENAI_API_KEY="openai-secret")
    assert message.startswith(f"{variable} must be set in the environment")
    model = choose(
        f"model.base_url={url}", "model.headers.Authorization=Bearer x", OPENAI_API_KEY="y"
    )
    assert model.api_key is None


def test_headers_and_fields_of_every_request_are_handed_on() -> None:
    words = [
        "model.provider=vllm",
        "model.headers.X-Trace=7",
        "model.extra_body.reasoning_effort=low",
    ]
    model = choose(*words)
    assert model.options["headers"] == {"X-Trace": "7"}
    assert model.options["extra_body"] == {"reasoning_effort": "low"}
    assert model.identity["extra_body"] == {"reasoning_effort": "low"}
    assert "headers" not in model.identity
    settings = load_settings(parse_args(words))
    assert "X-Trace" not in to_yaml(settings)
    assert "reasoning_effort" in to_yaml(settings)


def test_runpod_takes_its_address_from_the_environment() -> None:
    address = "https://pod.example.org/v1"
    assert choose("model.provider=runpod", RUNPOD_ENDPOINT=address).base_url == address
    given = choose(
        "model.provider=runpod", "model.runpod.base_url=http://127.0.0.1:9", RUNPOD_ENDPOINT=address
    )
    assert given.base_url == "http://127.0.0.1:9"
    assert "RUNPOD_ENDPOINT" in said("model.provider=runpod")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model.provider=vlm"], "did you mean vllm?"),
        (
            ["model.provider=zzz"],
            "one of auto, local, xai, ollama, vllm, runpod, openai, not 'zzz'",
        ),
        (["model.provider=local", "model.name=other"], "model.name must be left out"),
        (["model.provider=local", "model.base_url=http://a"], "model.base_url must be left out"),
        (["model.provider=vllm", "model.base_url=not a url"], "base_url"),
        (["model.dialect=klingon"], "dialect must be one of"),
        (["model.api=telnet"], "api must be"),
        (["model.max_concurrent=0"], "max_concurrent must be"),
        (["model.max_concurrent=several"], "max_concurrent must be"),
    ],
)
def test_what_cannot_be_is_said_before_anything_starts(words: list[str], message: str) -> None:
    assert message in said(*words)


def test_the_originals_limits_of_strategies_hold_for_the_endpoint() -> None:
    model = choose("beam_search.max_concurrent=3", "beam_search.timeout=60")
    assert model.options["max_concurrent"] == 3
    assert model.options["attempt_timeout"] == 60
    both = choose(
        "beam_search.max_concurrent=100",
        "beam_search.timeout=300",
        "mcmc_parallel.max_concurrent=50",
        "mcmc_parallel.timeout=60",
        "mcmc_parallel.max_retries=3",
    )
    assert both.options["max_concurrent"] == 50
    assert both.options["attempt_timeout"] == 300
    assert both.options["retry"].attempts == 4
    plain = choose("model.max_concurrent=auto", "model.attempt_timeout=9")
    assert plain.options["max_concurrent"] == "auto"
    assert plain.options["attempt_timeout"] == 9


def test_a_key_is_shown_nowhere() -> None:
    model = choose("model.provider=xai", **KEYS)
    assert "secret" not in repr(model)
    assert "secret" not in str(model.identity)
    assert "secret" not in str(model.options)


def test_answers_depend_on_the_model_and_not_on_its_address() -> None:
    def identity(*words: str) -> object:
        return choose("model.provider=vllm", *words, **KEYS).identity

    here = identity("model.name=a", "model.base_url=http://127.0.0.1:1/v1")
    assert here == identity("model.name=a", "model.base_url=http://127.0.0.1:2/v1")
    assert here != identity("model.name=b", "model.base_url=http://127.0.0.1:1/v1")
    # Where nobody says what the server has, its address is all that tells models apart.
    assert identity("model.base_url=http://127.0.0.1:1/v1") != identity(
        "model.base_url=http://127.0.0.1:2/v1"
    )
    assert choose().identity == choose("model.local.slots=2").identity
    assert choose().identity != choose("model.local.context=512").identity


def test_a_file_of_the_environment_is_read_and_the_environment_goes_over_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XAI_API_KEY", raising=False)
    assert "XAI_API_KEY" not in read_environment(tmp_path)
    (tmp_path / ".env").write_text("# keys\nXAI_API_KEY='from the file'\nEMPTY\n")
    assert read_environment(tmp_path)["XAI_API_KEY"] == "from the file"
    assert "EMPTY" not in read_environment(tmp_path)
    monkeypatch.setenv("XAI_API_KEY", "from the environment")
    assert read_environment(tmp_path)["XAI_API_KEY"] == "from the environment"
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    monkeypatch.delenv("XAI_API_KEY")
    assert read_environment()["XAI_API_KEY"] == "from the file"
    (tmp_path / "a" / ".env").write_text("XAI_API_KEY=nearer\n")
    assert read_environment()["XAI_API_KEY"] == "nearer"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
def test_a_file_of_the_environment_is_read_in_its_encoding(tmp_path: Path, encoding: str) -> None:
    text = "# für xAI\nSOME_TEST_KEY=from-the-file\n"
    (tmp_path / ".env").write_bytes(text.encode(encoding))
    assert read_environment(tmp_path)["SOME_TEST_KEY"] == "from-the-file"
