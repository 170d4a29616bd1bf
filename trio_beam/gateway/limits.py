"""Limits on one request, and on the gateway as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import documented, integer, number, parameters_of
from trio_beam.errors import ConfigError
from trio_beam.gateway.api_error import invalid
from trio_beam.gateway.strategy_of import Given

#: Numbers that limit what others cost.
BUDGETS = frozenset({"max_requests", "max_total_tokens", "max_completion_tokens", "max_cost"})
#: Numbers that cost nothing.
_FREE = BUDGETS | {"seed"}
_CODE = "limit_exceeded"
#: Number of stop strings, and characters of each: every text is compared with all of them after each block.
_MAX_STOPS, _MAX_STOP = 16, 1000


@documented
@attrs.frozen(kw_only=True)
class Limits:
    """The limits of a gateway; each is an option of ``trio-beam serve``."""

    max_searches: int = integer(8, minimum=1, help="Searches at once.")
    max_waiting: int = integer(
        64, minimum=0, help="Searches that wait for their turn; more are refused with 429."
    )
    max_body: int = integer(2**20, minimum=1, unit="bytes", help="Size of a request's body.")
    max_send_time: float = number(
        30.0, above=0, unit="seconds", help="Time to send a request's head, and its body."
    )
    max_width: int = integer(64, minimum=1, help="Beams (or chains) of a search.")
    max_samples: int = integer(256, minimum=1, help="Continuations of a round.")
    max_answer_tokens: int = integer(
        8192, minimum=1, unit="tokens", help="Length of an answer (max_tokens of a request)."
    )
    max_prompts: int = integer(64, minimum=1, help="Prompts of a request, each with its search.")
    max_search_tokens: int | None = integer(
        None,
        minimum=1,
        optional=True,
        unit="tokens",
        help="Prompt and completion tokens of a request (max_total_tokens of its search); one that names no"
        " budget has this one.",
    )

    def applied_to(
        self, strategy: Strategy, prompts: int = 1, given: Sequence[Given] = ()
    ) -> Strategy:
        """Return the strategy, with a budget if searches must have one.

        Args:
            strategy: of each search.
            prompts: number of searches.
            given: the parameters that the request itself gives.

        Raises:
            ApiError: a request asks for more than is allowed.
        """
        if prompts > self.max_prompts:
            words = f"this gateway allows {self.max_prompts} prompts in a request, not {prompts}"
            raise invalid("prompt", words, _CODE)
        if len(strategy.stop) > _MAX_STOPS or max(map(len, strategy.stop), default=0) > _MAX_STOP:
            words = f"stop may have {_MAX_STOPS} texts of up to {_MAX_STOP} characters"
            raise invalid("stop", words, _CODE)
        wanted = [
            ("max_tokens", strategy.max_tokens, self.max_answer_tokens),
            ("beams", strategy.max_beams, self.max_width),
            ("continuations in a round", strategy.samples_per_round, self.max_samples),
            *_counts(strategy, {"": self.max_samples, "tokens": self.max_answer_tokens}),
        ]
        if self.max_search_tokens is not None:
            asked = prompts * (strategy.max_total_tokens or 0)
            wanted.append(("max_total_tokens", asked, self.max_search_tokens))
        for name, count, limit in wanted:
            if count > limit:
                words = f"this gateway allows {name} up to {limit}, not {count}"
                raise invalid(_field_of(strategy, given, name, count), words, _CODE)
        if self.max_search_tokens is None or strategy.max_total_tokens is not None:
            return strategy
        budget = max(1, self.max_search_tokens // prompts)
        try:
            return attrs.evolve(strategy, max_total_tokens=budget)
        except ConfigError as error:
            asked = strategy.samples_per_round
            field = "prompt" if prompts > 1 else _field_of(strategy, given, "", asked)
            words = f"max_total_tokens up to {self.max_search_tokens}"
            each = f", {budget} for each of {prompts} prompts" if prompts > 1 else ""
            words = f"this gateway allows {words}{each}: it would have to be {error.bound}"
            raise invalid(field, words, _CODE) from None


def _field_of(strategy: Strategy, given: Sequence[Given], name: str, count: int) -> str:
    """Return the field of a request that asks for so many; ``search`` if only several together do."""
    fields = [one.field for one in given if one.parameter == name]
    declared = parameters_of(type(strategy))
    other = {
        own
        for own, parameter in declared.items()
        if parameter.kind != "integer" or parameter.unit == "tokens" or own in _FREE
    }
    fields += [
        one.field
        for one in given
        if one.value == count and one.value is not True and one.parameter not in other
    ]
    if fields:
        return fields[0]
    only_named = given and not any(one.field.startswith("search.") for one in given)
    return given[0].field if only_named else "search"


def _counts(config: Any, limits: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    """Yield the numbers of a configuration and its parts that cost something, each with its limit."""
    fields = attrs.fields_dict(type(config))
    for name, parameter in parameters_of(type(config)).items():
        value = getattr(config, name)
        if value == fields[name].default:
            continue  # nobody has asked for it
        if parameter.kind == "integer":
            if name not in _FREE and isinstance(value, int):
                yield name, value, limits.get(parameter.unit, limits[""])
        elif attrs.has(type(value)):
            yield from _counts(value, limits)
