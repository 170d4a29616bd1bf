"""The base class of all strategies, with the parameters they share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.extra_body import NO_FIELDS, as_fields, format_fields
from trio_beam.core.price import decimal_of
from trio_beam.core.reasoning import Thinking
from trio_beam.core.usage import Budget
from trio_beam.core.validation import (
    PARAMETER,
    Parameter,
    as_tuple,
    check_declared,
    documented,
    integer,
    number,
    one_of,
)
from trio_beam.errors import ConfigError


@documented
@attrs.frozen(kw_only=True)
class Strategy:
    """Base of all strategies: a configuration that says which search to run, and how."""

    alpha: float = number(
        4.0,
        above=0,
        help="Exponent of p^alpha. With arg-max selection it scales all scores but changes no order; it makes"
        " a vote by score sharper.",
    )
    beta: float = number(
        1.0,
        minimum=0,
        help="Weight of the reward in the target p^alpha * exp(beta * reward) of particles and chains whose"
        " scorer is not 'power'.",
    )
    reward_at: Literal["block", "end"] = one_of(
        "block",
        "end",
        help="Whether the scorer gives a reward after every block, or only to texts that have ended or have"
        " max_tokens.",
    )
    tokens_per_step: int = integer(192, minimum=1, unit="tokens", help="Length of a block.")
    max_tokens: int = integer(512, minimum=1, unit="tokens", help="Maximum length of a beam.")
    proposal_temperature: float = number(
        1.0,
        minimum=0,
        help="Sampling temperature. 0 is allowed only if a single continuation is sampled, since all"
        " would be identical.",
    )
    top_logprobs: int = integer(
        0, minimum=0, help="Number of alternatives to return per token (Token.top)."
    )
    stop: tuple[str, ...] = attrs.field(
        default=(),
        converter=as_tuple,
        validator=check_declared,
        metadata={
            PARAMETER: Parameter(kind="texts", help="Texts that end a beam; not part of its text.")
        },
    )
    reasoning: Thinking = one_of(
        "auto",
        "opened",
        "off",
        help="Where a text may hold the model's thinking, which is not part of the answer: 'auto', between"
        " tags at its beginning, such as <think> and </think>, or before a closing tag; 'opened', from its"
        " beginning, since the chat template opens it; 'off', nowhere.",
    )
    extra_body: Mapping[str, Any] = attrs.field(
        default=NO_FIELDS,
        converter=as_fields,
        validator=check_declared,
        hash=False,
        metadata={
            PARAMETER: Parameter(
                kind="mapping",
                topic="model",
                help="Further fields of every request, merged over the endpoint's: template arguments,"
                " reasoning effort, routing; with one block also response_format, grammars and tools.",
            )
        },
    )
    reasoning_budget: int | None = integer(
        None,
        minimum=1,
        optional=True,
        unit="tokens",
        help="Maximum length of the thinking. Then its end is forced: by the closing tag, whose tokens are"
        " not scored, or by the server itself where it takes a limit.",
    )
    seed: int | None = integer(
        None,
        minimum=0,
        optional=True,
        help="Makes the search reproducible; None uses the server's own randomness.",
    )
    beam_timeout: float | None = number(
        None,
        above=0,
        optional=True,
        unit="seconds",
        topic="failure and time",
        help="Maximum time of a beam in a round, excluding waits for a free slot. If a beam takes several"
        " requests because the server caps n, it applies to each.",
    )
    on_beam_failure: Literal["cancel_siblings", "drop_beam"] = one_of(
        "cancel_siblings",
        "drop_beam",
        topic="failure and time",
        help="Whether a failed beam ends the search with SearchFailed, or is dropped while the others"
        " go on.",
    )
    min_beams: int = integer(
        1,
        minimum=1,
        topic="failure and time",
        help="Minimum number of beams (or chains) that must survive a round (with drop_beam).",
    )
    max_total_tokens: int | None = integer(
        None,
        minimum=1,
        optional=True,
        unit="tokens",
        topic="failure and time",
        help="Budget of prompt and completion tokens over all requests. A request that could exceed it is"
        " not sent; the search then ends with the best so far.",
    )
    max_completion_tokens: int | None = integer(
        None,
        minimum=1,
        optional=True,
        unit="tokens",
        topic="failure and time",
        help="Budget of generated tokens over all beams.",
    )
    max_requests: int | None = integer(
        None,
        minimum=1,
        optional=True,
        topic="failure and time",
        help="Budget of requests, including retries and hedges.",
    )
    max_cost: float | None = number(
        None,
        above=0,
        optional=True,
        unit="USD",
        topic="failure and time",
        help="Budget of money over all requests, for a model whose price is known. A request that could"
        " exceed it is not sent.",
    )

    @property
    def budget(self) -> Budget:
        """The budget of the search."""
        return Budget(
            total_tokens=self.max_total_tokens,
            completion_tokens=self.max_completion_tokens,
            requests=self.max_requests,
            cost=None if self.max_cost is None else decimal_of(self.max_cost),
        )

    @property
    def max_beams(self) -> int:
        """Maximum number of beams of a result."""
        return 1

    @property
    def samples_per_round(self) -> int:
        """Maximum number of continuations requested at the same time."""
        return 1

    @property
    def needs_logprobs(self) -> bool:
        """Whether log-probabilities are needed; otherwise none are asked for."""
        return True

    def without_effect(self) -> dict[str, str]:
        """Return the fields that change nothing beside the others, each with the reason."""
        found: dict[str, str] = {}
        if self.on_beam_failure != "drop_beam":
            found["min_beams"] = "it counts the survivors of on_beam_failure='drop_beam'"
        if not self.rewards:
            why = "only particles and chains with a scorer other than 'power' have a reward"
            found |= dict.fromkeys(("beta", "reward_at"), why)
        return found

    @property
    def rewards(self) -> bool:
        """Whether a reward is part of the target distribution."""
        return False

    def is_rewarded(self, beam: Beam) -> bool:
        """Return whether a text has a reward already; see `reward_at`."""
        return self.reward_at == "block" or beam.ended or beam.length >= self.max_tokens

    def check_format(self, fields: Mapping[str, Any]) -> None:
        """Refuse a grammar, a response format or tools unless an answer is a single block.

        Args:
            fields: of the requests, the endpoint's included.

        Raises:
            ConfigError: names the field and the reason.
        """
        name, instead = next(iter(format_fields(fields)), None), self.one_block_instead
        if name is not None and instead is not None:
            error = ConfigError("extra_body", f"without {name!r}", name)
            message = (
                f"extra_body cannot have {name!r} here: a grammar, a response format and tools start anew"
                f" with each block, so the answer must be one block: {instead}"
            )
            error.args = (message,)
            raise error

    def check_budgets(self, minimum: int, bound: str) -> None:
        """Refuse a budget that does not suffice for a first round.

        Args:
            minimum: number of tokens of one.
            bound: the same for the message.

        Raises:
            ConfigError: names the budget and its bound.
        """
        for name in ("max_total_tokens", "max_completion_tokens"):
            limit = getattr(self, name)
            if limit is not None and limit < minimum:
                raise ConfigError(name, f"at least {bound}", limit)

    @property
    def one_block_instead(self) -> str | None:
        """The setting with which every answer is sampled as a single block; None if it is."""
        if self.rounds > 1:
            return f"tokens_per_step must be at least max_tokens ({self.max_tokens})"
        return None

    @property
    def several_blocks(self) -> bool:
        """Whether a text is continued, so that all of it must be known."""
        return self.tokens_per_step < self.max_tokens

    @property
    def rounds(self) -> int:
        """Number of blocks needed to reach ``max_tokens``; the last one is shortened."""
        return -(-self.max_tokens // self.tokens_per_step)
