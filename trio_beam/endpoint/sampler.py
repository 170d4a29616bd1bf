"""The `Sampler` of an endpoint: a server with a prepared prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token, too_long
from trio_beam.core.extra_body import format_fields, has_tools, shapes
from trio_beam.core.language_model import RequestContext, SampleRequest
from trio_beam.core.price import Price, TokenCounts
from trio_beam.core.prompt import Prompt
from trio_beam.core.reasoning import opening_tag
from trio_beam.core.usage_meter import UsageMeter
from trio_beam.dialects.common.dialect import Dialect, words_of
from trio_beam.dialects.common.exchange import Exchange, ExchangeResult
from trio_beam.endpoint.cache import Draw
from trio_beam.endpoint.detect import DialectFinder
from trio_beam.endpoint.exchange import Exchanges
from trio_beam.endpoint.prompt_cache import cache_key
from trio_beam.errors import ContextOverflow, EndpointError, MalformedResponse, RequestRejected

#: A text has a token in so many bytes or, nearly always, more.
_BYTES_PER_TOKEN = 8


@attrs.define(eq=False)
class DialectSampler:
    """Samples in the server's dialect, or in another one if that turns out wrong.

    A beam without token ids is continued by its text if the dialect would need ids.
    """

    _exchanges: Exchanges
    _finder: DialectFinder
    _prompt: Prompt
    _dialect: Dialect
    _prepared: Any
    _length: int
    _counted: bool = attrs.field(default=False, init=False)
    _by_text: DialectSampler | None = attrs.field(default=None, init=False)

    @classmethod
    async def start(
        cls, exchanges: Exchanges, finder: DialectFinder, prompt: Prompt, context: RequestContext
    ) -> DialectSampler:
        """Detect the dialect and prepare the prompt.

        Raises:
            EndpointError: the server does not respond, or cannot be used for this prompt.
            ConfigError: the server, or this prompt, cannot have a field of the caller's.
        """
        exchanges = exchanges.with_fields(prompt.extra_body)
        key = cache_key(exchanges.base_url, prompt, exchanges.extra_body)
        exchanges = exchanges.with_fields(key)
        prompt = attrs.evolve(prompt, extra_body=exchanges.extra_body)
        finder.check_tools(prompt)
        dialect = await finder.find(context)
        await exchanges.pricing.look_up(dialect.model)
        if has_tools(prompt.extra_body) and not dialect.reads_tool_calls:
            dialect = await finder.by_text(dialect, context)
        sampler = cls(exchanges, finder, prompt, dialect, None, 0)
        try:
            await sampler._prepare(context)
        except EndpointError as error:
            unfit = error
        else:
            return sampler
        await sampler._fall_back(unfit, context)
        return sampler

    @property
    def max_per_request(self) -> int | None:
        """The maximum number of choices per request, if the dialect has learnt it."""
        return self._dialect.limits.n

    @property
    def prompt_length(self) -> int:
        """Prompt length in tokens by the server's count; an upper bound before the first response."""
        return self._length

    @property
    def price(self) -> Price | None:
        """The price of the model's tokens now; None if unknown."""
        return self._exchanges.price

    @property
    def opens_thinking(self) -> str | None:
        """The tag by which the prompt or its template opens the thinking; "" without, None if unknown."""
        if self._prompt.text is not None and self._dialect.api != "chat":
            return opening_tag(self._prompt.text)
        return self._dialect.opens_thinking(self._prepared)

    @property
    def thinks_apart(self) -> bool | None:
        """Whether the server has sent thinking apart from the text, or hidden it; None if unknown."""
        return self._dialect.thinks_apart

    @property
    def ends_thinking(self) -> bool:
        """Whether the server is asked to keep to a budget for thinking."""
        return self._dialect.ends_thinking(self._prepared)

    async def force(self, text: str, context: RequestContext) -> Sequence[Token]:
        """Return the tokens to append to a beam for a text, by the server's own tokenizer; asked once.

        Raises:
            EndpointError: the request failed.
        """
        async with self._exchanges.learning:
            forced = self._dialect.forced
            if text not in forced:
                exchange = self._dialect.force(text)
                draw = Draw(self._dialect.model)
                forced[text] = await self._exchanges.learn(exchange, context, draw)
        return forced[text]

    async def sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        """Sample continuations and account for their cost.

        Raises:
            EndpointError: the request failed.
        """
        if request.beam.continuation is not None and format_fields(self._prompt.extra_body):
            raise RequestRejected(
                "a grammar, a response format and tools start anew with each block, so a text cannot be"
                " continued under them: search in a single block (tokens_per_step >= max_tokens)",
                status=400,
            )
        if self._dialect.takes_ids and _came_as_text(request.beam):
            sampler = await self._text_sampler(context)
            return await sampler._sample(request, context)  # noqa: SLF001  # another of this class
        try:
            return await self._sample(request, context)
        except EndpointError as error:
            first = error
        await self._fall_back(first, context)
        try:
            return await self._sample(request, context)
        except EndpointError as second:
            if self._dialect.proved:
                raise
            raise _neither(first, second) from None

    async def _prepare(self, context: RequestContext) -> None:
        exchange = self._dialect.prepare(self._prompt)
        draw = Draw(self._dialect.model)
        self._prepared = await self._exchanges.learn(exchange, context, draw)
        self._length = self._dialect.prompt_length(self._prepared)

    async def _text_sampler(self, context: RequestContext) -> DialectSampler:
        async with self._exchanges.learning:
            if self._by_text is None:
                dialect = await self._finder.by_text(self._dialect, context)
                sampler = DialectSampler(
                    self._exchanges, self._finder, self._prompt, dialect, None, 0
                )
                await sampler._prepare(context)
                self._by_text = sampler
        return self._by_text

    async def _fall_back(self, error: EndpointError, context: RequestContext) -> None:
        """Switch to another dialect if the error means that this one is wrong; else raise it."""
        self._dialect = await self._finder.fall_back(self._dialect, error, context)
        await self._prepare(context)

    async def _sample(
        self, request: SampleRequest, context: RequestContext
    ) -> Sequence[Continuation]:
        await self._settle(request, context)
        try:
            result = await self._ask(request, context)
        except ContextOverflow as refusal:
            if refusal.explained:
                raise
            result = await self._find_out(request, refusal, context)
        if shapes(self._prompt.extra_body):
            return [attrs.evolve(block, exact=False) for block in result.continuations]
        return result.continuations

    async def _find_out(
        self, request: SampleRequest, refusal: ContextOverflow, context: RequestContext
    ) -> ExchangeResult:
        """Find out whether a refusal without a reason means a full context.

        It does if the shorter beam is still accepted and the longer one is refused again; another fault
        (a quota, a model that was unloaded, a gateway's hiccup) would not depend on the length. What the
        server's words mean is then known for all searches.

        Raises:
            ContextOverflow: the context is full.
            RequestRejected: the shorter beam is refused as well.
        """
        dialect = self._dialect
        async with self._exchanges.learning:
            if words_of(refusal) in dialect.words_of_full_context:
                raise refusal
            shorter = attrs.evolve(
                request,
                beam=request.beam.parent or Beam(),
                n=1,
                max_tokens=1,
                top_logprobs=0,
                enumerate=False,
                proposal_logprobs=False,
            )
            try:
                result = await self._ask(shorter, context)
            except EndpointError:
                raise RequestRejected(
                    refusal.message, status=refusal.status, url=refusal.url, fields=refusal.fields
                ) from None
            context.meter.completion_tokens += sum(
                continuation.generated for continuation in result.continuations
            )
            try:
                return await self._ask(request, context)
            except ContextOverflow as again:
                dialect.words_of_full_context.add(words_of(again))
                raise

    async def _ask(self, request: SampleRequest, context: RequestContext) -> ExchangeResult:
        dialect = self._dialect
        sent = self._length + request.beam.length
        known = self._counted or dialect.takes_ids
        least = sent if known else sent // _BYTES_PER_TOKEN
        reservation = self._exchanges.reservation(context, sent, context.allotment, least)
        ask = dialect.enumerate if request.enumerate else dialect.sample
        if request.labels:
            ask = dialect.score_labels
        if request.proposal_logprobs:
            ask = dialect.sample_with_proposal_logprobs
        exchange = _checked(ask(self._prepared, request), request)
        draw = _draw_of(request, dialect.model)
        try:
            result = await self._exchanges.run(exchange, context, reservation, draw)
        except BaseException:
            reservation.close()
            raise
        dialect.proved = True
        if any(block.reasoning is not None for block in result.continuations):
            dialect.thinks_apart = True
        generated = sum(continuation.generated for continuation in result.continuations)
        if result.abandoned:  # servers count at the end
            result = attrs.evolve(result, prompt_tokens=max(result.prompt_tokens, sent))
        reservation.settle(
            generated + result.extra_generated,
            result.prompt_tokens,
            charged=_charged(result, generated, sent),
            uncertain=result.abandoned or not result.prompt_tokens,
        )
        _count(result, context.meter)
        if result.prompt_tokens > request.beam.length:
            self._counted = True
            self._length = min(self._length, result.prompt_tokens - request.beam.length)
        return result

    async def _settle(self, request: SampleRequest, context: RequestContext) -> None:
        """Let the dialect settle what it must know before this request, once for all searches."""
        if not self._dialect.needs_settling(self._prepared, request):
            return
        async with self._exchanges.learning:
            if self._dialect.needs_settling(self._prepared, request):
                await self._exchanges.learn(self._dialect.settle(request), context)


def _charged(result: ExchangeResult, generated: int, sent: int) -> TokenCounts:
    """Return what a server charges for: a prompt that it does not count as at most as long as it was sent."""
    return TokenCounts.consistent(
        prompt=result.prompt_tokens or sent,
        cached=result.cached_tokens or 0,
        written=result.written_tokens,
        completion=max(generated, result.charged_tokens) + result.extra_generated,
        reasoning=result.reasoning_tokens or 0,
    )


def _count(result: ExchangeResult, meter: UsageMeter) -> None:
    """Count a result's tokens, but for those of its continuations, which the search counts."""
    meter.prompt_tokens += result.prompt_tokens
    meter.completion_tokens += result.extra_generated
    if result.reasoning_tokens is not None:
        meter.reasoning_tokens = (meter.reasoning_tokens or 0) + result.reasoning_tokens
    if result.cached_tokens is not None:
        meter.cached_tokens = (meter.cached_tokens or 0) + result.cached_tokens


def _checked(
    exchange: Exchange[ExchangeResult], request: SampleRequest
) -> Exchange[ExchangeResult]:
    """Fail an exchange whose result no search can use, so that its responses are not kept."""
    result = yield from exchange
    longest = max(map(len, result.continuations), default=0)
    if longest > request.max_tokens:
        raise MalformedResponse(too_long(longest, request.max_tokens))
    return result


def _draw_of(request: SampleRequest, model: str) -> Draw | None:
    """Return what determines the response to a request besides it; None if chance does."""
    random = request.seed is None and request.temperature > 0 and not request.enumerate
    return None if random else Draw(model, request.seed)


def _came_as_text(beam: Beam) -> bool:
    block = beam.continuation
    return block is not None and not any(isinstance(key, int) for key in block.keys[:1])


def _neither(first: EndpointError, second: EndpointError) -> MalformedResponse:
    return MalformedResponse(
        f"{first.message}; with dialect='openai' instead: {second.message};"
        " use a newer server, or name the dialect (dialect=...)",
        url=second.url or first.url,
        attempts=second.attempts,
    )
