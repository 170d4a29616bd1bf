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

from trio_beam.core.price import ZERO, Price, Prices, TokenCounts
from trio_beam.core.usage import NO_PRICE, Purse
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
_MILLION = Decimal(1_000_000)
_BOUND = "'auto', the name of a provider that genai-prices knows, a Prices(...), or None"


#: The name of a model, and its provider's, or the server's address.
Wanted: TypeAlias = tuple[str, str | None, str | None]
#: Returns the price at this time, for requests of some class.
Listed: TypeAlias = Callable[[Mapping[str, str]], Price]


@attrs.frozen(eq=False)
class ListPrice:
    """The price of a model in a list, at one time.

    What has no price of its own costs as much as what it is a part of: cached and written tokens as others of
    the prompt, reasoning as others of the answer. Where a price depends on the prompt's length, that of its
    step holds for all tokens.
    """

    _prices: Any  # genai_prices.types.ModelPrice

    @property
    def is_complete(self) -> bool:
        """Whether it has prices of the prompt's tokens and of generated ones."""
        return self._prices.input_mtok is not None and self._prices.output_mtok is not None

    def cost(self, counts: TokenCounts) -> Decimal:
        """Return the cost of a response, in US dollars."""
        fresh = counts.prompt - counts.cached - counts.written
        return (
            fresh * self._rate(counts.prompt, "input_mtok")
            + counts.cached * self._rate(counts.prompt, "cache_read_mtok", "input_mtok")
            + counts.written * self._rate(counts.prompt, "cache_write_mtok", "input_mtok")
            + (counts.completion - counts.reasoning) * self._rate(counts.prompt, "output_mtok")
            + counts.reasoning * self._rate(counts.prompt, "output_reasoning_mtok", "output_mtok")
            + (self._prices.requests_kcount or ZERO) / 1000
        )

    def most(self, prompt: int, completion: int) -> Decimal:
        """Return the most that a response can cost, in US dollars.

        What part of the prompt is cached, and of the answer is reasoning, is not known before, and a shorter
        prompt may have a higher price.
        """
        lengths = {prompt, *(start for start in self._steps() if start < prompt)}
        most_read, most_made = (
            max(self._rate(length, key, plain) for length in lengths for key in keys)
            for plain, keys in (
                ("input_mtok", ("input_mtok", "cache_read_mtok", "cache_write_mtok")),
                ("output_mtok", ("output_mtok", "output_reasoning_mtok")),
            )
        )
        requests: Decimal = (self._prices.requests_kcount or ZERO) / 1000
        return prompt * most_read + completion * most_made + requests

    def _rate(self, length: int, *keys: str) -> Decimal:
        """Return the first price there is, in US dollars per token, for a prompt of `length` tokens."""
        found = (getattr(self._prices, key) for key in keys)
        price = next((one for one in found if one is not None), ZERO)
        if not isinstance(price, Decimal):
            steps = [tier.price for tier in price.tiers if length > tier.start]
            price = steps[-1] if steps else price.base
        rate: Decimal = price / _MILLION
        return rate

    def _steps(self) -> list[int]:
        """Return the lengths of prompts, in tokens, up to which prices hold."""
        tiers = [getattr(value, "tiers", ()) for value in vars(self._prices).values()]
        return [tier.start for some in tiers for tier in some]


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

    def now(self, fields: Mapping[str, Any]) -> Price | None:
        """Return the price at this time of requests with these fields; None if unknown."""
        if isinstance(self.given, Prices):
            return self.given
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

        def at_this_time(context: Mapping[str, str], model: Any = model) -> ListPrice:
            return ListPrice(model.get_prices(datetime.now(UTC), context))

        return at_this_time if at_this_time({}).is_complete else None
    return None
