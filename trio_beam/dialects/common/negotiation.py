"""Optional fields of a request: which spelling of each a server takes, learnt by trying. Pure.

A server may call a field by another name, want it of another type, or not want it at all. An
`OptionalField` lists the ways to send it, and a `Negotiation` remembers which one works, so that an endpoint
pays for the lesson once. A refusal that names a field moves it to its next way. One that names none is
answered by trials: each way by itself, then all together. A trial that is refused in other words has mended
the first refusal; the next trials go on from there. Fields that the server has taken before
are not tried: the refusal is about something else.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import attrs

from trio_beam.errors import (
    ConnectionFailed,
    EndpointError,
    LogprobsUnavailable,
    RequestRejected,
    ServerError,
)

#: Statuses of a refusal that no spelling mends, whatever it names: of who asks, how often, and how much.
_UNMENDABLE = frozenset({401, 402, 407, 408, 413, 425, 429, 451})
#: Statuses of a refusal that may be about a field without naming it.
_VAGUE = frozenset({400, 422, 501})
#: Refusals of what is asked, of who asks, or of the model: no field is to blame.
_ABOUT_CONTENT = re.compile(
    r"flagged|polic(y|ies)|moderation|safety|content.?filter|invalid.?prompt|api.?key|credential|unauthor"
    r"|quota|billing|credit|payment|balance|region|model.{0,80}(not exist|not found|not available)"
    r"|(no such|unknown|invalid) model|does not exist",
    re.IGNORECASE,
)
#: Refusals of a number: another name would not make it smaller.
_ABOUT_SIZE = re.compile(
    r"too (large|many|long|big)|at most|less than|greater than|<=|maximum|exceed|must be between",
    re.IGNORECASE,
)
#: Most trials after a refusal that names no field, and after all such refusals of one request.
_MAX_TRIALS, _MAX_ALL_TRIALS = 8, 16
#: What may differ between two refusals that are the same: numbers, and ids of requests.
_PARTICULARS = re.compile(r"\b[\w-]*\d[\w-]*")
#: Stands for the value of a field in a `Way`.
VALUE = object()
_ANY = object()


@attrs.frozen(kw_only=True)
class Way:
    """One way to send a field.

    Attributes:
        fields: by their names on the wire; `VALUE` stands for the value.
        inexact: whether the server may then shape the distribution by itself.
        only: the one value that may be sent in this way.
    """

    fields: Mapping[str, Any]
    inexact: bool = False
    only: Any = _ANY

    def takes(self, value: Any) -> bool:
        """Whether a value may be sent in this way."""
        return self.only is _ANY or value == self.only


@attrs.frozen(kw_only=True)
class OptionalField:
    """A field that a server may refuse.

    Attributes:
        name: ours.
        ways: the first is what the protocol says.
        advice: what to set if no way works.
        unavailable: the error if no way works.
        is_limit: whether a refusal may mean that the value is too large.
    """

    name: str
    ways: tuple[Way, ...]
    advice: str = ""
    unavailable: type[RequestRejected | LogprobsUnavailable] = RequestRejected
    is_limit: bool = False

    @property
    def wire_names(self) -> Collection[str]:
        """Names that a refusal may use for it."""
        return {self.name, *(name for way in self.ways for name in way.fields)}


@attrs.define(eq=False)
class Negotiation:
    """The ways in which one server takes the fields of one call."""

    fields: Sequence[OptionalField]
    _chosen: dict[str, int] = attrs.field(factory=dict, init=False)
    _proved: set[tuple[str, int]] = attrs.field(factory=set, init=False)

    @property
    def inexact(self) -> bool:
        """Whether the server has to be left to shape the distribution by itself."""
        return any(field.ways[self._chosen.get(field.name, 0)].inexact for field in self.fields)

    def spell(
        self, values: Mapping[str, Any], chosen: Mapping[str, int] | None = None
    ) -> dict[str, Any]:
        """Spell the values of a request's optional fields; None leaves a field out."""
        chosen = self._chosen if chosen is None else chosen
        sent: dict[str, Any] = {}
        for field in self.fields:
            value = values.get(field.name)
            if value is None:
                continue
            for name, given in field.ways[chosen.get(field.name, 0)].fields.items():
                sent[name] = value if given is VALUE else given
        return sent

    def attempt(self) -> Attempt:
        """Begin a request."""
        return Attempt(self, dict(self._chosen))

    def way_of(self, name: str) -> int:
        """The number of the way chosen for a field."""
        return self._chosen.get(name, 0)

    def accept(self, chosen: Mapping[str, int], names: Collection[str]) -> None:
        """Note that the server has taken these fields in these ways."""
        self._chosen.update(chosen)
        self._proved.update((name, chosen.get(name, 0)) for name in names)

    def is_proved(self, name: str, way: int) -> bool:
        """Whether the server has taken a field in this way before."""
        return (name, way) in self._proved


@attrs.define(eq=False)
class Attempt:
    """One request on its way through the spellings."""

    _negotiation: Negotiation
    _chosen: dict[str, int]
    _values: Mapping[str, Any] = attrs.field(factory=dict, init=False)
    _trials: Iterator[dict[str, int]] | None = attrs.field(default=None, init=False)
    _refusal: EndpointError | None = attrs.field(default=None, init=False)
    _mending: str = attrs.field(default="", init=False)
    _tried: int = attrs.field(default=0, init=False)

    def spell(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields to send for these values; None leaves a field out."""
        self._values = values
        return self._negotiation.spell(values, self._chosen)

    def accepted(self) -> None:
        """Note that the server has taken what was spelt last."""
        self._negotiation.accept(self._chosen, [field.name for field in self._sent()])

    def next_spelling(self, refusal: EndpointError) -> bool:
        """Choose another spelling after a refusal; return whether there is one.

        Raises:
            RequestRejected, LogprobsUnavailable: the refusal names a field that has no other way.
        """
        named = self._named(refusal)
        if named is not None:
            return self._next_way(named, refusal)
        words = _PARTICULARS.sub("", refusal.message)
        if self._trials is None or (words != self._mending and _is_vague(refusal)):
            if not _is_vague(refusal):
                return False
            self._refusal = self._refusal or refusal
            self._mending = words
            self._trials = itertools.islice(self._candidates(refusal), _MAX_TRIALS)
        following = next(self._trials, None)
        self._tried += 1
        if following is None or self._tried > _MAX_ALL_TRIALS:
            return False
        self._chosen = following
        return True

    def blames(self, refusal: EndpointError) -> bool:
        """Whether a refusal names a field that the server has not taken in this way before."""
        named = self._named(refusal)
        if named is None:
            return False
        return not self._negotiation.is_proved(named.name, self._chosen.get(named.name, 0))

    def first_refusal(self, refusal: EndpointError) -> EndpointError:
        """The refusal to raise in the end: those of trials are about the trials."""
        return self._refusal or refusal

    def _sent(self) -> list[OptionalField]:
        return [one for one in self._negotiation.fields if self._values.get(one.name) is not None]

    def _named(self, refusal: EndpointError) -> OptionalField | None:
        """The field that a refusal names: by itself, or first in its words."""
        if isinstance(refusal, RequestRejected):
            if refusal.status in _UNMENDABLE:
                return None
            for name in refusal.fields:
                for field in self._sent():
                    if name.rpartition(".")[2] in field.wire_names:
                        return field
        elif not isinstance(refusal, ServerError):
            return None
        places = [
            (place, order)
            for order, field in enumerate(self._sent())
            for name in field.wire_names
            if (place := mentions(refusal.message, name)) is not None
        ]
        return self._sent()[min(places)[1]] if places else None

    def _next_way(self, field: OptionalField, refusal: EndpointError) -> bool:
        current = self._chosen.get(field.name, 0)
        known = self._negotiation.way_of(field.name)
        following = known if known > current else None  # another request has learnt it meanwhile
        if following is None and not (field.is_limit and _ABOUT_SIZE.search(refusal.message)):
            value = self._values[field.name]
            later = range(current + 1, len(field.ways))
            following = next((way for way in later if field.ways[way].takes(value)), None)
        if following is None:
            if field.advice:
                raise _advised(refusal, field)
            return False
        self._chosen = {**self._chosen, field.name: following}
        return True

    def _candidates(self, refusal: EndpointError) -> Iterator[dict[str, int]]:
        """Spellings to try: each unproved field in each of its other ways, then all of them together."""
        closed = isinstance(refusal, ConnectionFailed)
        base = dict(self._chosen)
        singles = []
        for field in self._sent():
            current = base.get(field.name, 0)
            if self._negotiation.is_proved(field.name, current):
                continue
            if closed and field.name != "logprobs":
                continue  # the one field that servers are known to close the connection for
            value = self._values[field.name]
            singles += [
                (field.name, way)
                for way in range(current + 1, len(field.ways))
                if field.ways[way].takes(value)
            ]
        for name, way in singles:
            yield {**base, name: way}
        if len(singles) > 1:
            yield {**base, **dict(reversed(singles))}  # of each field its first other way


def mentions(message: str, name: str) -> int | None:
    """Where a message speaks of a field; a name of one letter is neither an escape nor an abbreviation."""
    around = r"\w\\’" if len(name) == 1 else r"\w"
    found = re.search(rf"(?<![{around}]){re.escape(name)}(?![{around}])", message)
    return found.start() if found else None


def _is_vague(refusal: EndpointError) -> bool:
    """Whether a refusal may be about a field that it does not name."""
    if isinstance(refusal, ConnectionFailed):
        return not refusal.never_sent
    if not isinstance(refusal, (RequestRejected, ServerError)) or refusal.status not in _VAGUE:
        return False
    return isinstance(refusal, ServerError) or not is_about_content(refusal)


def is_about_content(refusal: RequestRejected) -> bool:
    """Whether a refusal is about the prompt, the caller or the model."""
    words = refusal.message.partition(" (is the ")[0]  # without our own hint
    return _ABOUT_CONTENT.search(f"{refusal.code} {words}") is not None


def _advised(refusal: EndpointError, field: OptionalField) -> EndpointError:
    """The refusal, with what to set."""
    message = f"{refusal.message}; {field.advice}"
    if field.unavailable is LogprobsUnavailable:
        return LogprobsUnavailable(message, url=refusal.url, attempts=refusal.attempts)
    status = refusal.status if isinstance(refusal, (RequestRejected, ServerError)) else 400
    return RequestRejected(message, status=status, url=refusal.url, attempts=refusal.attempts)
