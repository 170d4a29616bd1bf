"""Whose price list holds for a model, and that costs are those of the list."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from genai_prices import Usage, data_snapshot
from hypothesis import given
from hypothesis import strategies as st

from trio_beam import ConfigError, Prices, TokenCounts
from trio_beam.core.price import Price
from trio_beam.endpoint import pricing
from trio_beam.endpoint.pricing import Pricing, table_of

LOCAL = "http://127.0.0.1:8000/v1"


async def price(
    model: str, given: Any = "auto", base_url: str = LOCAL, **fields: Any
) -> Price | None:
    found = Pricing(given, base_url)
    await found.look_up(model)
    return found.now(fields)


#: A provider, a model, prompt tokens of which some are cached and some written to the cache, generated tokens
#: of which some are reasoning; and the cost, by the prices that the provider has published, added by hand.
BILLS = [
    # $0.15, $0.075 and $0.60: 900 x 0.15 + 100 x 0.075 + 50 x 0.60 = 135 + 7.5 + 30
    ("openai", "gpt-4o-mini", (1000, 100, 0), (50, 0), "0.0001725"),
    # $15, $7.50, $60, reasoning as other output: 6,000 + 4,500 + 120,000
    ("openai", "o1", (1000, 600, 0), (2000, 1900), "0.1305"),
    # $1.50 and $2, no price for cached tokens: 1,500 + 20
    ("openai", "gpt-3.5-turbo-instruct", (1000, 400, 0), (10, 0), "0.00152"),
    # $0.80, written $1, read $0.08, $4: 100 x 0.8 + 600 x 1 + 300 x 0.08 + 25 x 4 = 80 + 600 + 24 + 100
    ("anthropic", "claude-3-5-haiku-latest", (1000, 300, 600), (25, 0), "0.000804"),
    # Up to 200,000 tokens of prompt $1.25 and $10: 250,000 + 10,000
    ("google", "gemini-2.5-pro", (200_000, 0, 0), (1000, 0), "0.26"),
    # Beyond, all tokens $2.50, cached ones $0.25, and $15: 200,001 x 2.5 is 500,002.5, + 10 x 15
    ("google", "gemini-2.5-pro", (200_001, 0, 0), (10, 0), "0.5001525"),
    ("google", "gemini-2.5-pro", (200_001, 200_001, 0), (10, 0), "0.05015025"),
    # $3, $0.75, $15: 50 x 3 + 50 x 0.75 + 4 x 15 = 150 + 37.5 + 60
    ("x-ai", "grok-4", (100, 50, 0), (4, 2), "0.0002475"),
    # $2 and $6: 2 + 6
    ("mistral", "mistral-large-latest", (1, 0, 0), (1, 0), "0.000008"),
    # $0.59 and $0.79: 59 + 7.9
    ("groq", "llama-3.3-70b-versatile", (100, 0, 0), (10, 0), "0.0000669"),
    # $1 and $1, and $12 for a thousand requests: 10 + 5 and 12,000 millionths
    ("perplexity", "sonar", (10, 0, 0), (5, 0), "0.012015"),
    # $2, $8, reasoning $3: 20 + 6 x 8 + 4 x 3 = 20 + 48 + 12
    ("openrouter", "perplexity/sonar-deep-research", (10, 0, 0), (10, 4), "0.00008"),
]


@pytest.mark.parametrize(("provider", "model", "read", "made", "cost"), BILLS)
async def test_costs_are_hand_made_sums(
    provider: str, model: str, read: tuple[int, int, int], made: tuple[int, int], cost: str
) -> None:
    found = await price(model, provider)
    assert found is not None
    counts = TokenCounts(
        prompt=read[0], cached=read[1], written=read[2], completion=made[0], reasoning=made[1]
    )
    assert found.cost(counts) == Decimal(cost)
    assert found.most(read[0], made[0]) >= Decimal(cost)


def test_all_lists_are_read_as_their_package_reads_them() -> None:
    now = datetime.now(UTC)
    models = [one for provider in data_snapshot.get_snapshot().providers for one in provider.models]
    checked = 0
    for model in models[::7]:  # each takes a millisecond
        prices = model.get_prices(now)
        listed = table_of(prices)
        if listed is None:
            continue
        checked += 1
        counts = TokenCounts(
            prompt=250_000, cached=70_001, written=33_003, completion=17, reasoning=5
        )
        usage = Usage(
            input_tokens=250_000,
            cache_read_tokens=70_001,
            cache_write_tokens=33_003,
            output_tokens=17,
            output_reasoning_tokens=5,
        )
        assert listed.cost(counts) == prices.calc_price(usage)["total_price"], model.id
    assert checked > 100


@given(st.integers(0, 300_000), st.integers(0, 10**4), st.data())
def test_nothing_costs_more_than_the_bound(
    prompt: int, completion: int, data: st.DataObject
) -> None:
    _, model = data_snapshot.get_snapshot().find_provider_model(
        data.draw(st.sampled_from(["claude-sonnet-4-5", "gpt-5.4", "gemini-2.5-pro", "o1"])),
        None,
        None,
        None,
    )
    found = table_of(model.get_prices(datetime.now(UTC)))
    assert found is not None
    read = data.draw(st.integers(0, prompt))
    cached = data.draw(st.integers(0, read))
    made = data.draw(st.integers(0, completion))
    counts = TokenCounts(
        prompt=read, cached=cached, written=read - cached, completion=made, reasoning=made // 2
    )
    assert found.cost(counts) <= found.most(prompt, completion)


ONE = TokenCounts(prompt=1_000_000)


@pytest.mark.parametrize(
    ("model", "base_url", "cost"),
    [
        ("gpt-4o-mini", "https://api.openai.com/v1", "0.15"),
        ("gpt-4o-mini", LOCAL, "0.15"),  # nobody else has it: a proxy
        ("openai/gpt-4o-mini", "http://gateway:4000/v1", "0.15"),
        ("llama-3.3-70b-versatile", "https://api.groq.com/openai/v1", "0.59"),
        ("llama-3.3-70b-versatile", LOCAL, None),  # served by anyone
        ("mistral-large-latest", "https://example.com/v1", None),
        ("gpt-oss-20b", LOCAL, None),
        ("gpt-2", LOCAL, None),
        ("my-model", "https://api.openai.com/v1", None),
        ("someone/gpt-4o-mini", LOCAL, None),
    ],
)
async def test_a_list_holds_at_its_address_or_for_a_model_that_only_its_maker_has(
    model: str, base_url: str, cost: str | None
) -> None:
    found = await price(model, base_url=base_url)
    assert (None if found is None else found.cost(ONE)) == (None if cost is None else Decimal(cost))


async def test_a_list_may_be_named() -> None:
    found = await price("openai/gpt-oss-20b", "groq")
    assert found is not None
    assert await price("gpt-4o-mini", None) is None
    own = Prices(input=1, output=2)
    assert await price("gpt-4o-mini", own) == own.table
    with pytest.raises(ConfigError, match=r"prices must be 'auto', .*openrouter"):
        Pricing("nobody", LOCAL)


async def test_a_class_of_service_has_its_own_prices() -> None:
    plain, flex = await price("o3", "openai"), await price("o3", "openai", service_tier="flex")
    assert plain is not None
    assert flex is not None
    assert flex.cost(ONE) == plain.cost(ONE) / 2


async def test_without_the_package_no_price_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pricing, "_lists", lambda: None)
    assert await price("gpt-4o-mini") is None
    with pytest.raises(ConfigError, match=r"pip install .trio-beam\[prices\]"):
        Pricing("openai", LOCAL)
