"""The contract of `LanguageModel`, as checks that any implementation must pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs
import trio

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, Continuation, known
from trio_beam.core.language_model import LanguageModel, RequestContext, Sampler, SampleRequest
from trio_beam.core.prompt import PromptLike, check_prompt
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.errors import LogprobsUnavailable

_REQUEST = SampleRequest(beam=Beam(), n=3, max_tokens=4, temperature=1.0, top_logprobs=2, seed=11)
#: Nats by which a log-probability may exceed 0 or differ when repeated.
_TOLERANCE = 1e-3


async def check_language_model(
    model: LanguageModel, prompt: PromptLike = "Once upon a time", *, repeats: bool = True
) -> None:
    """Check that a model fulfils the contract, with a dozen small requests.

    Continuations have the requested shape, spell their bytes, carry log-probabilities and continue a beam;
    seeds reproduce samples, and continuation i has ``seed + i``; requests are counted; a cancelled
    request ends at once.

    Args:
        model: open and ready for requests.
        prompt: a prompt that the model continues.
        repeats: whether the same seed must reproduce the same samples.

    Raises:
        AssertionError: the model violates the contract; the message says how.
        EndpointError: a request failed.
    """
    context = RequestContext(meter=UsageMeter(), emit=_ignore)
    sampler = await model.start(check_prompt(prompt), context)
    first = await _check_shape(sampler, _REQUEST, context)
    await _check_going_on(sampler, first, context)
    if repeats:
        await _check_seeds(sampler, first, context)
    await _check_enumeration(sampler, context)
    await _check_proposal(sampler, context)
    await _check_cancelling(sampler, context)


async def _sample(
    sampler: Sampler, context: RequestContext, **changes: Any
) -> Sequence[Continuation]:
    return await sampler.sample(attrs.evolve(_REQUEST, **changes), context)


async def _check_shape(
    sampler: Sampler, request: SampleRequest, context: RequestContext
) -> Sequence[Continuation]:
    before = context.meter.requests
    got = await sampler.sample(request, context)
    assert context.meter.requests > before, "context.meter.requests must count each request"
    assert 1 <= len(got) <= request.n, f"{len(got)} continuations for n={request.n}"
    for block in got:
        _check_block(block, request)
    return got


def _check_block(block: Continuation, request: SampleRequest) -> None:
    assert len(block) <= request.max_tokens, (
        f"{len(block)} tokens for max_tokens={request.max_tokens}"
    )
    assert len(block.tokens) == len(block), "as many keys as tokens"
    assert block.generated >= len(block), "`generated` counts at least the tokens"
    if block.exact:
        joined = b"".join(token.data for token in block.tokens)
        assert joined == block.data, f"the tokens spell {joined!r}, and the data is {block.data!r}"
    for token in block.tokens:
        plausible = math.isfinite(token.logprob) and token.logprob <= _TOLERANCE
        assert plausible, f"{token.logprob} is no log-probability (of {token.text!r})"
        assert len(token.top) <= request.top_logprobs, "no more alternatives than were asked for"
    total = sum(token.logprob for token in block.tokens)
    assert abs(known(block.logprob) - total) < _TOLERANCE, "`logprob` is the sum over the tokens"


async def _check_going_on(
    sampler: Sampler, got: Sequence[Continuation], context: RequestContext
) -> None:
    for block in got:
        if block.finish_reason == LENGTH and len(block):
            beam = Beam().extend(block)
            await _check_shape(sampler, attrs.evolve(_REQUEST, beam=beam, n=1), context)
            return


async def _check_seeds(
    sampler: Sampler, got: Sequence[Continuation], context: RequestContext
) -> None:
    again = await _sample(sampler, context)
    assert _keys(again) == _keys(got), "the same seed must give the same samples"
    for index in range(1, len(got)):
        alone = await _sample(sampler, context, n=1, seed=(_REQUEST.seed or 0) + index)
        assert _keys(alone) == _keys(got)[index : index + 1], (
            "continuation i has the seed `seed + i`"
        )


async def _check_enumeration(sampler: Sampler, context: RequestContext) -> None:
    try:
        got = await _sample(sampler, context, max_tokens=1, enumerate=True, seed=None)
    except LogprobsUnavailable:
        return  # optional
    assert len({tuple(keys) for keys in _keys(got)}) == len(got), "enumerated tokens are distinct"
    assert all(len(block) == 1 for block in got), "enumerated continuations have one token"
    values = [known(block.logprob) for block in got]
    assert values == sorted(values, reverse=True), "the most probable token comes first"


async def _check_proposal(sampler: Sampler, context: RequestContext) -> None:
    try:
        got = await _sample(sampler, context, temperature=0.7, proposal_logprobs=True)
    except LogprobsUnavailable:
        return  # optional
    for block in got:
        assert block.proposal is None or len(block.proposal) == len(block), (
            "`proposal` has a log-probability for each token"
        )


async def _check_cancelling(sampler: Sampler, context: RequestContext) -> None:
    with trio.CancelScope() as scope:
        scope.cancel(reason="a check of the contract")
        await _sample(sampler, context)
    assert scope.cancelled_caught, "a cancelled request must end in trio.Cancelled"


def _keys(blocks: Sequence[Continuation]) -> list[list[int | bytes]]:
    return [list(block.keys) for block in blocks]


def _ignore(_: object) -> None:
    """Discard an event."""
