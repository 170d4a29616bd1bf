"""How many requests and tokens may be sent in any minute. Pure: who calls says what time it is.

A request counts from when it is sent, with all that it may cost until its true cost is known, and for a
minute after it has reached the server. When that was is not known, only that it was before the response: so
it counts for a minute from there, or from `TRAVEL` seconds after it was sent if the response takes longer. No
minute is above the rate then, on the server's clock either, and not only whole minutes.

Limits are declared, or learnt from what a server says: its limits per minute, and what is left of them until
when.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence
from heapq import merge
from itertools import count
from typing import Literal, NamedTuple, TypeAlias

import attrs

from trio_beam.dialects.common.rate_headers import Quota

#: Seconds that a limit is about.
MINUTE = 60.0
#: Seconds within which a request has surely reached the server.
TRAVEL = 2.0
#: What is limited.
Kind: TypeAlias = Literal["requests", "tokens"]


class Share(NamedTuple):
    """Usage of a shared rate by other processes.

    Attributes:
        leaves: when it counts no more.
        requests, tokens: that count until then.
    """

    leaves: float
    requests: int
    tokens: int


class Wait(NamedTuple):
    """Why a request cannot be sent yet.

    Attributes:
        until: when it can, if nothing else changes.
        limit: the limit that is reached.
    """

    until: float
    limit: Kind


@attrs.define(eq=False)
class Admission:
    """A request that counts.

    Attributes:
        number: of the requests admitted, from 1.
        tokens: that it may cost, later those that it has cost.
        leaves: when it counts no more.
        counts: whether it still does.
    """

    number: int
    tokens: int
    leaves: float
    counts: bool = True


@attrs.define
class _Allowance:
    """The remainder of a limit, by the server's count.

    Attributes:
        remaining: requests or tokens, less what was sent since.
        until: when there will be more.
        number: of the request whose response said so; 0 if it was sent before anything was limited.
    """

    remaining: float
    until: float
    number: int


class RateWindow:
    """The limits of an endpoint, and what was sent in the last minute.

    Args:
        requests: per minute; None: unlimited, or learnt.
        tokens: prompt and completion tokens per minute; None: unlimited, or learnt.

    Attributes:
        limited: whether there is a limit, or the server has spoken of one.
        others: what other processes have sent, in the order in which it leaves.
    """

    def __init__(self, requests: int | None = None, tokens: int | None = None) -> None:
        self._declared: dict[Kind, float] = {
            "requests": math.inf if requests is None else requests,
            "tokens": math.inf if tokens is None else tokens,
        }
        self._limits = dict(self._declared)
        self.limited = requests is not None or tokens is not None
        self.others: Sequence[Share] = ()
        self._sent: list[tuple[float, int, Admission]] = []  # in the order in which they leave
        self._tokens = 0
        self._flying: dict[int, Admission] = {}
        self._allowances: dict[Kind, _Allowance] = {}
        self._numbers = count(1)

    def limit(self, kind: Kind, *, declared: bool = False) -> float:
        """Return a limit per minute; infinite if there is none.

        Args:
            kind: what is limited.
            declared: leave out what was learnt.
        """
        return (self._declared if declared else self._limits)[kind]

    def wait(self, tokens: int, now: float) -> Wait | None:
        """Return until when a request must wait; None: it may be sent.

        One that may cost more than a minute has waits until nothing else counts: it may cost less, and a
        learnt limit is for the server to keep.

        Args:
            tokens: that the request may cost.
            now: the time.
        """
        self._forget(now)
        found: Wait | None = None
        for kind, allowance in self._allowances.items():
            if allowance.remaining < (1 if kind == "requests" else tokens):
                found = _later(found, allowance.until, kind)
        requests = len(self._sent) + sum(share.requests for share in self.others)
        spent = self._tokens + sum(share.tokens for share in self.others)
        needed = min(tokens, self._limits["tokens"])
        for share in merge(self._shares(), self.others):
            if requests + 1 > self._limits["requests"]:
                found = _later(found, share.leaves, "requests")
            elif spent + needed > self._limits["tokens"]:
                found = _later(found, share.leaves, "tokens")
            else:
                break
            requests, spent = requests - share.requests, spent - share.tokens
        return found

    def admit(self, tokens: int, now: float) -> Admission:
        """Count a request that is about to be sent."""
        admission = Admission(next(self._numbers), tokens, now + TRAVEL + MINUTE)
        self._flying[admission.number] = admission
        insort(self._sent, (admission.leaves, admission.number, admission))
        self._tokens += tokens
        self._spend(admission, 1)
        return admission

    def responded(self, admission: Admission, now: float) -> None:
        """Note that a request has reached the server, or was given up."""
        self._flying.pop(admission.number, None)
        if admission.counts and now + MINUTE < admission.leaves:
            self._remove(admission)
            admission.leaves = now + MINUTE
            insort(self._sent, (admission.leaves, admission.number, admission))

    def settle(self, admission: Admission, tokens: int) -> None:
        """Note the true cost of a request."""
        if admission.counts:
            self._tokens += tokens - admission.tokens
        admission.tokens = tokens

    def withdraw(self, admission: Admission) -> None:
        """Give back a request that was not sent."""
        self._flying.pop(admission.number, None)
        if admission.counts:
            self._remove(admission)
            self._tokens -= admission.tokens
            admission.counts = False
            self._spend(admission, -1)

    def learn(self, quotas: Iterable[Quota], admission: Admission | None, now: float) -> None:
        """Note what a response says about the limits.

        Args:
            quotas: what it says.
            admission: the request; None if it was sent before anything was limited.
            now: the time.
        """
        number = admission.number if admission else 0
        for quota in quotas:
            self.limited = True
            if quota.limit is not None:
                self._limits[quota.kind] = min(quota.limit, self._declared[quota.kind])
            if quota.remaining is None or not 0 < quota.reset <= MINUTE:
                continue  # of a day's limit a 429 will speak
            # What was sent later had not reached the server.
            later = [one for one in self._flying.values() if one.number > number]
            unknown = len(later) if quota.kind == "requests" else sum(one.tokens for one in later)
            said = _Allowance(quota.remaining - unknown, now + quota.reset, number)
            known = self._allowances.get(quota.kind)
            if known is None or number > known.number or said.remaining < known.remaining:
                self._allowances[quota.kind] = said

    def sent(self) -> list[Share]:
        """Return what was sent, by whole seconds (rounded up) at which it leaves."""
        found: dict[int, Share] = {}
        for share in self._shares():
            leaves = math.ceil(share.leaves)
            before = found.get(leaves, Share(leaves, 0, 0))
            found[leaves] = Share(leaves, before.requests + 1, before.tokens + share.tokens)
        return list(found.values())

    def shift(self, seconds: float) -> None:
        """Move all times, for another clock."""
        for _, _, admission in self._sent:
            admission.leaves += seconds
        self._sent = [(one.leaves, number, one) for _, number, one in self._sent]
        for allowance in self._allowances.values():
            allowance.until += seconds
        self._flying.clear()
        self.others = ()

    def _shares(self) -> Iterable[Share]:
        return (Share(leaves, 1, admission.tokens) for leaves, _, admission in self._sent)

    def _forget(self, now: float) -> None:
        old = bisect_left(self._sent, (now, math.inf))
        for _, _, admission in self._sent[:old]:
            self._tokens -= admission.tokens
            admission.counts = False
        del self._sent[:old]
        self.others = [share for share in self.others if share.leaves > now]
        for kind in [kind for kind, one in self._allowances.items() if one.until <= now]:
            del self._allowances[kind]

    def _remove(self, admission: Admission) -> None:
        del self._sent[bisect_left(self._sent, (admission.leaves, admission.number))]

    def _spend(self, admission: Admission, sign: int) -> None:
        for kind, allowance in self._allowances.items():
            if allowance.number < admission.number:
                allowance.remaining -= sign * (1 if kind == "requests" else admission.tokens)


def _later(found: Wait | None, until: float, limit: Kind) -> Wait:
    return found if found is not None and found.until >= until else Wait(until, limit)
