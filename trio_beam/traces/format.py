"""The lines of a trace: what each holds, by kind. docs/reference/trace.md explains them.

A line is a record of `trio_beam.records`: a JSON object with a checksum. Members that have their default are
left out. Beams are numbered in each search, 0 being the empty beam, and times are seconds since the search
began.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from trio_beam.core.usage_meter import NOTHING_RESERVED, Reserved
from trio_beam.traces.line import Line, Number, Part, integer, number
from trio_beam.traces.parts import (
    Block,
    Error,
    Failure,
    Node,
    Particles,
    Price,
    PromptData,
    Result,
    Standing,
    Token,
)
from trio_beam.traces.request_lines import (
    Ended,
    Hedged,
    Limited,
    Paused,
    RateKept,
    RequestLine,
    Retried,
    Sent,
    Waiting,
)

__all__ = [
    "VERSION",
    "AnyLine",
    "Beams",
    "Block",
    "Ended",
    "Error",
    "EvaluationBegan",
    "Expanded",
    "Extended",
    "Failed",
    "Failure",
    "Finished",
    "Header",
    "Hedged",
    "Limited",
    "Line",
    "Node",
    "Number",
    "Part",
    "Particles",
    "Paused",
    "Prepared",
    "Price",
    "PromptData",
    "RateKept",
    "RequestLine",
    "Result",
    "Retried",
    "RoundBegan",
    "Samples",
    "SearchBegan",
    "Selected",
    "Sent",
    "Standing",
    "Stepped",
    "Stopped",
    "Token",
    "Waiting",
    "integer",
    "number",
]

#: Written in every header. A reader refuses traces of a later version; new members do not make one.
VERSION = 1


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
    """The outcome of an expansion, a score or a move of a beam.

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
