"""Parts of a trace's lines: beams, blocks and tokens, scores, results, errors."""

from __future__ import annotations

import builtins
from decimal import Decimal
from typing import Any

import msgspec

from trio_beam.traces.line import Number, Part


class Token(msgspec.Struct, array_like=True):
    """A token, as a list of what follows.

    Attributes:
        text: its text.
        logprob: in nats; null where it is minus infinity.
        id: in the vocabulary, if known.
        bytes: in base64.
        top: the alternatives, each a token.
        forced: whether the search appended it.
    """

    text: str
    logprob: float | None
    id: int | None = None
    bytes: builtins.bytes | None = None
    top: list[Token] = []
    forced: bool = False


class Block(Part, kw_only=True):
    """A continuation as the model gave it.

    Attributes:
        sample: its number among the samples of the beam, from 0.
        tokens: None if texts are left out.
        length: number of tokens.
        logprob: sum over the tokens, in nats; null if unknown.
        finish: why it ended; "length" if it can go on.
        exact: whether it continued token ids, with true log-probabilities.
        data: bytes of the text, if the tokens do not spell it.
        keys: identities of the tokens, if they are not those of the tokens.
        generated: number of tokens generated for it, if that is not their number.
        proposal: log-probability of each token as it was sampled, at a temperature other than 1.
        reasoning: thinking that came apart from the text.
        more: further attributes that do not have their defaults.
    """

    sample: int
    tokens: list[Token] | None = None
    length: int = 0
    logprob: Number = None
    finish: str = "length"
    exact: bool = True
    data: bytes | None = None
    keys: list[int | str] | None = None
    generated: int | None = None
    proposal: list[float | None] | None = None
    reasoning: str | None = None
    more: dict[str, Any] = {}


class Error(Part, kw_only=True):
    """An error.

    Attributes:
        type: its class.
        message: "" if prompts or texts are left out, since it may quote one.
        fields: its other attributes.
    """

    type: str
    message: str = ""
    fields: dict[str, Any] = {}


class Node(Part, kw_only=True):
    """A beam: one block behind its parent.

    Attributes:
        node: number of the beam.
        parent: number of the beam that it continues; 0 for the empty one.
        block: [number of the `Samples` line, sample], if its last block is one as the model gave it.
        keys: otherwise, the identities of its last block's tokens.
        text: what its last block adds to the text; None if texts are left out.
        length: its length in tokens.
        logprob: sum over its tokens, in nats; null if unknown.
        finish: why it ended; "length" if it can go on.
        finished: whether the model ended it.
    """

    node: int
    parent: int = 0
    block: tuple[int, int] | None = None
    keys: list[int | str] | None = None
    text: str | None = None
    length: int = 0
    logprob: Number = 0.0
    finish: str = "length"
    finished: bool = False


class Standing(Part, kw_only=True):
    """A beam with its scores, as a selection sees it or a result has it.

    Attributes:
        beam: its number.
        score: None where it is minus infinity.
        log_weight: of a particle, in nats.
        weight: its share in the result, with weights.
        reward: the reward that counts in its weight.
        multiplicity: number of candidates with these tokens.
        step_scores: a reward model's.
        confidence: the lowest one over a window of its tokens, in nats.
        confident: whether that is high enough to cast a vote.
        future: with lookahead, the estimated log of the sum of p^alpha over its continuations.
    """

    beam: int
    score: Number = None
    log_weight: Number = 0.0
    weight: float | None = None
    reward: Number = 0.0
    multiplicity: int = 1
    step_scores: list[float] = []
    confidence: Number = None
    confident: bool = True
    future: Number = None


class Result(Part, kw_only=True):
    """A result, as far as other lines do not have it; the first of its beams is the answer.

    Attributes:
        stop_reason: why the search ended.
        rounds: number of rounds completed.
        score: of the answer.
        exact: whether all of it is exact.
        log_evidence: with weights, log of their mean, in nats.
        beams: best first.
        votes: each answer as a text, with its share.
        vote_intervals: of each share, 95 %.
        effective_votes: how many independent equal votes it is worth.
        effective_sample_size: with weights, that of the final particles.
        acceptance_rates: of each chain; of all particles that move.
        r_hat: whether chains agree.
        usage: the cost, by name.
    """

    stop_reason: str
    rounds: int
    score: Number = None
    exact: bool = True
    log_evidence: Number = None
    beams: list[Standing] = []
    votes: list[tuple[str, float]] = []
    vote_intervals: list[tuple[float, float]] = []
    effective_votes: float | None = None
    effective_sample_size: float | None = None
    acceptance_rates: list[float | None] = []
    r_hat: Number = None
    usage: dict[str, int | float] = {}


class Particles(Part, kw_only=True):
    """The weights at the end of a round.

    Attributes:
        exponent: the power of p by which particles were drawn, or would have been.
        effective_sample_size: of the weights under that power, before they were drawn.
        resampled: whether they were drawn from all.
    """

    exponent: float
    effective_sample_size: float
    resampled: bool = False


class PromptData(Part, kw_only=True):
    """A prompt.

    Attributes:
        text: to be continued; or
        messages: of a chat.
    """

    text: str | None = None
    messages: list[dict[str, Any]] | None = None


class Price(Part):
    """A price in US dollars per million tokens, in steps for prompts longer than so many tokens.

    Attributes:
        input: of the prompt's tokens.
        cached: of those that are read from the server's cache.
        written: of those that are written to it.
        output: of generated tokens.
        reasoning: of those that are reasoning.
        request: US dollars for each request.
    """

    input: list[tuple[int, Decimal]]
    cached: list[tuple[int, Decimal]]
    written: list[tuple[int, Decimal]]
    output: list[tuple[int, Decimal]]
    reasoning: list[tuple[int, Decimal]]
    request: Decimal = Decimal(0)


class Failure(Part, kw_only=True):
    """A beam that failed.

    Attributes:
        round: in which it failed; 0 is before the first.
        beam: its number.
        error: the error.
        attempts: number of attempts.
    """

    round: int
    beam: int
    error: Error
    attempts: int
