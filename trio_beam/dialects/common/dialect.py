"""What every dialect is made of."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypeVar

import attrs
import msgspec

from trio_beam.core.block import LENGTH, STOP, Continuation, Token
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import Prompt
from trio_beam.core.registry import Registry
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.common.negotiation import Negotiation, is_about_content
from trio_beam.dialects.common.temperature import SHOWN, bounded
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
#: Bytes of a response: of whatever is asked for without a body; of what stands around the answer; for each
#: token, which may be an event of a stream; for each alternative; for each byte of the request.
_LISTED, _ENVELOPE, _TOKEN, _ALTERNATIVE, _ECHO = 8 << 20, 1 << 20, 8 << 10, 2 << 10, 32


@attrs.frozen(kw_only=True, eq=False)
class WireRequest(Generic[T]):
    """One HTTP request, not yet sent.

    Attributes:
        path: behind the base URL, or behind the server's root (the base URL without ``/v1``).
        decode: makes the answer's body into what the exchange goes on with; raises
            `msgspec.DecodeError` (a `msgspec.ValidationError` if it is JSON of another shape).
        body: JSON; None for a GET.
        at_root: which of the two `path` is behind.
        most_tokens: the most that it may make the server generate, all choices together.
        alternatives: wanted beside each token.
    """

    path: str
    decode: Callable[[bytes], T]
    body: bytes | None = None
    at_root: bool = False
    most_tokens: int = 0
    alternatives: int = 0

    @property
    def most_bytes(self) -> int:
        """The longest response that it can justify, with a generous factor."""
        if self.body is None:
            return _LISTED
        most = _ENVELOPE + self.most_tokens * (_TOKEN + self.alternatives * _ALTERNATIVE)
        # What generates nothing may be about each token that was sent, and a token has two bytes or more.
        each = _ECHO if self.most_tokens else (1 + self.alternatives) * _ALTERNATIVE // 8
        return most + len(self.body) * each

    @property
    def method(self) -> str:
        """GET or POST."""
        return "GET" if self.body is None else "POST"


#: Yields requests, is sent their decoded answers (or has an `EndpointError` thrown in), returns T.
Exchange: TypeAlias = Generator[WireRequest[Any], Any, T]


@attrs.frozen(kw_only=True, eq=False)
class Answer:
    """What an exchange has brought.

    Attributes:
        continuations: at least one.
        prompt_tokens: what the server counted as prompt, over all requests of the exchange.
        generated_besides: tokens that were generated to find something out and are in no continuation.
    """

    continuations: tuple[Continuation, ...]
    prompt_tokens: int = 0
    generated_besides: int = 0


class ModelEntry(msgspec.Struct):
    """One row of ``GET /models``; some servers call the name otherwise."""

    id: str | None = None
    owned_by: str | None = None
    name: str | None = None
    model: str | None = None

    @property
    def called(self) -> str:
        """The model's name; "" if the row has none."""
        return self.id or self.model or self.name or ""


class ModelList(msgspec.Struct):
    """The response to ``GET /models``; some servers send the list itself."""

    data: list[ModelEntry] | None = None
    models: list[ModelEntry] | None = None

    @property
    def rows(self) -> list[ModelEntry]:
        """The models that have a name."""
        return [row for row in self.data or self.models or [] if row.called]


class Dialect(ABC):
    """One server family. An instance belongs to one endpoint and remembers what it learnt.

    Args:
        model: the model's name.
        api: which of the two OpenAI calls to use; ``"auto"``: completions for a string, chat for
            messages.
        limits: most choices and log-probabilities a request, as far as they are known.
        stream: whether answers are asked for as streams.
    """

    name: ClassVar[str]
    #: Whom such a server names as the owner of its models; None: it cannot be known by that.
    owner: ClassVar[str | None] = None
    #: Whether it can ask for answers as streams.
    can_stream: ClassVar[bool] = False
    #: Whether a prompt, and a beam behind it, travel as token ids.
    takes_ids: ClassVar[bool] = False
    #: Shape of the log-probabilities: ``"native"``, ``"content"`` or ``"legacy"``, once it is known.
    shape: str | None = None
    #: What is known of servers of this kind and cannot be tried in a minute.
    notes: tuple[str, ...] = ()
    #: Whether the server has answered a request in this dialect.
    proved: bool = False
    #: What the server calls itself, and its longest sequence in tokens, once `configure` has asked.
    server: str | None = None
    context_tokens: int | None = None

    def __init__(self, model: str, api: Api, limits: Limits, stream: bool = False) -> None:
        self.model = model
        self.api: Api = api
        self.limits = limits
        self.stream = stream

    @classmethod
    def recognises(cls, models: ModelList) -> bool:
        """Whether a server with this list of models speaks this dialect: by the owner that it names."""
        return cls.owner is not None and any(row.owned_by == cls.owner for row in models.rows)

    def configure(self) -> Exchange[int | None]:
        """Ask the server for what it says of itself; returns its slots, if it has a number of them.

        Only for a dialect that was found, not for one that was named.
        """
        yield from ()
        return None

    def continues_chat(self) -> Exchange[bool | None]:
        """Whether the last message of a chat, the assistant's, is continued; None if it cannot be told."""
        yield from ()
        return True

    def running(self) -> Exchange[int | None]:
        """How many requests the server works on now; None if it does not tell."""
        yield from ()
        return None

    @abstractmethod
    def prepare(self, prompt: Prompt) -> Exchange[Any]:
        """What `sample` needs of a prompt, made once for a search."""

    @abstractmethod
    def prompt_length(self, prepared: Any) -> int:
        """Tokens of a prepared prompt, or an upper bound where only the server could count them."""

    def is_open(self, prepared: Any, request: SampleRequest) -> bool:
        """Whether `settle` has to find something out before this request, once for all searches."""
        del prepared, request
        return False

    def settle(self) -> Exchange[None]:
        """Find out what `is_open` has asked for."""
        yield from ()

    @abstractmethod
    def sample(self, prepared: Any, request: SampleRequest) -> Exchange[Answer]:
        """Ask for continuations of a beam behind a prompt that `prepare` has prepared."""

    def sample_with_proposal_logprobs(
        self, prepared: Any, request: SampleRequest
    ) -> Exchange[Answer]:
        """`sample`, with the log-probability of each token at the temperature that it was sampled at.

        Bounded from its alternatives, and therefore inexact, unless a dialect has a better way.

        Raises:
            LogprobsUnavailable: the server shows no alternatives.
        """
        shown = max(request.top_logprobs, SHOWN)
        answer = yield from self.sample(prepared, attrs.evolve(request, top_logprobs=shown))
        blocks = [
            bounded(block, request.temperature, request.top_logprobs)
            for block in answer.continuations
        ]
        return attrs.evolve(answer, continuations=tuple(blocks))

    def enumerate(self, prepared: Any, request: SampleRequest) -> Exchange[Answer]:
        """The most probable next tokens of a beam, ``request.n`` of them, each a continuation.

        Read from the alternatives of a sample of one token, unless a dialect has a better way. Inexact:
        by its text alone nobody can tell the token that ends a text.

        Raises:
            LogprobsUnavailable: the server shows fewer.
        """
        one = attrs.evolve(
            request, n=1, max_tokens=1, top_logprobs=request.n, temperature=1.0, enumerate=False
        )
        answer = yield from self.sample(prepared, one)
        block = answer.continuations[0]
        tokens = block.tokens
        if len(tokens) != 1:
            raise LogprobsUnavailable("the server shows no next tokens: it sampled none")
        return attrs.evolve(
            answer,
            continuations=one_token_blocks(tokens[0].top, request.n, exact=False),
            generated_besides=answer.generated_besides + 1,
        )

    def _messages_of(self, prompt: Prompt) -> tuple[Mapping[str, Any], ...] | None:
        """The prompt as chat messages; None where it goes out as a string."""
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
        mend: Callable[[EndpointError], bool] | None = None,
        grown: bool = True,
    ) -> Exchange[tuple[T, int]]:
        """Send one request, or a few while it is learnt what the server takes.

        Args:
            request: what is asked for.
            top: the alternatives of each token that are wanted.
            negotiation: knows the optional fields of the call.
            values: makes the optional fields for so many choices and alternatives.
            wire: makes the request of the spelt fields, for so many choices.
            mend: does something else about a refusal; returns whether the request may be sent again.
            grown: whether an unexplained refusal of a longer beam means that the context is full.

        Returns:
            The response, and the choices that it was asked for.

        Raises:
            ContextOverflow: a beam has grown until it filled the context, whatever the server calls it.
        """
        attempt = negotiation.attempt()
        while True:
            n, capped_top = self.limits.cap_n(request.n), self.limits.cap_logprobs(top)
            try:
                answer: T = yield wire(attempt.spell(values(n, capped_top)), n)
            except ContextOverflow:
                raise
            except (RequestRejected, ServerError, ConnectionFailed) as refusal:
                if isinstance(refusal, RequestRejected):
                    if self.limits.learn(refusal, n=n, logprobs=capped_top):
                        continue
                    if mend is not None and mend(refusal):
                        continue
                    grew = grown and request.beam.continuation is not None
                    if grew and not attempt.blames(refusal) and _fills_context(refusal):
                        raise _overflow(refusal) from None
                if not attempt.next_spelling(refusal):
                    raise attempt.first_refusal(refusal) from None
            else:
                attempt.accepted()
                return answer, n


def _fills_context(refusal: RequestRejected) -> bool:
    """Whether a refusal, of a beam whose shorter self was accepted, must be about its length."""
    return refusal.status in (400, 413, 422) and not is_about_content(refusal)


def _overflow(refusal: RequestRejected) -> ContextOverflow:
    return ContextOverflow(
        refusal.message,
        status=refusal.status,
        url=refusal.url,
        attempts=refusal.attempts,
        fields=refusal.fields,
        code=refusal.code,
    )


def check_enough(shown: int, n: int) -> None:
    """Raise `LogprobsUnavailable` if a server shows fewer next tokens than needed."""
    if shown < n:
        raise LogprobsUnavailable(
            f"the server shows {shown} next tokens, where {n} are needed: n_per_beam (in the first round"
            " beam_width * n_per_beam), but no more than beam_width + 1"
        )


def check_choices(choices: list[T], n: int) -> list[T]:
    """Return the choices of a response; refuse more than were asked for: it answers something else.

    Raises:
        MalformedResponse: they are more than n.
    """
    if len(choices) > n:
        raise MalformedResponse(
            f"the response holds {len(choices)} choices, where {n} were asked for"
        )
    return choices


def one_token_blocks(
    tokens: Sequence[Token], n: int, *, exact: bool, going: Collection[int] = ()
) -> tuple[Continuation, ...]:
    """A continuation for each token; one without bytes ends the text.

    Args:
        tokens: best first.
        n: how many of them are wanted.
        exact: whether they are sure to be what they look like.
        going: ids of tokens without bytes that do not end the text.

    Raises:
        LogprobsUnavailable: they are fewer than asked for.
    """
    check_enough(len(tokens), n)
    return tuple(
        Continuation(
            tokens=(token,),
            data=token.data,
            finish_reason=LENGTH if token.data or token.id in going else STOP,
            exact=exact and token.id is not None,
            generated=0,  # the server chose one, and only showed the others
        )
        for token in tokens[:n]
    )


DIALECTS: Registry[type[Dialect]] = Registry("dialect")
