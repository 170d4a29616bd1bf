"""Turn vLLM's choices into continuations, and request what they lack.

A missing log-probability is requested again with the block as part of the prompt (``echo``), the bytes of a
block that begins or ends inside a character with the ids before it (`vllm_texts`).
"""

from __future__ import annotations

from collections.abc import Mapping

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, Continuation, Token, make_tokens, too_long
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.detokenize import last_ids, last_text, may_end_inside
from trio_beam.dialects.common.encoding import count_in, splice
from trio_beam.dialects.common.exchange import Exchange, WireRequest
from trio_beam.dialects.common.labels import labelled
from trio_beam.dialects.common.sampled_tokens import SampledTokens, all_best_of, checked_logprobs
from trio_beam.dialects.vllm_next_tokens import alternatives_of
from trio_beam.dialects.vllm_prompt import PreparedPrompt
from trio_beam.dialects.vllm_texts import BlockTexts, is_ended
from trio_beam.dialects.vllm_wire import Choice, decoder
from trio_beam.errors import LogprobsUnavailable, MalformedResponse


def block_of(
    model: str,
    choice: Choice,
    prepared: PreparedPrompt,
    request: SampleRequest,
    spent: list[int],
    known: list[str],
) -> Exchange[Continuation]:
    """Turn one choice into a continuation, with further requests for what it lacks.

    Args:
        model: the model's name.
        choice: of the response.
        prepared: the prompt that it continues, followed by the beam.
        request: what was asked for.
        spent: receives the prompt tokens of each further request for log-probabilities.
        known: the text before the blocks, once decoded.

    Raises:
        LogprobsUnavailable: the server sends none, not even of a prompt.
        MalformedResponse: the choice has no token ids, or more than were asked for.
    """
    ids = choice.token_ids
    if ids is None:
        raise MalformedResponse(
            "the server sends no token ids: use a newer vLLM, or dialect='openai'"
        )
    if len(ids) > request.max_tokens:
        raise MalformedResponse(too_long(len(ids), request.max_tokens))
    at_delimiter = isinstance(choice.stop_reason, str)
    reason = LENGTH if at_delimiter else choice.finish_reason or LENGTH
    if not ids:
        return Continuation(tokens=(), data=b"", finish_reason=reason)
    if not request.shows_tokens:
        return (yield from _texts(model, prepared, request.beam, known).unscored(choice, reason))
    logprobs = choice.logprobs
    if logprobs is None or len(logprobs.tokens) != len(ids):
        raise LogprobsUnavailable("the server sent tokens without log-probabilities")
    given = logprobs.token_logprobs
    if len(given) != len(ids) or None in given:
        given = yield from _score_as_prompt(model, prepared, request.beam, ids, spent)
    values = checked_logprobs(given)
    texts = logprobs.tokens
    rows = logprobs.top_logprobs or []
    checked_logprobs(max(row.values()) for row in rows if row and request.top_logprobs)

    def make() -> list[Token]:
        shown = all_best_of(rows, request.top_logprobs, len(texts))
        return make_tokens(texts, values, ids, top=shown)

    pieces = [text.encode("utf-8", "replace") for text in texts]
    sampled = SampledTokens(pieces, [*ids], values, make)
    data = choice.text.encode("utf-8", "replace")
    spelt = sampled.spell_truly(data, ended=is_ended(choice, reason))
    begins_inside = last_text(request.beam) == "" or may_end_inside(request.beam)
    if not spelt or begins_inside or (reason == LENGTH and not texts[-1]):
        texts_of = _texts(model, prepared, request.beam, known)
        data = yield from texts_of.decode(choice, reason)
    return Continuation(
        tokens=sampled.tokens,
        data=data,
        finish_reason=reason,
        keys=sampled.keys,
        logprob=sum(values),
    )


def _texts(model: str, prepared: PreparedPrompt, beam: Beam, known: list[str]) -> BlockTexts:
    return BlockTexts(model, beam, last_ids(prepared.ids or [], beam), known)


def _score_as_prompt(
    model: str, prepared: PreparedPrompt, beam: Beam, ids: list[int], spent: list[int]
) -> Exchange[list[float | None]]:
    """Request a block's log-probabilities as part of a prompt."""
    if prepared.ids is None:
        raise LogprobsUnavailable("the server sent tokens without log-probabilities")
    whole = b"%s,%s]" % (prepared.json(beam)[:-1], ",".join(map(str, ids)).encode())
    fields = {"model": model, "max_tokens": 0, "echo": True, "logprobs": 0}
    response = yield WireRequest(
        path="/completions",
        decode=decoder(stream=False),
        body=splice("prompt", whole, fields),
    )
    choice: Choice | None = next(iter(response.choices), None)
    if choice is None or choice.logprobs is None:
        raise LogprobsUnavailable("the server sends no log-probabilities of a prompt")
    spent.append(count_in(response.usage, "prompt_tokens") or 0)
    given = choice.logprobs.token_logprobs[-len(ids) :]
    if len(given) < len(ids):
        raise LogprobsUnavailable("the server sends no log-probabilities of a prompt")
    return given


def labelled_block(choice: Choice, labels: Mapping[int, str]) -> Continuation | None:
    """Return an answer of one token with its labels; None if the server did not score them all."""
    ids, logprobs = choice.token_ids, choice.logprobs
    if not ids or logprobs is None or None in logprobs.token_logprobs[:1]:
        return None
    (value,) = checked_logprobs(logprobs.token_logprobs[:1])
    data = choice.text.encode("utf-8", "replace")
    answer = Continuation(
        tokens=(Token(choice.text, value, ids[0], data),),
        data=data,
        finish_reason=choice.finish_reason or LENGTH,
    )
    return labelled(answer, dict(alternatives_of(choice)), labels)
