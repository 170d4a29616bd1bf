"""From the JSON of a request to a search, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.gateway.serving import ask, gateway_over, serving
from trio_beam import (
    Beam,
    BeamSearchConfig,
    Continuation,
    McmcConfig,
    SampleRequest,
    Strategy,
    Token,
)
from trio_beam.errors import ConfigError
from trio_beam.gateway.aliases import Aliases, Named, read_aliases
from trio_beam.gateway.api_error import ApiError
from trio_beam.gateway.fields import TAKEN_AS, WITHOUT_EFFECT
from trio_beam.gateway.limits import Limits
from trio_beam.gateway.openapi import openapi_document
from trio_beam.gateway.passed import Call
from trio_beam.gateway.request import Parser, SearchRequest
from trio_beam.gateway.responses import Envelope
from trio_beam.strategies import STRATEGIES, make_strategy, strategy_options
from trio_beam.testing import FakeEndpoint

HI: Any = [{"role": "user", "content": "hi"}]


def parser(aliases: Aliases | None = None, default: str = "beam_search") -> Parser:
    return Parser(model="org/m@1", aliases=aliases or Aliases(), default=Named(default))


def parsed(
    call: Call = "chat",
    headers: dict[str, str] | None = None,
    aliases: Aliases | None = None,
    **body: Any,
) -> SearchRequest:
    given = {"model": "org/m@1", **({"messages": HI} if call == "chat" else {}), **body}
    return parser(aliases).parse(call, json.dumps(given).encode(), headers or {})


ALIASES: list[tuple[str, Strategy]] = [
    ("beam-4x2", BeamSearchConfig(beam_width=4, n_per_beam=2)),
    ("beam-3", BeamSearchConfig(beam_width=3)),
    ("vote-8", make_strategy("self_consistency", {"n": 8})),
    ("best-5", make_strategy("best_of_n", {"n": 5})),
    ("power-16", make_strategy("power_sampling", {"particles": 16})),
    ("mcmc-3x2", McmcConfig(steps=3, chains=2)),
    *((name, make_strategy(name, {})) for name in STRATEGIES.names()),
]


@pytest.mark.parametrize(("alias", "wanted"), ALIASES)
def test_aliases(alias: str, wanted: Strategy) -> None:
    assert parsed(model=f"org/m@1@{alias}").strategy == wanted
    assert parsed(search={"strategy": alias}).strategy == wanted


def refusal_of(search: dict[str, Any]) -> str | None:
    try:
        parsed(search=search)
    except ApiError as error:
        return error.code
    return ""


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_every_parameter_can_be_given(name: str) -> None:
    """There is no list of them here: a new one needs no line of the gateway's."""
    for option in strategy_options(name):
        if option.name.endswith("base_url"):
            continue
        given = option.default if isinstance(option.default, int | str | float) else 1
        assert refusal_of({"strategy": name, option.name: given}) != "unknown_parameter"


def test_fields_of_the_protocol_are_parameters() -> None:
    found = parsed(max_completion_tokens=7, temperature=0.5, seed=3, stop=["a", "b"], n=2).strategy
    wanted = {"max_tokens": 7, "proposal_temperature": 0.5, "seed": 3, "stop": ("a", "b")}
    assert {name: getattr(found, name) for name in wanted} == wanted
    assert parsed("completions", prompt=["a"], max_tokens=7, stop="a").strategy.stop == ("a",)
    assert parsed(logprobs=True, top_logprobs=3).strategy.top_logprobs == 3
    assert parsed("completions", prompt="a", logprobs=2).strategy.top_logprobs == 2
    assert parsed(model="org/m@1@vote-4", logprobs=True).strategy.needs_logprobs
    assert not parsed(model="org/m@1@vote-4").strategy.needs_logprobs
    assert parsed(logprobs=True, search={"top_logprobs": 3}).strategy.top_logprobs == 3
    assert parsed(model="org/m@1@greedy", temperature=0).strategy.proposal_temperature == 0
    assert parsed(model="org/m@1@sample", temperature=0.2).strategy.proposal_temperature == 0.2
    assert parsed(search={"max_completion_tokens": 99}).strategy.max_completion_tokens == 99


def test_whole_numbers_may_have_a_fraction() -> None:
    found = parsed(n=2.0, max_tokens=16.0, search={"beam_width": 3.0, "n_per_beam": 2})
    assert (found.n, found.strategy.max_tokens, found.strategy.max_beams) == (2, 16, 3)


def test_parts_are_given_as_objects_or_by_their_parameters() -> None:
    part = parsed(search={"selection": {"name": "resample", "ess_threshold": 0.3}}).strategy
    assert part == parsed(search={"ess_threshold": 0.3}).strategy
    assert parsed(search={"strategy": "vote-4", "key": r"\d+", "seed": 3}).strategy.seed == 3


def test_deadlines() -> None:
    assert parsed(search={"within": 2}).within == 2.0
    assert parsed(headers={"x-search-within": "2.5"}).within == 2.5
    assert parsed(search={"within": 1}, headers={"x-search-within": "2.5"}).within == 1.0
    assert parsed().within is None


def test_what_changes_nothing_is_accepted() -> None:
    for name, (values, _) in TAKEN_AS.items():
        for value in values:
            parsed(**{name: value})
    for name in WITHOUT_EFFECT:
        given: dict[str, Any] = {name: "whatever"}
        parsed(**given)
    nothing: dict[str, Any] = dict.fromkeys(("n", "stop", "seed", "search", "tools", "nonsense"))
    parsed(**nothing)


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"messages": []}, "messages", "chat messages"),
    ({"messages": "hi"}, "messages", "a list of messages"),
    ({"messages": {"name": "hi"}}, "messages", "a list of messages"),
    ({"messages": [{"role": "user"}]}, "messages", "chat messages"),
    ({"messages": [*HI, {"role": "assistant", "content": "a"}]}, "messages", "without a final"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages", "messages[0].content"),
    ({"messages": [*HI, {"role": "user", "content": [5]}]}, "messages", "messages[1].content"),
    (
        {"messages": [{"role": "tool", "tool_calls": "a"}, *HI]},
        "messages",
        "messages[0].tool_calls",
    ),
    ({"stream": 1}, "stream", "true or false"),
    ({"model": "other"}, "model", "there is no model 'other'"),
    ({"model": "org/m@1@beam"}, "model", "behind the @"),
    ({"model": "org/m@1@beam-0"}, "model", "behind the @"),
    ({"model": "org/m@1@vote-2x2"}, "model", "behind the @"),
    ({"model": 3}, "model", "a text"),
    ({"n": 3}, "n", "at most 2"),
    ({"n": True}, "n", "a whole number from 1 up, not true"),
    ({"search": {"beam_width": None}}, "search.beam_width", "a whole number from 1 up, not null"),
    ({"n": 0}, "n", "from 1 up"),
    ({"max_tokens": "9"}, "max_tokens", "a whole number from 1 up, not"),
    ({"max_tokens": 2, "max_completion_tokens": 3}, "max_completion_tokens", "the same"),
    ({"temperature": 0}, "temperature", "temperature must be above 0"),
    ({"model": "org/m@1@greedy", "temperature": 0.5}, "temperature", "sets it to 0.0"),
    ({"seed": -1}, "seed", "from 0 up"),
    ({"stop": [""]}, "stop", "not empty"),
    ({"top_p": 0.9}, "top_p", "must be 1 or left out"),
    ({"top_p": True}, "top_p", "must be 1 or left out"),
    ({"tools": [{}]}, "tools", "a list of tools"),
    ({"nonsense": 1}, "nonsense", "there is no parameter 'nonsense'"),
    ({"top_logprobs": 2}, "top_logprobs", "goes with logprobs"),
    ({"stream_options": {}}, "stream_options", "goes with stream"),
    ({"stream": True, "stream_options": {"x": 1}}, "stream_options.x", "no parameter 'x'"),
    ({"search": []}, "search", "an object"),
    ({"search": {"strategy": "nix"}}, "search.strategy", "one of beam-4x4"),
    ({"search": {"strategy": 3}}, "search.strategy", "one of beam-4x4"),
    ({"model": "org/m@1@greedy", "search": {"strategy": "mcmc"}}, "search.strategy", "left out"),
    ({"search": {"beam_widht": 3}}, "search.beam_widht", "did you mean 'beam_width'"),
    ({"search": {"beam_width": 0}}, "search.beam_width", "from 1 up"),
    ({"search": {"chains": 3}}, "search.chains", "no parameter"),
    ({"search": {"selection": "best"}}, "search.selection", "one of 'resample'"),
    ({"search": {"selection": {"name": "best"}}}, "search.selection.name", "one of 'resample'"),
    ({"search": {"ess_threshold": 2}}, "search.ess_threshold", "from 0 to 1"),
    (
        {"search": {"selection": {"name": "resample", "ess_threshold": 2}}},
        "search.selection.ess_threshold",
        "selection.ess_threshold must be",
    ),
    (
        {"search": {"selection": {"name": "resample", "x": 2}}},
        "search.selection.x",
        "selection: there is no parameter 'x'",
    ),
    ({"search": {"selection": {"ess_threshold": 0.2}}}, "search.selection.name", "is missing"),
    ({"search": {"answer": {"name": "vote", "key": "("}}}, "search.answer.key", "a regular"),
    ({"search": {"vote_key": "("}}, "search.vote_key", "a regular expression"),
    ({"search": {"max_tokens": 5}, "max_tokens": 6}, "max_tokens", "which?"),
    ({"search": {"within": 0}}, "search.within", "above 0"),
    ({"search": {"reward_model_base_url": "http://a"}}, "search.reward_model_base_url", "server"),
    ({"search": {"scorer": {"base_url": "http://a"}}}, "search.scorer.base_url", "server"),
]


@pytest.mark.parametrize(("given", "param", "words"), REFUSED, ids=lambda one: str(one)[:40])
def test_what_is_refused(given: dict[str, Any], param: str, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        parsed(**given)
    error = caught.value.body["error"]
    assert error["param"] == param
    assert caught.value.status == (404 if error["code"] == "model_not_found" else 400)
    assert words in error["message"]
    assert "None" not in error["message"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[1]", "a JSON object"),
        (b"\xff", "not valid JSON"),
        (b'{"n": NaN}', "not valid JSON"),
        (b'{"a":' * 100_000, "not valid JSON"),
        (b'{"n": 1' + b"0" * 5000 + b"}", ""),
        (b'{"model": "\\ud800"}', ""),
    ],
)
def test_bodies_that_are_none(body: bytes, words: str) -> None:
    with pytest.raises(ApiError) as caught:
        parser().parse("chat", body, {})
    assert caught.value.status in (400, 404)
    assert words in caught.value.message


@pytest.mark.parametrize("field", ["messages", "tools", "search", "metadata"])
def test_bodies_that_are_nested_too_deeply(field: str) -> None:
    nested: Any = [{"role": "user", "content": []}]
    inner = nested[0]["content"]
    for _ in range(400):
        inner.append([])
        inner = inner[0]
    with pytest.raises(ApiError, match="nested too deeply"):
        parsed(**{field: nested})


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"beam_width": 65}, "beams up to 64"),
        ({"beam_width": 64, "n_per_beam": 5}, "continuations in a round up to 256"),
        ({"max_tokens": 9000}, "max_tokens up to 8192"),
        ({"strategy": "mcmc", "steps": 10**9}, "steps up to 256"),
        ({"selection": "resample", "lookahead_tokens": 1, "lookahead_rollouts": 999}, "rollouts"),
        ({"max_total_tokens": 20_000}, "max_total_tokens up to 10000"),
        ({"strategy": "power-99"}, "beams up to 64"),
        ({"stop": ["a"] * 17}, "16 texts"),
        ({"stop": ["a" * 1001]}, "1000 characters"),
    ],
)
def test_limits_on_what_a_request_may_ask_for(search: dict[str, Any], words: str) -> None:
    limits = Limits(max_search_tokens=10_000)
    with pytest.raises(ApiError, match=words.replace("(", "")) as caught:
        limits.applied_to(parsed(search=search).strategy)
    assert caught.value.code == "limit_exceeded"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"search": {"beam_width": 65}}, "search.beam_width"),
        ({"search": {"strategy": "best_of_n", "n": 300, "max_tokens": 9}}, "search.n"),
        ({"search": {"beam_width": 64, "n_per_beam": 5}}, "search"),
        ({"search": {"strategy": "mcmc", "steps": 999}}, "search.steps"),
        (
            {"search": {"lookahead_tokens": 1, "lookahead_rollouts": 999}},
            "search.lookahead_rollouts",
        ),
        ({"search": {"max_tokens": 9000}}, "search.max_tokens"),
        ({"max_tokens": 9000}, "max_tokens"),
        ({"max_completion_tokens": 9000}, "max_completion_tokens"),
        ({"model": "org/m@1@beam-99x2"}, "model"),
        ({"model": "org/m@1@beam-64x64", "max_tokens": 4}, "model"),
        ({"model": "org/m@1@beam-4x4", "search": {"beam_width": 99}}, "search.beam_width"),
        ({"search": {"max_total_tokens": 20_000}}, "search.max_total_tokens"),
        ({"search": {"max_tokens": 65, "alpha": 65, "beam_width": 65}}, "search.beam_width"),
        ({"search": {"tokens_per_step": 99, "strategy": "beam-99x2"}}, "search.strategy"),
    ],
)
def test_a_limit_names_the_field_that_asks_for_too_much(body: dict[str, Any], field: str) -> None:
    found = parsed(**body)
    with pytest.raises(ApiError) as caught:
        Limits(max_search_tokens=10_000).applied_to(found.strategy, 1, found.given)
    assert caught.value.param == field


@pytest.mark.parametrize("name", STRATEGIES.names())
def test_a_request_that_asks_for_no_length_has_the_gateways(name: str) -> None:
    limits, given = Limits(max_answer_tokens=50), {"model": f"org/m@1@{name}", "messages": HI}
    reader = attrs.evolve(parser(), longest=50)
    for more, wanted in (({}, 50), ({"max_tokens": 40}, 40)):
        found = reader.parse("chat", json.dumps({**given, **more}).encode(), {})
        assert limits.applied_to(found.strategy, 1, found.given).max_tokens == wanted
    found = reader.parse("chat", json.dumps({**given, "max_tokens": 512}).encode(), {})
    with pytest.raises(ApiError, match="max_tokens up to 50"):
        limits.applied_to(found.strategy, 1, found.given)


def test_a_search_without_a_budget_gets_the_gateways() -> None:
    assert (
        Limits(max_search_tokens=10_000).applied_to(BeamSearchConfig()).max_total_tokens == 10_000
    )
    mine = BeamSearchConfig(max_total_tokens=500)
    assert Limits(max_search_tokens=10_000).applied_to(mine) == mine
    assert Limits().applied_to(BeamSearchConfig()) == BeamSearchConfig()


def test_a_search_may_be_too_large_for_the_gateways_budget() -> None:
    found = parsed(model="org/m@1@beam-8x8")
    enough = Limits(max_search_tokens=64)
    assert enough.applied_to(found.strategy, 1, found.given).max_total_tokens == 64
    for tokens, prompts, param, words in (
        (63, 1, "model", "up to 63: it would have to be at least"),
        (64, 2, "prompt", "up to 64, 32 for each of 2 prompts"),
    ):
        with pytest.raises(ApiError, match=words) as caught:
            Limits(max_search_tokens=tokens).applied_to(found.strategy, prompts, found.given)
        assert (caught.value.param, caught.value.code) == (param, "limit_exceeded")


def test_strategies_by_name_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[strategies.careful]\nstrategy = "beam_search"\nbeam_width = 6\nmax_tokens = 9\n'
        'block = {name = "steps", delimiter = "\\n"}\n'
    )
    aliases = read_aliases(path)
    found = parsed(aliases=aliases, model="org/m@1@careful", seed=3, max_tokens=7).strategy
    assert isinstance(found, BeamSearchConfig)
    assert (found.beam_width, found.seed, found.max_tokens) == (6, 3, 7)
    assert found.block_part is not None
    assert parsed(aliases=aliases, search={"strategy": "careful"}).strategy.max_beams == 6


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[", "is no TOML"),
        ("", "must have tables"),
        ("a = 1", "must have tables"),
        ("[strategies.a]\nbeam_width = 1", "must have a line strategy"),
        ('[strategies.a]\nstrategy = "nix"', "one of 'beam_search'"),
        ('[strategies.a]\nstrategy = "beam_search"\nbeam_widht = 1', "did you mean 'beam_width'"),
        ('[strategies."a@b"]\nstrategy = "greedy"', "has no @"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=words):
        read_aliases(path)


def test_the_openapi_document_has_every_field_and_parameter() -> None:
    document = openapi_document()
    search = document["components"]["schemas"]["Search"]["properties"]
    for name in STRATEGIES.names():
        assert {option.name for option in strategy_options(name)} <= search.keys()
    body = document["paths"]["/v1/chat/completions"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]
    assert {"messages", "n", "search", "top_p", "user", "stream_options"} <= schema[
        "properties"
    ].keys()
    assert schema["required"] == ["model", "messages"]
    json.dumps(document)


def test_offsets_of_tokens_that_cut_a_character() -> None:
    data = (b"a", b"\xe2\x97", b"\x81b", b" c")
    tokens = tuple(Token(one.decode("utf-8", "replace"), -1.0, None, one) for one in data)
    beam = Beam().extend(Continuation(tokens=tokens, data=b"".join(data), finish_reason="stop"))
    request = parsed("completions", prompt="p", logprobs=0)
    found = Envelope(request=request, id="cmpl-1", created=0).ending(0, beam)
    assert found["choices"][0]["logprobs"]["text_offset"] == [0, 1, 1, 3]


def test_alternatives_have_the_token_itself() -> None:
    """As in other servers: one more than asked for, where it is not among the most probable."""
    top = (Token("b", -0.5), Token("�", -1.0, 1), Token("�", -2.0, 2))
    block = Continuation(tokens=(Token("a", -3.0, top=top),), data=b"a", finish_reason="stop")
    request = parsed("completions", prompt="p", logprobs=3)
    found = Envelope(request=request, id="cmpl-1", created=0).ending(0, Beam().extend(block))
    wanted = {"a": -3.0, "b": -0.5, "�": -1.0}
    assert found["choices"][0]["logprobs"]["top_logprobs"] == [wanted]


@pytest.mark.parametrize(
    ("body", "more"),
    [
        ({"model": "m@beam-4x2"}, {"beam_width": 4, "n_per_beam": 2}),
        (
            {"model": "m@beam-4x2", "search": {"beam_width": 3, "alpha": 2.0}},
            {"beam_width": 3, "n_per_beam": 2, "alpha": 2.0},
        ),
        ({"model": "m@short", "max_tokens": 4, "seed": 1}, {"max_tokens": 4}),
    ],
)
async def test_the_strategy_of_an_answer_is_the_one_that_was_run(
    body: dict[str, Any], more: dict[str, Any]
) -> None:
    aliases = Aliases({"short": Named("beam_search", {"max_tokens": 9})})
    async with serving(gateway_over(FakeEndpoint(), aliases=aliases)) as url:
        found = await ask(url, "POST", "/v1/completions", {"prompt": "p", **body})
    assert found.json()["trio_beam"]["strategy"] == {"strategy": "beam_search", **more}


@pytest.mark.parametrize("field", ["search.max_cost", "search.extra_body"])
async def test_what_is_refused_when_the_search_begins_names_the_field(field: str) -> None:
    value: Any = 0.1 if field == "search.max_cost" else {"a": 1}
    body = {"model": "m", "prompt": "p", "search": {field.partition(".")[2]: value}}

    async def refuse(request: SampleRequest) -> None:
        raise ConfigError("extra_body", "without 'a'", value)

    async with serving(gateway_over(FakeEndpoint(before=refuse))) as url:
        found = await ask(url, "POST", "/v1/completions", body)
    assert (found.status_code, found.json()["error"]["param"]) == (400, field)
