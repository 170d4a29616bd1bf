"""The parameters of a search, checked when they are given."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, TypeGuard

import attrs

from trio_beam.core.registry import SCORERS, SELECTIONS
from trio_beam.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_beam.core.beam_search.scoring import AsyncScorer, Scorer
    from trio_beam.core.beam_search.voting import VoteKey
    from trio_beam.core.judge import Judge

    Check = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def whole(minimum: int, *, optional: bool = False) -> Check:
    """An integer from `minimum` up (no bool, no float)."""

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not (optional and value is None):
            check_whole(attribute.name, value, minimum, optional=optional)

    return check


def check_whole(field: str, value: object, minimum: int, *, optional: bool = False) -> None:
    """Raise `ConfigError` unless a value is an integer from `minimum` up."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        bound = f"a whole number from {minimum} up" + (" or None" if optional else "")
        raise ConfigError(field, bound, value)


def real(
    minimum: float, *, above: bool = False, most: float = math.inf, optional: bool = False
) -> Check:
    """A finite number from `minimum` up (or above it) to `most`."""

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not (optional and value is None):
            check_real(attribute.name, value, minimum, above=above, most=most, optional=optional)

    return check


def check_real(
    field: str,
    value: object,
    minimum: float,
    *,
    above: bool = False,
    most: float = math.inf,
    optional: bool = False,
) -> None:
    """Raise `ConfigError` unless a value is a finite number within its bounds."""
    if _is_finite(value) and minimum <= value <= most and not (above and value == minimum):
        return
    bound = f"a finite number {'above' if above else 'from'} {minimum:g}"
    bound += f" to {most:g}" if most < math.inf else "" if above else " up"
    raise ConfigError(field, bound + (" or None" if optional else ""), value)


def _is_finite(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond all floats
        return False


def word(*words: object) -> Check:
    """One of a few words."""

    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        # `is` beside `==`, because 1 == True and 0 == False.
        if not any(
            value is known or (isinstance(value, str) and value == known) for known in words
        ):
            raise ConfigError(attribute.name, f"one of {', '.join(map(repr, words))}", value)

    return check


def _strings(value: Any) -> Any:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _nonempty_strings(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, tuple) or not all(isinstance(text, str) and text for text in value):
        raise ConfigError(attribute.name, "a sequence of strings that are not empty", value)


def _registered(registry: Any) -> Check:
    def check(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        registry.check(attribute.name, value)

    return check


def _scorer(check: Check) -> Check:
    """A function, a judge, or what another validator wants."""

    def either(instance: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not callable(value) and not hasattr(value, "log_odds"):
            try:
                check(instance, attribute, value)
            except ConfigError as error:
                bound = f"{error.bound}, or a function, or a Judge"
                raise ConfigError(error.field, bound, value) from None

    return either


def _function_or_none(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not callable(value):
        raise ConfigError(attribute.name, "a function of a text, or None", value)


@attrs.frozen(kw_only=True)
class BeamSearchConfig:
    """The parameters of a search. Lengths are in tokens, times in seconds.

    Attributes:
        alpha: exponent of p^alpha, above 0. With arg-max selection it scales every score alike and
            changes no order.
        beam_width: beams kept from one round to the next.
        n_per_beam: continuations sampled for each beam in a round.
        tokens_per_step: length of a block.
        max_tokens: greatest length of a beam.
        use_length_penalty: whether scores are divided by ``length ** length_penalty``.
        length_penalty: that exponent, from 0 to 10.
        proposal_temperature: the temperature that continuations are sampled at. 0 only where one
            continuation is asked for, since all of them would be the same.
        top_logprobs: how many alternatives beside each token are to be shown (``Token.top``).
        stop: texts at which a beam ends; not part of its text.
        seed: makes the search repeatable; None leaves the server's own randomness.
        deduplicate: whether candidates with the same tokens count once.
        early_stopping: True stops when ``beam_width`` beams have ended; ``"bound"`` when moreover no
            active beam can still beat the worst of them; False goes on to ``max_tokens``.
        beam_timeout: seconds that a beam may take in a round, waiting for a free slot not counted.
            Where a beam takes several requests, because the server caps n, it holds for each.
        on_beam_failure: ``"cancel_siblings"`` ends the search with `SearchFailed`; ``"drop_beam"`` goes
            on with the others.
        min_beams: with ``"drop_beam"``, how many beams must survive a round.
        selection: which candidates stay.
        ess_threshold: with ``selection="resample"``: particles are drawn anew when they are worth fewer
            than this share of their number (effective sample size); from 0 (never) to 1.
        lookahead_tokens: with ``selection="resample"``: length of the rollouts that estimate what lies before
            each candidate, before particles are drawn anew; 0: none.
        lookahead_rollouts: how many of them for each candidate.
        scorer: what a candidate is worth: a name, or any function of all candidates of a round and this
            configuration that returns a number for each (higher is better), or a coroutine function; or
            a `Judge`, another model that is asked.
        answer: which of the beams that stand at the end is the answer: ``"best"``, the first, or ``"vote"``:
            the best of those that come to the answer that most come to (self-consistency).
        vote_key: the answer that a text comes to, such as its last number; None: none. Without a function
            it is the text itself, without white space around it.
        vote_by: whether each candidate has one vote (``"count"``), or a beam exp(score), or its weight
            (``"score"``).
        proposal: how candidates come about: ``"sample"``, or ``"enumerate"``: each beam is continued by its
            ``n_per_beam`` most probable next tokens (the first round: ``beam_width * n_per_beam``), which is
            classical beam search; ``tokens_per_step`` must be 1.
        max_total_tokens: most tokens that the search may generate, all beams together. A request that
            may overrun it is not sent; the search then ends with the best so far.
        max_requests: most requests that the search may send, retries and hedges included.
        quorum: share of a round's beams (above 0, up to 1) after which the round goes on without the
            others, once they have had ``quorum_grace`` seconds more. None waits for all. It prefers what
            comes fast, and short blocks come faster: the search is biased towards short answers, and
            a seed no longer makes it repeatable.
        quorum_grace: seconds that the others have left once the quorum is reached.

    Raises:
        ConfigError: names the field and its bound.
    """

    alpha: float = attrs.field(default=4.0, validator=real(0, above=True))
    beam_width: int = attrs.field(default=2, validator=whole(1))
    n_per_beam: int = attrs.field(default=2, validator=whole(1))
    tokens_per_step: int = attrs.field(default=192, validator=whole(1))
    max_tokens: int = attrs.field(default=512, validator=whole(1))
    use_length_penalty: bool = attrs.field(default=True, validator=word(True, False))
    length_penalty: float = attrs.field(default=0.6, validator=real(0, most=10))
    proposal_temperature: float = attrs.field(default=1.0, validator=real(0))
    top_logprobs: int = attrs.field(default=0, validator=whole(0))
    stop: tuple[str, ...] = attrs.field(default=(), converter=_strings, validator=_nonempty_strings)
    seed: int | None = attrs.field(default=None, validator=whole(0, optional=True))
    deduplicate: bool = attrs.field(default=True, validator=word(True, False))
    early_stopping: bool | Literal["bound"] = attrs.field(
        default=True, validator=word(True, "bound", False)
    )
    beam_timeout: float | None = attrs.field(
        default=None, validator=real(0, above=True, optional=True)
    )
    on_beam_failure: Literal["cancel_siblings", "drop_beam"] = attrs.field(
        default="cancel_siblings", validator=word("cancel_siblings", "drop_beam")
    )
    min_beams: int = attrs.field(default=1, validator=whole(1))
    selection: str = attrs.field(default="top_k", validator=_registered(SELECTIONS))
    ess_threshold: float = attrs.field(default=0.5, validator=real(0, most=1))
    lookahead_tokens: int = attrs.field(default=0, validator=whole(0))
    lookahead_rollouts: int = attrs.field(default=4, validator=whole(1))
    scorer: str | Scorer | AsyncScorer | Judge = attrs.field(
        default="power", validator=_scorer(_registered(SCORERS))
    )
    answer: Literal["best", "vote"] = attrs.field(default="best", validator=word("best", "vote"))
    vote_key: VoteKey | None = attrs.field(default=None, validator=_function_or_none)
    vote_by: Literal["count", "score"] = attrs.field(
        default="count", validator=word("count", "score")
    )
    proposal: Literal["sample", "enumerate"] = attrs.field(
        default="sample", validator=word("sample", "enumerate")
    )
    max_total_tokens: int | None = attrs.field(default=None, validator=whole(1, optional=True))
    max_requests: int | None = attrs.field(default=None, validator=whole(1, optional=True))
    quorum: float | None = attrs.field(
        default=None, validator=real(0, above=True, most=1, optional=True)
    )
    quorum_grace: float = attrs.field(default=0.0, validator=real(0))

    def __attrs_post_init__(self) -> None:
        if self.early_stopping == "bound" and self.scorer != "power":
            raise ConfigError(
                "early_stopping",
                "True or False with another scorer than 'power', whose bound is not known",
                self.early_stopping,
            )
        if self.proposal == "enumerate":
            if self.tokens_per_step != 1:
                raise ConfigError(
                    "tokens_per_step", "1 with proposal='enumerate'", self.tokens_per_step
                )
            if self.weighted:
                raise ConfigError(
                    "proposal",
                    "'sample' with selection='resample', which weighs what was drawn by chance",
                    self.proposal,
                )
        if self.weighted and self.proposal_temperature == 0:
            raise ConfigError(
                "proposal_temperature", "above 0 with weights, which divide by chance", 0
            )
        if self.lookahead_tokens and not self.weighted:
            raise ConfigError(
                "lookahead_tokens",
                "0, unless selection='resample', which alone looks ahead",
                self.lookahead_tokens,
            )
        if self.min_beams > self.beam_width:
            raise ConfigError(
                "min_beams", f"at most beam_width ({self.beam_width})", self.min_beams
            )
        sampled = self.proposal == "sample"
        if sampled and self.proposal_temperature == 0 and self.samples_per_round > 1:
            raise ConfigError(
                "proposal_temperature",
                "above 0 (at 0 all continuations are the same) unless beam_width and n_per_beam are 1",
                self.proposal_temperature,
            )
        if self.max_total_tokens is not None and self.max_total_tokens < self.samples_per_round:
            raise ConfigError(
                "max_total_tokens",
                f"at least beam_width * n_per_beam ({self.samples_per_round}), one token for each",
                self.max_total_tokens,
            )

    @property
    def weighted(self) -> bool:
        """Whether beams are particles with weights."""
        return SELECTIONS[self.selection].weighted

    @property
    def weighs(self) -> bool:
        """Whether it has to be known how probable samples were at the temperature of the sampling."""
        return self.weighted and self.proposal_temperature != 1

    @property
    def samples_per_round(self) -> int:
        """Most continuations that are asked for in one round."""
        return self.beam_width * self.n_per_beam

    @property
    def rounds(self) -> int:
        """Rounds that it takes to reach ``max_tokens``; the last block is shortened."""
        return -(-self.max_tokens // self.tokens_per_step)
