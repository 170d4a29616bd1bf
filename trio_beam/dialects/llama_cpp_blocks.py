"""Turn llama.cpp's completions into continuations."""

from __future__ import annotations

from trio_beam.core.block import Continuation, Token, make_tokens, too_long
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.exchange import Exchange
from trio_beam.dialects.common.sampled_tokens import SampledTokens, checked_logprobs
from trio_beam.dialects.llama_cpp_repair import Repairer, check_entries
from trio_beam.dialects.llama_cpp_texts import unscored
from trio_beam.dialects.llama_cpp_wire import Completion, EntryWithTop, reason_of, token_of
from trio_beam.errors import MalformedResponse


def block_of(
    repairer: Repairer,
    completion: Completion,
    prompt: bytes,
    request: SampleRequest,
    spent: list[int],
) -> Exchange[Continuation]:
    """Build the block of one completion, with further requests for the tokens it lacks.

    Args:
        repairer: requests them.
        completion: of the response.
        prompt: elements of a JSON array: the prompt and the beam.
        request: what was asked for.
        spent: receives the prompt tokens of each further request.

    Raises:
        MalformedResponse: it is longer than requested.
    """
    if len(completion.tokens) > request.max_tokens:  # before it is repaired
        raise MalformedResponse(too_long(len(completion.tokens), request.max_tokens))
    if not request.shows_tokens:
        return (yield from unscored(completion, request))
    if len(completion.completion_probabilities) == len(completion.tokens):
        return _complete_block(repairer, completion, request)
    tokens = yield from repairer.tokens(completion, prompt, request.top_logprobs, spent)
    return Continuation(
        tokens=tuple(tokens),
        data=b"".join([token.bytes or b"" for token in tokens]),
        finish_reason=reason_of(completion, request),
    )


def _complete_block(
    repairer: Repairer, completion: Completion, request: SampleRequest
) -> Continuation:
    """Build a block whose entries are complete."""
    check_entries(completion)
    entries, top = completion.completion_probabilities, request.top_logprobs
    values = checked_logprobs(entry.logprob for entry in entries)
    for entry in entries if top else ():
        assert isinstance(entry, EntryWithTop)
        checked_logprobs(other.logprob for other in entry.top_logprobs[:top])
    if repairer.plain is None and entries:
        repairer.note(token_of(entries[0], (), 0))
    pieces = [bytes(entry.bytes) for entry in entries]

    def make() -> list[Token]:
        if top:
            return [token_of(entry, (), top) for entry in entries]
        texts, ids = [one.token for one in entries], [one.id for one in entries]
        return make_tokens(texts, values, ids, pieces)

    sampled = SampledTokens(pieces, [*completion.tokens], values, make)
    return Continuation(
        tokens=sampled.tokens,
        data=b"".join(sampled.pieces),
        finish_reason=reason_of(completion, request),
        keys=sampled.keys,
        logprob=sum(values),
    )
