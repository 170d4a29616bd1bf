"""Learn by trial which spelling of each optional request field a server accepts. Pure.

A server may expect another name or type for a field, or refuse it altogether. An `OptionalField` lists
the ways to send it and a `Negotiation` remembers which one works, so an endpoint pays for the lesson
once. A refusal that names a field moves that field to its next way. One that names none starts trials:
each way by itself, then all together. A trial that is refused in other words has mended the first
refusal, and the next trials go on from there. Fields that the server has accepted before are not tried, since
the refusal must be about something else.
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

#: Statuses of refusals that no other spelling avoids: they are about who asks, how often and how much.
_UNMENDABLE = frozenset({401, 402, 407, 408, 413, 425, 429, 451})
#: Statuses of refusals that may be about a field without naming it.
_VAGUE = frozenset({400, 422, 501})
#: Refusals of the content, the caller or the model: no field is to blame.
_ABOUT_CONTENT = re.compile(
    r"flagged|polic(y|ies)|moderation|safety|content.?filter|invalid.?prompt|api.?key|credential|unauthor"
    r"|quota|billing|credit|payment|balance|region|model.{0,80}(not exist|not found|not available)"
    r"|(no such|unknown|invalid) model|does not exist",
    re.IGNORECASE,
)
#: Refusals of a number: another name would not make it acceptable.
_ABOUT_SIZE = re.compile(
    r"too (large|many|long|big)|at most|less than|greater than|<=|maximum|exceed|must be between",
    re.IGNORECASE,
)
#: Maximum number of trials after a refusal that names no field, and after all those of one request.
_MAX_TRIALS, _MAX_ALL_TRIALS = 8, 16
#: What may differ between two refusals that mean the same: numbers and request ids.
_PARTICULARS = re.compile(r"\b[\w-]*\d[\w-]*")
#: Placeholder for a field's value in a `Way`.
VALUE = object()
_ANY = object()


@attrs.frozen(kw_only=True)
class Way:
    """One way to send a field.

    Attributes:
        fields: wire names and their values; `VALUE` stands for the field's value.
        inexact: whether it leaves the server free to shape the distribution.
        only: the only value that may be sent this way.
    """

    fields: Mapping[str, Any]
    inexact: bool = False
    only: Any = _ANY

    def takes(self, value: Any) -> bool:
        """Return whether a value may be sent this way."""
        return self.only is _ANY or value == self.only


@attrs.frozen(kw_only=True)
class OptionalField:
    """A field that a server may refuse.

    Attributes:
        name: our name for the field.
        ways: in the order to try; the first follows the protocol.
        advice: tells the user what to set if no way works.
        unavailable: error to raise if no way works.
        is_limit: whether a refusal may mean that the value is too large.
    """

    name: str
    ways: tuple[Way, ...]
    advice: str = ""
    unavailable: type[RequestRejected | LogprobsUnavailable] = RequestRejected
    is_limit: bool = False

    @property
    def wire_names(self) -> Collection[str]:
        """Names by which a refusal may refer to it."""
        return {self.name, *(name for way in self.ways for name in way.fields)}


@attrs.define(eq=False)
class Negotiation:
    """How one server accepts the fields of one call."""

    fields: Sequence[OptionalField]
    _chosen: dict[str, int] = attrs.field(factory=dict, init=False)
    _proved: set[tuple[str, int]] = attrs.field(factory=set, init=False)

    @property
    def inexact(self) -> bool:
        """Whether a chosen way leaves the server free to shape the distribution."""
        return any(field.ways[self._chosen.get(field.name, 0)].inexact for field in self.fields)

    def spell(
        self, values: Mapping[str, Any], chosen: Mapping[str, int] | None = None
    ) -> dict[str, Any]:
        """Return the wire fields for our values; None leaves a field out."""
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
        """Return the index of the way chosen for a field."""
        return self._chosen.get(name, 0)

    def accept(self, chosen: Mapping[str, int], names: Collection[str]) -> None:
        """Note that the server accepted these fields in these ways."""
        self._chosen.update(chosen)
        self._proved.update((name, chosen.get(name, 0)) for name in names)

    def is_proved(self, name: str, way: int) -> bool:
        """Return whether the server has accepted a field this way before."""
        return (name, way) in self._proved


@attrs.define(eq=False)
class Attempt:
    """One request, retried with different spellings."""

    _negotiation: Negotiation
    _chosen: dict[str, int]
    _values: Mapping[str, Any] = attrs.field(factory=dict, init=False)
    _trials: Iterator[dict[str, int]] | None = attrs.field(default=None, init=False)
    _refusal: EndpointError | None = attrs.field(default=None, init=False)
    _mending: str = attrs.field(default="", init=False)
    _tried: int = attrs.field(default=0, init=False)

    def spell(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the wire fields for our values; None leaves a field out."""
        self._values = values
        return self._negotiation.spell(values, self._chosen)

    def accepted(self) -> None:
        """Note that the server accepted the last spelling."""
        self._negotiation.accept(self._chosen, [field.name for field in self._sent()])

    def next_spelling(self, refusal: EndpointError) -> bool:
        """Choose another spelling after a refusal; return whether there is one.

        Raises:
            RequestRejected, LogprobsUnavailable: the refusal names a field with no way left.
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
        """Return whether a refusal names a field that the server has not accepted this way before."""
        named = self._named(refusal)
        if named is None:
            return False
        return not self._negotiation.is_proved(named.name, self._chosen.get(named.name, 0))

    def first_refusal(self, refusal: EndpointError) -> EndpointError:
        """Return the refusal to raise: the first one, since later ones are about the trials."""
        return self._refusal or refusal

    def _sent(self) -> list[OptionalField]:
        return [one for one in self._negotiation.fields if self._values.get(one.name) is not None]

    def _named(self, refusal: EndpointError) -> OptionalField | None:
        """Return the field that a refusal names explicitly, or first in its message."""
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
        following = known if known > current else None  # learnt by another request meanwhile
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
        """Yield spellings to try: each unproved field in each other way, then all of them together."""
        closed = isinstance(refusal, ConnectionFailed)
        base = dict(self._chosen)
        singles = []
        for field in self._sent():
            current = base.get(field.name, 0)
            if self._negotiation.is_proved(field.name, current):
                continue
            if closed and field.name != "logprobs":
                continue  # servers are known to close the connection only over this field
            value = self._values[field.name]
            singles += [
                (field.name, way)
                for way in range(current + 1, len(field.ways))
                if field.ways[way].takes(value)
            ]
        for name, way in singles:
            yield {**base, name: way}
        if len(singles) > 1:
            yield {**base, **dict(reversed(singles))}  # each field in its first other way


def mentions(message: str, name: str) -> int | None:
    """Return where a message mentions a field; one letter must be a word of its own."""
    around = r"\w\\’" if len(name) == 1 else r"\w"
    found = re.search(rf"(?<![{around}]){re.escape(name)}(?![{around}])", message)
    return found.start() if found else None


def _is_vague(refusal: EndpointError) -> bool:
    """Return whether a refusal may be about a field that it does not name."""
    if isinstance(refusal, ConnectionFailed):
        return not refusal.never_sent
    if not isinstance(refusal, (RequestRejected, ServerError)) or refusal.status not in _VAGUE:
        return False
    return isinstance(refusal, ServerError) or not is_about_content(refusal)


def is_about_content(refusal: RequestRejected) -> bool:
    """Return whether a refusal is about the prompt, the caller or the model."""
    words = refusal.message.partition(" (is the ")[0]  # without our own hint
    return _ABOUT_CONTENT.search(f"{refusal.code} {words}") is not None


def _advised(refusal: EndpointError, field: OptionalField) -> EndpointError:
    """Return the refusal with the field's advice added."""
    message = f"{refusal.message}; {field.advice}"
    if field.unavailable is LogprobsUnavailable:
        return LogprobsUnavailable(message, url=refusal.url, attempts=refusal.attempts)
    status = refusal.status if isinstance(refusal, (RequestRejected, ServerError)) else 400
    return RequestRejected(message, status=status, url=refusal.url, attempts=refusal.attempts)
