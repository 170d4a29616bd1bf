"""The price of an endpoint's model: given, or from the lists of the package `genai-prices`.

The package brings its lists; nothing is fetched. It is an extra (``prices``) and is imported, in a thread,
only where the address or the model's name could be in a list: that takes half a second.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import attrs
import trio

from trio_beam.core.price import ZERO, Prices, PriceTable, Rate
from trio_beam.core.usage_meter import NO_PRICE, Purse
from trio_beam.errors import ConfigError

#: Models that only their maker offers. A server at an address of no provider that has one of these passes
#: requests on, so the maker's prices are paid; others may be served by anyone, at any price or none.
_CLOSED = {
    "openai": re.compile(r"(gpt-(?!oss)|chatgpt-|o\d)"),
    "anthropic": re.compile(r"claude-"),
    "google": re.compile(r"gemini-"),
    "x-ai": re.compile(r"grok-"),
}
#: The field by which requests choose a class of service, which has its own prices.
_TIER = "service_tier"
_BOUND = "'auto', the name of a provider that genai-prices knows, a Prices(...), or None"


#: The name of a model, and its provider's, or the server's address.
Wanted: TypeAlias = tuple[str, str | None, str | None]
#: Returns the price at this time, for requests of some class.
Listed: TypeAlias = Callable[[Mapping[str, str]], PriceTable | None]


def table_of(prices: Any) -> PriceTable | None:
    """Return a `genai_prices.types.ModelPrice` as a table; None if it lacks what all searches need.

    What has no price of its own costs as much as what it is a part of: cached and written tokens as others of
    the prompt, reasoning as others of the answer.
    """

    def rate(*keys: str) -> Rate:
        found = (getattr(prices, key) for key in keys)
        price = next(one for one in found if one is not None)
        if isinstance(price, Decimal):
            return ((0, price),)
        return ((0, price.base), *((tier.start, tier.price) for tier in price.tiers))

    if prices.input_mtok is None or prices.output_mtok is None:
        return None
    return PriceTable(
        input=rate("input_mtok"),
        cached=rate("cache_read_mtok", "input_mtok"),
        written=rate("cache_write_mtok", "input_mtok"),
        output=rate("output_mtok"),
        reasoning=rate("output_reasoning_mtok", "output_mtok"),
        request=(prices.requests_kcount or ZERO) / 1000,
    )


@attrs.define(eq=False)
class Pricing:
    """The price of an endpoint's model.

    Attributes:
        given: as `Endpoint` takes it.
        base_url: of the server.
        purse: limits the cost of all searches together.
    """

    given: Prices | str | None = attrs.field()
    base_url: str
    purse: Purse = attrs.field(factory=Purse)
    _listed: Listed | None = attrs.field(default=None, init=False)
    _looked_up: str | None = attrs.field(default=None, init=False)

    @given.validator
    def _check(self, _: Any, value: Any) -> None:
        if isinstance(value, Prices) or value is None or value == "auto":
            return
        if not isinstance(value, str):
            raise ConfigError("prices", _BOUND, value)
        lists = _lists()
        if lists is None:
            error = ConfigError("prices", _BOUND, value)
            error.args = (
                'the prices of a provider need an extra: pip install "trio-beam[prices]"',
            )
            raise error
        try:
            lists.find_provider(None, value, None)
        except LookupError:
            known = ", ".join(sorted(one.id for one in lists.providers))
            raise ConfigError("prices", f"{_BOUND} ({known})", value) from None

    async def look_up(self, model: str) -> None:
        """Look the model up in the lists, once.

        Raises:
            ConfigError: there is a limit of cost, but no price.
        """
        if isinstance(self.given, str) and self._looked_up != model:
            wanted = self._wanted(model)
            if wanted and await trio.to_thread.run_sync(_lists) is not None:
                self._listed = _find(*wanted)
            self._looked_up = model
        if self.purse.limit is not None and self.now({}) is None:
            raise ConfigError("max_cost", NO_PRICE, float(self.purse.limit))

    def _wanted(self, model: str) -> list[Wanted]:
        """Return what to look for in the lists, in this order."""
        if self.given != "auto":
            return [(model, str(self.given), None)]
        found: list[Wanted] = []
        if not _is_near(self.base_url):
            found.append((model, None, f"{self.base_url}/"))
        prefix, _, name = model.lower().rpartition("/")
        for provider, pattern in _CLOSED.items():
            if prefix in ("", provider) and pattern.match(name):
                found.append((name, provider, None))
        return found

    def now(self, fields: Mapping[str, Any]) -> PriceTable | None:
        """Return the price at this time of requests with these fields; None if unknown."""
        if isinstance(self.given, Prices):
            return self.given.table
        if self._listed is None:
            return None
        tier = fields.get(_TIER)
        return self._listed({_TIER: tier} if isinstance(tier, str) else {})


def _is_near(base_url: str) -> bool:
    """Return whether a server is on this machine or in a private network, as no provider is."""
    host = urlsplit(base_url).hostname or ""
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".localhost"))


@lru_cache(1)
def _lists() -> Any:
    """Return the lists of prices; None if the package is not installed."""
    try:
        from genai_prices import data_snapshot  # noqa: PLC0415  # an extra
    except ModuleNotFoundError:
        return None
    return data_snapshot.get_snapshot()


def _find(*wanted: Wanted) -> Listed | None:
    """Return the price of the first of several models that a list has, as a function of the context."""
    for name, provider, url in wanted:
        try:
            _, model = _lists().find_provider_model(name, None, provider, url)
        except LookupError:
            continue

        def at_this_time(context: Mapping[str, str], model: Any = model) -> PriceTable | None:
            return table_of(model.get_prices(datetime.now(UTC), context))

        return at_this_time
    return None
