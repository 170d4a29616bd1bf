"""The `Dialect` base class: what to send to a server, and what its responses mean."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeAlias, TypeGuard, TypeVar

import attrs

from trio_beam.core.block import (
    LENGTH,
    STOP,
    Continuation,
    Token,
    forced_token,
)
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.core.registry import Registry
from trio_beam.dialects.common.constraints import Constraint, constraint_of
from trio_beam.dialects.common.error_responses import is_about_context
from trio_beam.dialects.common.exchange import (
    Exchange,
    ExchangeResult,
    ModelList,
    WireRequest,
)
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.common.negotiation import Attempt, Negotiation, is_about_content
from trio_beam.dialects.common.temperature import SHOWN, estimated
from trio_beam.errors import (
    ConnectionFailed,
    ContextOverflow,
    EndpointError,
    LogprobsUnavailable,
    MalformedResponse,
    RequestRejected,
    ServerError,
)

T = TypeVar("T")
Api: TypeAlias = Literal["auto", "completions", "chat"]
#: Maximum number of samples taken for the alternatives of one: a part of a character may show none.
_MAX_SAMPLED = 8


class Dialect(ABC):
    """One server family. An instance belongs to one endpoint and remembers what it learns.

    Args:
        model: the model's name.
        api: which OpenAI call to use; ``"auto"``: completions for a string, chat for messages.
        limits: known limits on choices and log-probabilities per request.
        stream: whether to request streamed responses.
    """

    name: ClassVar[str]
    #: ``owned_by`` in the model list of such servers; None if that does not identify them.
    owner: ClassVar[str | None] = None
    #: Whether the dialect supports streamed responses.
    can_stream: ClassVar[bool] = False
    #: Whether prompts and beams are sent as token ids.
    takes_ids: ClassVar[bool] = False
    #: Whether it reads tool calls; others leave prompts with tools to the server's chat call.
    reads_tool_calls: ClassVar[bool] = False
    #: Fields that, like ``top_p``, keep the server's OpenAI calls from changing the distribution.
    openai_plain: ClassVar[Mapping[str, Any]] = {}
    #: Shape of the log-probabilities, once known: ``"native"``, ``"content"`` or ``"legacy"``.
    shape: str | None = None
    #: Known caveats of such servers that a probe cannot detect.
    notes: tuple[str, ...] = ()
    #: Whether a sampling request in this dialect has succeeded.
    proved: bool = False
    #: Name and version of the server, and its context length in tokens, once `configure` has asked.
    server: str | None = None
    context_tokens: int | None = None
    #: Whether the model's thinking came apart from its text, or was hidden; None if nothing has come.
    thinks_apart: bool | None = None

    def __init__(self, model: str, api: Api, limits: Limits, stream: bool = False) -> None:
        self.model = model
        self.api: Api = api
        self.limits = limits
        self.stream = stream
        #: `words_of` refusals that have turned out to mean a full context.
        self.words_of_full_context: set[str] = set()
        #: The tokens of texts that were appended to beams (`force`).
        self.forced: dict[str, Sequence[Token]] = {}

    @classmethod
    def recognises(cls, models: ModelList) -> bool:
        """Return whether the owner in a model list identifies a server of this family."""
        return cls.owner is not None and any(row.owned_by == cls.owner for row in models.rows)

    def configure(self) -> Exchange[int | None]:
        """Query the server's settings; return its number of slots, or None if it reports none.

        Runs only for a detected dialect, not for a named one.
        """
        yield from ()
        return None

    def continues_chat(self) -> Exchange[bool | None]:
        """Return whether the server continues a final assistant message; None if unknown."""
        yield from ()
        return True

    def running(self) -> Exchange[int | None]:
        """Return the number of requests the server is processing; None if it does not report it."""
        yield from ()
        return None

    @abstractmethod
    def prepare(self, prompt: Prompt) -> Exchange[Any]:
        """Prepare a prompt for `sample`, once per search."""

    @abstractmethod
    def prompt_length(self, prepared: Any) -> int:
        """Return the length of a prepared prompt in tokens, or an upper bound if only the server knows."""

    def opens_thinking(self, prepared: Any) -> str | None:
        """Return the tag by which a chat template opens the thinking, "" if it does not, None if unknown."""
        del prepared
        return None

    def ends_thinking(self, prepared: Any) -> bool:
        """Return whether the server is asked to keep to a budget for thinking; else its end is forced."""
        del prepared
        return False

    def force(self, text: str) -> Exchange[Sequence[Token]]:
        """Return the tokens to append to a beam for a text; by default the text as one token."""
        yield from ()
        return [forced_token(text)]

    def needs_settling(self, prepared: Any, request: SampleRequest) -> bool:
        """Return whether `settle` must run before this request, once for all searches."""
        del prepared, request
        return False

    def settle(self, request: SampleRequest) -> Exchange[None]:
        """Find out what the server must be asked before the request that needs it."""
        del request
        yield from ()

    @abstractmethod
    def sample(self, prepared: Any, request: SampleRequest) -> Exchange[ExchangeResult]:
        """Sample continuations of a beam after a prepared prompt."""

    def sample_with_proposal_logprobs(
        self, prepared: Any, request: SampleRequest
    ) -> Exchange[ExchangeResult]:
        """Sample with each token's log-probability at the sampling temperature.

        This default bounds it from the alternatives and is therefore inexact.

        Raises:
            LogprobsUnavailable: the server sends no alternatives.
        """
        shown = max(request.top_logprobs, SHOWN)
        result = yield from self.sample(prepared, attrs.evolve(request, top_logprobs=shown))
        blocks = [
            estimated(block, request.temperature, request.top_logprobs)
            for block in result.continuations
        ]
        return attrs.evolve(result, continuations=tuple(blocks))

    def score_labels(self, prepared: Any, request: SampleRequest) -> Exchange[ExchangeResult]:
        """Sample an answer whose first token shows the labels of the request, if they can be scored.

        This default shows the most probable alternatives, among which they may be.
        """
        return (yield from self.sample(prepared, request))

    def enumerate(self, prepared: Any, request: SampleRequest) -> Exchange[ExchangeResult]:
        """Return the ``request.n`` most probable next tokens, each as a continuation.

        This default reads the alternatives of one sampled token. It is inexact: text alone does not
        identify the end-of-text token.

        Raises:
            LogprobsUnavailable: the server sends fewer alternatives.
        """
        one = attrs.evolve(
            request, n=1, max_tokens=1, top_logprobs=request.n, temperature=1.0, enumerate=False
        )
        for failed in range(_MAX_SAMPLED):
            if failed and one.seed is not None:
                one = attrs.evolve(one, seed=one.seed + 1)
            try:
                result = yield from self.sample(prepared, one)
            except LogprobsUnavailable as error:
                if not error.by_chance:
                    raise
                continue
            tokens = result.continuations[0].tokens
            if len(tokens) == 1:
                return attrs.evolve(
                    result,
                    continuations=one_token_blocks(tokens[0].top, request.n, exact=False),
                    extra_generated=result.extra_generated + failed + 1,
                    prompt_tokens=(failed + 1) * result.prompt_tokens,
                )
        raise LogprobsUnavailable(
            f"the server lists no next tokens: it has sampled {_MAX_SAMPLED} times, each time the end of the"
            " text or a part of a character, of which it shows nothing"
        )

    def _constraint(self, prompt: Prompt) -> dict[str, Any]:
        """Return the fields of a sampling request that constrain the answer as the caller wants.

        Raises:
            ConfigError: the server has none for it.
        """
        constraint = constraint_of(prompt.extra_body)
        return {} if constraint is None else self._constrain(constraint)

    def _constrain(self, constraint: Constraint) -> dict[str, Any]:
        """Spell a constraint for the server.

        Raises:
            ConfigError: the server cannot apply it.
        """
        raise constraint.unsupported(self.name, "a server that does")

    def _messages_of(self, prompt: Prompt) -> tuple[Mapping[str, Any], ...] | None:
        """Return the prompt as chat messages, or None if it is sent as a string."""
        if prompt.text is not None and self.api == "chat":
            return ({"role": "user", "content": prompt.text},)
        return prompt.messages

    def _negotiate(
        self,
        request: SampleRequest,
        top: int,
        negotiation: Negotiation,
        values: Callable[[int, int], Mapping[str, Any]],
        wire: Callable[[dict[str, Any], int], WireRequest[T]],
        *,
        recover: Callable[[EndpointError], bool] | None = None,
        refusal_means_full: bool = True,
    ) -> Exchange[tuple[T, int]]:
        """Send a request, repeatedly while learning what the server accepts.

        Args:
            request: the sampling request.
            top: number of alternatives per token.
            negotiation: knows the call's optional fields.
            values: returns the optional fields' values for a number of choices and of alternatives.
            wire: builds the request from the spelled fields and a number of choices.
            recover: handles a refusal in another way; returns whether to send the request again.
            refusal_means_full: whether an unexplained refusal of a longer beam means a full context.

        Returns:
            The response, and the number of choices requested.

        Raises:
            ContextOverflow: the beam has filled the context, whatever the server's wording.
        """
        attempt = negotiation.attempt()
        while True:
            n, capped_top = self.limits.cap_n(request.n), self.limits.cap_logprobs(top)
            try:
                response: T = yield wire(attempt.spell(values(n, capped_top)), n)
            except ContextOverflow:
                raise
            except (RequestRejected, ServerError, ConnectionFailed) as refusal:
                if isinstance(refusal, RequestRejected):
                    if self.limits.learn(refusal, n=n, logprobs=capped_top):
                        continue
                    if recover is not None and recover(refusal):
                        continue
                longer = request.beam.continuation is not None
                if longer and _fills_context(refusal, attempt, refusal_means_full):
                    raise self._overflow(refusal) from None
                if not attempt.next_spelling(refusal):
                    raise attempt.first_refusal(refusal) from None
            else:
                attempt.accepted()
                return response, n

    def _streams(self, request: SampleRequest) -> bool:
        """Return whether to request a stream: the user wants streams, or a text may have to be given up."""
        return self.can_stream and (self.stream or request.confidence is not None)

    def _overflow(self, refusal: RequestRejected | ServerError) -> ContextOverflow:
        known = (
            isinstance(refusal, ServerError)  # by its words
            or refusal.status == _TOO_LARGE
            or words_of(refusal) in self.words_of_full_context
        )
        overflow = ContextOverflow(
            refusal.message, status=refusal.status, url=refusal.url, attempts=refusal.attempts
        )
        overflow.explained = known
        return overflow


def words_of(refusal: RequestRejected) -> str:
    """The server's words without their numbers, which change from beam to beam."""
    return re.sub(r"\d+", "0", f"{refusal.status} {refusal.message}")


#: "Content Too Large"
_TOO_LARGE = 413


def _fills_context(
    refusal: EndpointError, attempt: Attempt, unexplained: bool
) -> TypeGuard[RequestRejected | ServerError]:
    """Return whether a refused beam, accepted when it was shorter, must now be too long.

    Args:
        refusal: of the beam.
        attempt: the request.
        unexplained: whether a refusal without a known reason means that.
    """
    if isinstance(refusal, ServerError):
        # Not at once: the memory that all requests share may have been full for a while.
        return is_about_context(refusal.message)
    if not isinstance(refusal, RequestRejected) or not (
        unexplained or refusal.status == _TOO_LARGE
    ):
        return False
    if attempt.blames(refusal):
        return False
    return refusal.status in (400, 413, 422) and not is_about_content(refusal)


def check_enough(shown: int, n: int) -> None:
    """Raise `LogprobsUnavailable` if a server sends fewer next tokens than needed."""
    if shown < n:
        raise LogprobsUnavailable(
            f"the server shows {shown} next tokens, where {n} are needed: n_per_beam (beam_width * n_per_beam"
            " in the first round), but no more than beam_width + 1"
        )


def check_choices(choices: Sequence[T], n: int) -> Sequence[T]:
    """Return the choices of a response, which must not be more than were requested.

    Raises:
        MalformedResponse: there are more than n.
    """
    if len(choices) > n:
        raise MalformedResponse(
            f"the response holds {len(choices)} choices, where {n} were asked for"
        )
    return choices


def one_token_blocks(
    tokens: Sequence[Token], n: int, *, exact: bool, continuing_ids: Collection[int] = ()
) -> tuple[Continuation, ...]:
    """Turn each token into a continuation; a token without bytes ends the text.

    Args:
        tokens: best first.
        n: number of continuations to return.
        exact: whether the tokens are certain to be what their text shows.
        continuing_ids: ids of tokens without bytes that do not end the text.

    Raises:
            LogprobsUnavailable: there are fewer than `n`.
    """
    check_enough(len(tokens), n)
    return tuple(
        Continuation(
            tokens=(token,),
            data=token.data,
            finish_reason=LENGTH if token.data or token.id in continuing_ids else STOP,
            exact=exact and token.id is not None,
            generated=0,  # the server generated one token and only listed the others
        )
        for token in tokens[:n]
    )


DIALECTS: Registry[type[Dialect]] = Registry("dialect", "trio_beam.dialects")
