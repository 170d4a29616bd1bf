"""From the JSON of a request to a search: its prompt, its strategy, and how to answer. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import attrs
import msgspec

from trio_beam.core.parameters import build
from trio_beam.core.prompt import PromptLike, check_prompt
from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import check_number, parameters_of
from trio_beam.errors import ConfigError
from trio_beam.gateway.aliases import MARK, NAME, Aliases, Named
from trio_beam.gateway.api_error import ApiError, invalid, of_config
from trio_beam.gateway.fields import (
    TAKEN_AS,
    WITHOUT_EFFECT,
    ChatFields,
    CompletionFields,
    StreamOptions,
)
from trio_beam.gateway.passed import PASSED, Call
from trio_beam.gateway.strategy_of import (
    AnyFields,
    Given,
    passed_of,
    strategy_of,
    with_whole_numbers,
)

T = TypeVar("T")
#: The member of ``search`` with a deadline, and the header that says the same.
WITHIN, WITHIN_HEADER = "within", "x-search-within"
#: Levels of a body's JSON, so that nothing that walks through it runs out of stack.
_MAX_DEPTH = 100


@attrs.frozen(kw_only=True)
class SearchRequest:
    """A request, understood.

    Attributes:
        call: which call.
        model: as the client named it, with the strategy's name.
        named: the strategy by name.
        strategy: the search to run.
        given: the strategy's parameters that the request itself gives.
        prompts: each as for `search`; several are several searches.
        n: maximum number of choices of each.
        logprobs: whether to return log-probabilities.
        stream: whether to stream the response.
        include_usage: whether a stream ends with the usage.
        within: seconds until the best so far is returned; None: no deadline.
        passed: names of the fields that go to the model's server.
    """

    call: Call
    model: str
    named: Named
    strategy: Strategy
    prompts: tuple[PromptLike, ...]
    given: tuple[Given, ...] = ()
    n: int = 1
    logprobs: bool = False
    stream: bool = False
    include_usage: bool = False
    within: float | None = None
    passed: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Parser:
    """Reads requests for one model.

    Attributes:
        model: its name.
        aliases: names of strategies.
        default: the strategy of the model's name alone.
        longest: the most tokens of an answer, where a request does not say; None: the strategy's own.
    """

    model: str
    aliases: Aliases
    default: Named
    longest: int | None = None

    def parse(self, call: Call, body: bytes, headers: Mapping[str, str]) -> SearchRequest:
        """Understand a request.

        Args:
            call: which call.
            body: of the request.
            headers: of the request.

        Raises:
            ApiError: it is not valid.
        """
        given = _without_nulls(_decode(body))
        for name in list(given):
            _check_field(given, name)
        kind: type[AnyFields] = ChatFields if call == "chat" else CompletionFields
        for_server = {name: given.pop(name) for name in list(given) if name in PASSED[call]}
        try:
            fields = build(kind, with_whole_numbers(given, parameters_of(kind)))
        except ConfigError as error:
            raise of_config(error) from None
        search = dict(fields.search or {})
        within = _within(search, headers)
        named, named_in = self._named(fields.model, search)
        passed = passed_of(for_server, PASSED[call])
        strategy, asked = strategy_of(
            named, search, fields, passed, named_in=named_in, longest=self.longest
        )
        if fields.n > strategy.max_beams:
            words = f"n must be at most {strategy.max_beams}, the number of beams that this search keeps"
            raise invalid("n", words)
        if fields.stream_options is not None and not fields.stream:
            raise invalid("stream_options", "stream_options goes with stream")
        options = _build("stream_options", StreamOptions, fields.stream_options or {})
        return SearchRequest(
            call=call,
            model=fields.model,
            named=named,
            strategy=strategy,
            given=asked,
            prompts=_prompts(fields),
            n=fields.n,
            logprobs=fields.logprobs is not None and fields.logprobs is not False,
            stream=fields.stream,
            include_usage=options.include_usage,
            within=within,
            passed=tuple(passed),
        )

    def _named(self, model: str, search: dict[str, Any]) -> tuple[Named, str | None]:
        """Return the strategy of a request by its name, and the field that has it.

        The name is removed from ``search``. No field: it is the default.
        """
        wanted = search.pop(NAME, None)
        name = ""
        if model != self.model:
            base, mark, name = model.rpartition(MARK)
            found = self.aliases.find(name) if mark and base == self.model else None
            if found is None:
                raise _no_such_model(
                    model, self.model, self.aliases if base == self.model else None
                )
            if wanted is not None and wanted not in (name, found.strategy):
                words = f"the model's name asks for {name!r} already"
                raise invalid(f"search.{NAME}", f"{NAME} must be left out: {words}")
            return found, "model"
        if wanted is None or wanted == self.default.strategy:
            return self.default, None
        found = self.aliases.find(wanted) if isinstance(wanted, str) else None
        if found is None:
            words = f"{NAME} must be one of {', '.join(self.aliases.names())}, not {wanted!r}"
            raise invalid(f"search.{NAME}", words)
        return found, f"search.{NAME}"


def _decode(body: bytes) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ApiError(status=400, message=f"the body is not valid JSON: {why}") from None
    if not isinstance(given, dict):
        raise ApiError(status=400, message="the body must be a JSON object")
    if _is_deeper(given, _MAX_DEPTH):
        words = f"the body is not valid: nested too deeply (more than {_MAX_DEPTH} levels)"
        raise ApiError(status=400, message=words)
    return given


def _is_deeper(value: Any, levels: int) -> bool:
    """Return whether a value is nested in more levels; without recursion."""
    inside = [value]
    for _ in range(levels):
        members = [one.values() if isinstance(one, dict) else one for one in inside]
        inside = [one for many in members for one in many if isinstance(one, (dict, list))]
        if not inside:
            return False
    return True


def _without_nulls(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _check_field(given: dict[str, Any], name: str) -> None:
    """Remove a field without effect.

    Raises:
        ApiError: it would have one that a search cannot have.
    """
    if name in WITHOUT_EFFECT:
        del given[name]
    elif name in TAKEN_AS:
        values, why = TAKEN_AS[name]
        value = given.pop(name)
        if not any(_same(value, one) for one in values):
            allowed = " or ".join(msgspec.json.encode(one).decode() for one in values)
            raise invalid(name, f"{name} must be {allowed} or left out: {why}")


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _build(name: str, kind: type[T], given: Mapping[str, Any]) -> T:
    try:
        return build(kind, _without_nulls(given))
    except ConfigError as error:
        raise of_config(error, f"{name}.{error.field}") from None


def _within(search: dict[str, Any], headers: Mapping[str, str]) -> float | None:
    given = search.pop(WITHIN, None)
    param = f"search.{WITHIN}"
    if given is None and WITHIN_HEADER in headers:
        param = WITHIN_HEADER
        try:
            given = float(headers[WITHIN_HEADER])
        except ValueError:
            given = headers[WITHIN_HEADER]
    if given is None:
        return None
    try:
        check_number(param, given, 0, above=True)
    except ConfigError as error:
        raise of_config(error, param) from None
    return float(given)


def _prompts(fields: AnyFields) -> tuple[PromptLike, ...]:
    prompts = [fields.messages] if isinstance(fields, ChatFields) else fields.prompt
    for prompt in prompts:
        try:
            check_prompt(prompt)
        except ConfigError as error:
            name = "prompt" if isinstance(prompt, str) else "messages"
            bound = "a text (Unicode)"
            if name == "messages":
                bound = error.bound.removeprefix("a text (Unicode, not empty), or ")
            raise invalid(name, f"{name} must be {bound}") from None
    if isinstance(fields, ChatFields):
        for place, message in enumerate(fields.messages):
            _check_message(place, message)
    return tuple(prompts)


def _check_message(place: int, message: Mapping[str, Any]) -> None:
    """Refuse a message that no server understands; the rest is up to the server."""
    wanted = {
        "content": "a text, or a list of objects, each with a type",
        "tool_calls": "a list of objects, each with a type",
    }
    for name, words in wanted.items():
        given = message.get(name)
        if given is None or (name == "content" and isinstance(given, str)):
            continue
        if not isinstance(given, list) or not all(map(_has_type, given)):
            raise invalid("messages", f"messages[{place}].{name} must be {words}")


def _has_type(part: Any) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("type"), str)


def _no_such_model(given: str, model: str, aliases: Aliases | None) -> ApiError:
    if aliases is None:
        words = f"the model is {model!r}, or {model + MARK!r} and a strategy such as beam-4x2"
    else:
        words = f"behind the {MARK} stands one of {', '.join(aliases.names())}; numbers may differ"
    message = f"there is no model {given[:200]!r}: {words}"
    return ApiError(status=404, message=message, param="model", code="model_not_found")
