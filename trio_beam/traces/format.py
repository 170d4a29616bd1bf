"""The lines of a trace: what each holds, by kind. docs/reference/trace.md explains them.

A line is a record of `trio_beam.records`: a JSON object with a checksum. Members that have their default are
left out. Beams are numbered in each search, 0 being the empty beam, and times are seconds since the search
began.
"""

from __future__ import annotations

import builtins
import math
from decimal import Decimal
from typing import Any, TypeAlias

import msgspec

from trio_beam.core.usage import NOTHING_RESERVED, Reserved

#: Written in every header. A reader refuses traces of a later version; new members do not make one.
VERSION = 1

#: A float, or "inf", "-inf" or "nan", which JSON has no numbers for; None where it is unknown.
Number: TypeAlias = float | str | None


def number(value: float | None) -> Number:
    """Return a float as it is written."""
    return value if value is None or math.isfinite(value) else str(value)


def integer(value: int) -> int | str:
    """Return a whole number as it is written: as a text beyond 64 bits."""
    return value if -(2**63) <= value < 2**63 else str(value)


class Line(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="kind"):
    """The base of all lines.

    Attributes:
        search: number of the search among those that one `Trace` wrote, from 1.
        at: seconds since the search began.
    """

    search: int = 0
    at: float = 0.0


class Part(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The base of what lines hold."""


class Header(Line, kw_only=True, tag="trace"):
    """The first line of what one `Trace` writes; a file may have several.

    Attributes:
        version: of the format.
        program: that wrote it, with its version.
        began: time of day, in UTC.
    """

    version: int
    program: str = ""
    began: str = ""


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


class SearchBegan(Line, kw_only=True, tag="search"):
    """A search has begun.

    Attributes:
        began: time of day, in UTC.
        strategy: its class, and its parameters by name; a part is an object with its "name".
        entropy: seed of its random decisions; a text beyond 64 bits.
        rounds: maximum number of rounds (of blocks).
        index: among the searches of a `search_many`.
        label: what the program calls it, as the id of a prompt.
        prompt: None if prompts are left out.
    """

    began: str
    strategy: dict[str, Any]
    entropy: int | str
    rounds: int
    index: int = 0
    label: str = ""
    prompt: PromptData | None = None


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


class Prepared(Line, kw_only=True, tag="prepared"):
    """The model is ready for the prompt.

    Attributes:
        prompt_length: in tokens; 0 if unknown.
        opens_thinking: whether the prompt has opened the model's thinking.
        price: of the model's tokens; null if unknown.
        usage: cost so far.
        reserved: completion tokens, prompt tokens and US dollars that count against the budget so far.
    """

    prompt_length: int = 0
    opens_thinking: bool = False
    price: Price | None = None
    usage: dict[str, int | float] = {}
    reserved: Reserved = NOTHING_RESERVED


class RoundBegan(Line, kw_only=True, tag="round"):
    """A round has begun.

    Attributes:
        round: its number, from 1.
        rounds: maximum number of rounds.
        beams: number of beams that are expanded.
        samples: number of continuations in total.
    """

    round: int
    rounds: int
    beams: int
    samples: int


class EvaluationBegan(Line, kw_only=True, tag="evaluation"):
    """Requests about candidates are about to be sent.

    Attributes:
        round: its number, from 1.
        purpose: "rollout", "judge", "reward" or "move".
        candidates: number of candidates.
        samples: number of continuations, or of scores.
    """

    round: int
    purpose: str
    candidates: int
    samples: int


class Samples(Line, kw_only=True, tag="samples"):
    """What was asked about a beam has come back.

    Attributes:
        number: number of the line among its kind in the search, from 1.
        round: its number, from 1; of a chain, that of the block.
        purpose: "expand", or as in an "evaluation" line.
        rank: of the beam in the round, from 0; of a chain, its number.
        beam: number of the beam that was asked about.
        wanted: number of continuations asked for.
        max_tokens: maximum length of each.
        temperature: of sampling.
        blocks: those that came.
        step_scores: a reward model's; null without them.
        errors: of the requests that failed.
        cancelled: whether it was cancelled, because of a sibling or from outside.
        exhausted: whether a request was not sent because of the budget.
        prompt_length: of the search's prompt, in tokens; 0 if unknown.
        question: digest of what was asked about the beam, for a judge; "" if prompts are left out.
        foreign: whether complete beams came instead of continuations.
        usage: cost of the search (of the chain) so far.
        reserved: completion tokens, prompt tokens and US dollars that count against its budget so far.
    """

    number: int
    round: int
    purpose: str
    rank: int
    beam: int
    wanted: int
    max_tokens: int
    temperature: float = 1.0
    question: str = ""
    blocks: list[Block] = []
    foreign: bool = False
    step_scores: list[float] | None = None
    errors: list[Error] = []
    cancelled: bool = False
    exhausted: bool = False
    prompt_length: int = 0
    usage: dict[str, int | float] = {}
    reserved: Reserved = NOTHING_RESERVED


class Beams(Line, kw_only=True, tag="beams"):
    """New beams.

    Attributes:
        beams: those that the lines after this one name for the first time.
    """

    beams: list[Node]


class Expanded(Line, kw_only=True, tag="expanded"):
    """A beam has been extended.

    Attributes:
        round: its number, from 1.
        rank: of the beam in the round, from 0.
        beams: numbers of the new beams, in sample order.
        tokens: number of tokens generated.
        discarded: number of those that were thrown away.
        forced: number of new beams whose thinking was ended by force.
    """

    round: int
    rank: int
    beams: list[int]
    tokens: int
    discarded: int = 0
    forced: int = 0


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


class Failed(Line, kw_only=True, tag="failed"):
    """A beam could not be expanded or evaluated, or only partly.

    Attributes:
        rank: of the beam in the round, from 0.
        failure: the failure.
    """

    rank: int
    failure: Failure


class Selected(Line, kw_only=True, tag="selected"):
    """A round was scored and selected.

    Attributes:
        round: its number, from 1.
        scored: its candidates, best first.
        kept: the beams that go on and those that have ended, best first. Particles that move do so after it.
        active: number of beams that go on.
        ended: number of beams that have ended.
        best_score: of the round's candidates.
        completion_tokens: number of tokens generated so far.
        particles: with weights, what is known of them.
    """

    round: int
    scored: list[Standing]
    kept: list[Standing]
    active: int
    ended: int
    best_score: Number
    completion_tokens: int
    particles: Particles | None = None


class Extended(Line, kw_only=True, tag="extended"):
    """A chain's text has gained a block.

    Attributes:
        chain: number of the chain, from 0.
        block: number of the block, from 1.
        blocks: maximum number of blocks.
        beam: the text now.
        reward: of that, if rewards are part of the target.
    """

    chain: int
    block: int
    blocks: int
    beam: int
    reward: Number = None


class Stepped(Line, kw_only=True, tag="stepped"):
    """A chain has made a step, or a particle a move.

    Attributes:
        chain: number of the chain, from 0; of a particle, its place after the round.
        block: number of the block, from 1; of a particle, of the round.
        step: number of the step after the block, from 1.
        position: number of tokens that the proposed text has kept.
        probability: with which it is accepted.
        accepted: whether it was.
        beam: the text after the step.
        proposed: the text that was proposed.
        reward: of that, if rewards are part of the target.
    """

    chain: int
    block: int
    step: int
    position: int
    probability: float
    accepted: bool
    beam: int
    proposed: int
    reward: Number = None


class RequestLine(Line, kw_only=True):
    """The base of lines about a request.

    Attributes:
        request: its number in the search, from 1.
        round: for which it is; 0 before the first.
        purpose: "prepare", or as in a "samples" line.
        rank: of the beam in the round, from 0.
        sample: number of its first sample.
    """

    request: int
    round: int = 0
    purpose: str = "prepare"
    rank: int = 0
    sample: int = 0


class Waiting(RequestLine, kw_only=True, tag="waiting"):
    """A request waits for a slot, or for the end of a pause.

    Attributes:
        paused: whether it waits for the end of a pause.
    """

    paused: bool = False


class Sent(RequestLine, kw_only=True, tag="sent"):
    """An attempt was sent.

    Attributes:
        attempt: its number, from 1; hedges count.
        hedge: whether an earlier attempt is still under way.
        waited: seconds that it waited for a slot or a pause.
        path: of the URL.
    """

    attempt: int = 1
    hedge: bool = False
    waited: float = 0.0
    path: str = ""


class Ended(RequestLine, kw_only=True, tag="ended"):
    """An attempt has ended.

    Attributes:
        attempt: its number.
        outcome: "response", "error" or "cancelled".
        seconds: since it was sent.
        error: the error, if that is how it ended.
    """

    attempt: int = 1
    outcome: str = "response"
    seconds: float = 0.0
    error: Error | None = None


class Retried(RequestLine, kw_only=True, tag="retried"):
    """A request will be sent again.

    Attributes:
        error: of the attempt.
        attempt: its number.
        attempts: maximum number of attempts.
        wait: seconds before the next.
    """

    error: Error
    attempt: int
    attempts: int
    wait: float


class Hedged(RequestLine, kw_only=True, tag="hedged"):
    """A request was sent again, while the first attempt goes on.

    Attributes:
        after: seconds after the first.
    """

    after: float


class Paused(Line, kw_only=True, tag="paused"):
    """A server asked for a pause.

    Attributes:
        seconds: its length.
        error: by which it asked.
    """

    seconds: float
    error: Error


class RateKept(Line, kw_only=True, tag="rate"):
    """Requests of the search wait, paused for the rate.

    Attributes:
        seconds: until the next request of the endpoint, if nothing changes.
        limit: the limit per minute that is reached: ``"requests"`` or ``"tokens"``.
    """

    seconds: float
    limit: str


class Limited(Line, kw_only=True, tag="limit"):
    """The endpoint has changed its limit.

    Attributes:
        limit: maximum number of requests in flight now.
        before: and before.
    """

    limit: int
    before: int


class Finished(Line, kw_only=True, tag="finished"):
    """The search has its result.

    Attributes:
        result: the result.
    """

    result: Result


class Stopped(Line, kw_only=True, tag="stopped"):
    """The search failed (`message` says why), or was cancelled; the result is the best so far.

    Attributes:
        result: the best so far.
        message: why it failed; "" if it was cancelled.
        cause: class of the first error that made it fail.
        failures: all of its requests' failures.
        error: the scorer's or the vote's error, if that made it fail.
        stop_reason: why it ended, if it then failed to choose its answer.
    """

    result: Result
    stop_reason: str = ""
    message: str = ""
    cause: str = ""
    error: Error | None = None
    failures: list[Failure] = []


AnyLine: TypeAlias = (
    Header
    | SearchBegan
    | Prepared
    | RoundBegan
    | EvaluationBegan
    | Samples
    | Beams
    | Expanded
    | Failed
    | Selected
    | Extended
    | Stepped
    | Waiting
    | Sent
    | Ended
    | Retried
    | Hedged
    | Paused
    | RateKept
    | Limited
    | Finished
    | Stopped
)
