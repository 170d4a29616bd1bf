"""From results to the JSON of responses, whole and in chunks. Pure."""

from __future__ import annotations

import codecs
import math
from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import CONTEXT, LENGTH, LOW_CONFIDENCE, Token
from trio_beam.core.result import SearchResult
from trio_beam.core.usage import Usage
from trio_beam.gateway.request import SearchRequest
from trio_beam.gateway.searches import PromptSearch
from trio_beam.gateway.settled import Parts

#: Our own finish reasons in the protocol's words; those of the server go through.
_REASONS = {CONTEXT: LENGTH, LOW_CONFIDENCE: LENGTH}


@attrs.frozen(kw_only=True)
class Envelope:
    """The members that all parts of a response share.

    Attributes:
        request: what is answered.
        id: of the response.
        created: seconds since 1970.
    """

    request: SearchRequest
    id: str
    created: int

    @property
    def _is_chat(self) -> bool:
        return self.request.call == "chat"

    def whole(self, searches: Sequence[PromptSearch]) -> dict[str, Any]:
        """Return a response that is not streamed.

        Args:
            searches: one for each prompt, all with results.
        """
        kind = "chat.completion" if self._is_chat else "text_completion"
        results = [one.result for one in searches if one.result is not None]
        choices = [
            self._choice(one.index * self.request.n + place, beam, parts)
            for one, result in zip(searches, results, strict=True)
            for place, (beam, parts) in enumerate(
                zip(self._best(result), one.texts(self.request.n), strict=True)
            )
        ]
        facts = [self.facts(result) for result in results]
        return {
            **self._head(kind),
            "choices": choices,
            "usage": usage_of(searches),
            "trio_beam": facts[0] if len(facts) == 1 else {"prompts": facts},
        }

    def delta(self, index: int, parts: Parts, *, role: bool = False) -> dict[str, Any]:
        """Return a chunk with more of a choice."""
        return self._chunk([{**self._part(index, parts, role=role), "finish_reason": None}])

    def ending(self, index: int, beam: Beam) -> dict[str, Any]:
        """Return the last chunk of a choice, with the log-probabilities of all its tokens."""
        part = self._part(index, Parts())
        if self.request.logprobs:
            part["logprobs"] = self._logprobs(beam)
        return self._chunk([{**part, "finish_reason": self._finish_reason(beam)}])

    def calls(self, index: int, beam: Beam) -> list[dict[str, Any]]:
        """Return the chunks with a beam's tool calls: of each the name first, then the arguments."""
        found: list[dict[str, Any]] = []
        for member, calls in self._called(index, beam).items():
            if isinstance(calls, dict):  # the former ``function_call``
                found.append({member: calls})
                continue
            for place, call in enumerate(calls):
                named = {**call, "function": {**call["function"], "arguments": ""}}
                found.append({member: [{"index": place, **named}]})
                arguments = {"arguments": call["function"]["arguments"]}
                found.append({member: [{"index": place, "function": arguments}]})
        return [
            self._chunk([{"index": index, "delta": delta, "logprobs": None, "finish_reason": None}])
            for delta in found
        ]

    def closing(self, searches: Sequence[PromptSearch]) -> dict[str, Any]:
        """Return the chunk behind the choices, with the usage."""
        return {**self._chunk([]), "usage": usage_of(searches)}

    def facts(self, result: SearchResult) -> dict[str, Any]:
        """Return what the protocol has no field for."""
        usage = result.usage
        facts: dict[str, Any] = {
            "strategy": self._strategy(),
            "score": _finite(result.score),
            "exact": result.exact,
            "rounds": result.rounds,
            "stop_reason": result.stop_reason,
            "usage": attrs.asdict(usage),
            "choices": [_choice_facts(beam) for beam in self._best(result)],
            "dropped_beams": len(result.failures),
        }
        if result.votes:
            facts["votes"] = [
                {"answer": str(answer), "share": share} for answer, share in result.votes
            ]
        if result.log_evidence is not None:
            facts["log_evidence"] = _finite(result.log_evidence)
        return facts

    def _strategy(self) -> dict[str, Any]:
        """Return the strategy with the parameters of its name and of the request."""
        named = self.request.named
        own = {
            one.parameter: one.value
            for one in self.request.given
            if one.parameter in named.values or one.field.startswith("search.")
        }
        return {"strategy": named.strategy, **named.values, **own}

    def _best(self, result: SearchResult) -> Sequence[Beam]:
        return result.beams[: self.request.n]

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.request.model,
        }

    def _chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        kind = "chat.completion.chunk" if self._is_chat else "text_completion"
        usage = {"usage": None} if self.request.include_usage else {}
        return {**self._head(kind), "choices": choices, **usage}

    def _choice(self, index: int, beam: Beam, parts: Parts) -> dict[str, Any]:
        logprobs = self._logprobs(beam) if self.request.logprobs else None
        ending = {"logprobs": logprobs, "finish_reason": self._finish_reason(beam)}
        if self._is_chat:
            called = self._called(index, beam)
            content = parts.content or (None if called else "")
            message = {"role": "assistant", "content": content, "refusal": None, **called}
            if parts.reasoning:
                message["reasoning_content"] = parts.reasoning
            return {"index": index, "message": message, **ending}
        return {**self._part(index, parts), **ending}

    def _part(self, index: int, parts: Parts, *, role: bool = False) -> dict[str, Any]:
        reasoning = {"reasoning_content": parts.reasoning} if parts.reasoning else {}
        if not self._is_chat:
            return {"index": index, "text": parts.content, **reasoning, "logprobs": None}
        delta: dict[str, Any] = {"role": "assistant"} if role else {}
        if parts.content or role:
            delta["content"] = parts.content
        return {"index": index, "delta": {**delta, **reasoning}, "logprobs": None}

    def _called(self, index: int, beam: Beam) -> dict[str, Any]:
        """Return the members of a message for a beam's tool calls, each with an id."""
        calls = beam.tool_calls
        if not calls:
            return {}
        if "functions" in self.request.passed and "tools" not in self.request.passed:
            return {"function_call": {"name": calls[0].name, "arguments": calls[0].arguments}}
        made = f"call_{self.id.rpartition('-')[2]}_{index}"
        return {
            "tool_calls": [
                {"id": f"{made}_{place}", **call.as_dict()} for place, call in enumerate(calls)
            ]
        }

    def _finish_reason(self, beam: Beam) -> str:
        if beam.finished and beam.tool_calls:
            former = "function_call" in self._called(0, beam)
            return "function_call" if former else "tool_calls"
        return _REASONS.get(beam.finish_reason, beam.finish_reason)

    def _logprobs(self, beam: Beam) -> dict[str, Any] | None:
        if beam.logprob is None:
            return None
        tokens = [token for token in beam.tokens if token.data]  # without an end of text
        if self._is_chat:
            return {"content": [_chat_token(token) for token in tokens], "refusal": None}
        offsets, decoder = [0], codecs.getincrementaldecoder("utf-8")("replace")
        for token in tokens:  # a character may be cut between two
            offsets.append(offsets[-1] + len(decoder.decode(token.data)))
        return {
            "tokens": [token.text for token in tokens],
            "token_logprobs": [_finite(token.logprob) for token in tokens],
            "top_logprobs": [_by_text((token, *token.top)) for token in tokens],
            "text_offset": offsets[:-1],
        }


def usage_of(searches: Sequence[PromptSearch]) -> dict[str, Any]:
    """Return what all searches of a request spent, in the protocol's names, and ``cost`` in US dollars."""
    usage = Usage()
    for one in searches:
        if one.result is not None:
            usage += one.result.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens or 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens or 0},
        **({} if usage.cost is None else {"cost": usage.cost}),
    }


def _by_text(tokens: Iterable[Token]) -> dict[str, float | None]:
    """Return log-probabilities by text; of tokens with the same text, the first one's."""
    found: dict[str, float | None] = {}
    for token in tokens:
        found.setdefault(token.text, _finite(token.logprob))
    return found


def _chat_token(token: Token) -> dict[str, Any]:
    return {**_one_token(token), "top_logprobs": [_one_token(other) for other in token.top]}


def _one_token(token: Token) -> dict[str, Any]:
    return {
        "token": token.text,
        "logprob": _finite(token.logprob),
        "bytes": list(token.data),
    }


def _choice_facts(beam: Beam) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "score": _finite(beam.score),
        "logprob": beam.logprob,
        "tokens": beam.length,
        "finish_reason": beam.finish_reason,
        "exact": beam.exact,
        "multiplicity": beam.multiplicity,
    }
    if beam.weight is not None:
        facts["weight"] = beam.weight
    if beam.step_scores:
        facts["step_scores"] = list(beam.step_scores)
    return facts


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
