"""The tokens that spell labels such as yes and no, and an answer with their exact log-probabilities. Pure.

A label is spelled with a capital or without, behind a space or not; spellings of several tokens cannot be
scored by one position and are left out.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from trio_beam.core.block import Continuation, Token
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.dialect import Dialect
from trio_beam.dialects.common.exchange import Exchange, ExchangeResult
from trio_beam.dialects.common.sampled_tokens import checked_logprobs
from trio_beam.errors import ContextOverflow, LogprobsUnavailable, RequestRejected

_SEPARATOR = "\n"


def spellings_of(label: str) -> list[str]:
    """Return the texts that count as a label."""
    forms = dict.fromkeys([label, label.lower(), label.capitalize(), label.upper()])
    return [space + form for form in forms for space in ("", " ")]


@attrs.define(eq=False)
class LabelTokens:
    """Finds and remembers the tokens of labels, for all searches of an endpoint.

    Attributes:
        tokenize: returns the token ids of a text.
        unavailable: whether the server turned out not to score tokens by id.
    """

    tokenize: Callable[[str], Exchange[Sequence[int]]]
    unavailable: bool = False
    _known: dict[tuple[str, ...], dict[int, str]] = attrs.field(factory=dict, init=False)

    def are_known(self, labels: tuple[str, ...]) -> bool:
        """Return whether `find` need not be called (any more)."""
        return self.unavailable or labels in self._known

    def of(self, labels: tuple[str, ...]) -> Mapping[int, str]:
        """Return the labels' spellings by token id; none if they cannot be scored by id."""
        return {} if self.unavailable else self._known.get(labels, {})

    def attempt(self, exchange: Exchange[ExchangeResult | None]) -> Exchange[ExchangeResult | None]:
        """Score labels; note that the server cannot if it refuses that, or does not (None)."""
        result: ExchangeResult | None = None
        try:
            result = yield from exchange
        except ContextOverflow:
            raise
        except (RequestRejected, LogprobsUnavailable):
            pass
        self.unavailable = result is None
        return result

    def find(self, labels: tuple[str, ...]) -> Exchange[None]:
        """Find the tokens of labels, by one request."""
        texts = list(dict.fromkeys(text for label in labels for text in spellings_of(label)))
        # The separator comes first too, so that a begin-of-text token stands before all of them.
        try:
            ids = yield from self.tokenize("".join(_SEPARATOR + text for text in texts))
        except RequestRejected:
            self.unavailable = True
            return
        found = _alone(ids, texts)
        every = all(any(text in found.values() for text in spellings_of(one)) for one in labels)
        self._known[labels] = found if every else {}


class LabelScoringDialect(Dialect):
    """A dialect of a server that tells the log-probabilities of given tokens."""

    _labels: LabelTokens

    def needs_settling(self, prepared: Any, request: SampleRequest) -> bool:
        """Return whether the tokens of its labels are still unknown."""
        del prepared
        return bool(request.labels) and not self._labels.are_known(request.labels)

    def settle(self, request: SampleRequest) -> Exchange[None]:
        """Find the tokens of its labels."""
        yield from self._labels.find(request.labels)

    def score_labels(self, prepared: Any, request: SampleRequest) -> Exchange[ExchangeResult]:
        """Read the labels' log-probabilities by id."""
        labels = self._labels.of(request.labels)
        scored = None
        if labels:
            scored = yield from self._labels.attempt(self._by_id(prepared, request, labels))
        return scored or (yield from self.sample(prepared, request))

    @abstractmethod
    def _by_id(
        self, prepared: Any, request: SampleRequest, labels: Mapping[int, str]
    ) -> Exchange[ExchangeResult | None]:
        """Sample an answer with log-probabilities of tokens by id; None if the server sent none."""


def _alone(ids: Sequence[int], texts: Sequence[str]) -> dict[int, str]:
    """Return the texts that are one token each, from the ids of all of them with separators."""
    if not ids:
        return {}
    separator, count = Counter(ids).most_common(1)[0]
    if count != len(texts):
        return {}
    found: dict[int, str] = {}
    ends = [place for place, number in enumerate(ids) if number == separator]
    for text, start, end in zip(texts, ends, [*ends[1:], len(ids)], strict=True):
        if end - start == 2:
            found[ids[start + 1]] = text
    return found


def labelled(
    answer: Continuation, scores: Mapping[int, float | None], labels: Mapping[int, str]
) -> Continuation | None:
    """Return an answer whose first token has the labels as its alternatives, best first.

    Args:
        answer: at least one token.
        scores: log-probabilities (nats) by token id, at the first token.
        labels: the labels' spellings by token id.

    Returns:
        None if a label has no score.
    """
    if not len(answer) or not labels.keys() <= scores.keys():
        return None
    values = checked_logprobs(scores[number] for number in labels)
    top = [
        Token(text, value, number)
        for (number, text), value in zip(labels.items(), values, strict=True)
    ]
    first, *rest = answer.tokens
    first = first._replace(top=tuple(sorted(top, key=lambda token: -token.logprob)))
    return attrs.evolve(answer, tokens=(first, *rest))
