"""The options that say what a server's tokens cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from trio_beam.command.help import option
from trio_beam.core.price import Prices
from trio_beam.errors import ConfigError

F = TypeVar("F", bound=Callable[..., Any])
_NONE = "none"
_OWN = ("price_input", "price_output", "price_cached")


def _price(name: str, what: str) -> Callable[[F], F]:
    text = f"US dollars per million {what}"
    return option("model", name, type=click.FloatRange(min=0), metavar="USD", help=text)


_OPTIONS = (
    option(
        "model",
        "--prices",
        metavar="NAME",
        default="auto",
        show_default=True,
        help="Whose price list holds (of genai-prices): a provider's, such as openai; none; auto: by the"
        " server's address, or by the model's name if only its maker offers it.",
    ),
    _price("--price-input", "tokens of prompts: a price list of your own."),
    _price("--price-output", "generated tokens."),
    _price("--price-cached", "tokens of prompts that are cached.  [default: as --price-input]"),
)


def price_options(command: F) -> F:
    """``--prices`` and a price list of one's own."""
    for one in reversed(_OPTIONS):
        command = one(command)
    return command


def prices_from(given: Mapping[str, Any]) -> Prices | str | None:
    """Return the prices as `Endpoint` takes them.

    Args:
        given: ``prices``, the name of a list, and ``price_input``, ``price_output`` and ``price_cached``.

    Raises:
        ConfigError: a price list lacks a price, or there are two.
    """
    own = {name.removeprefix("price_"): given[name] for name in _OWN}
    if all(price is None for price in own.values()):
        return None if given["prices"] == _NONE else str(given["prices"])
    for name in ("price_input", "price_output"):
        if given[name] is None:
            raise ConfigError(name, "given too, for a price list of your own", None)
    if given["prices"] != "auto":
        raise ConfigError("prices", "left out with a price list of your own", given["prices"])
    return Prices(**own)
