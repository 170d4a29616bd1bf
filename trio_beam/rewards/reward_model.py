"""A reward model as scorer: of steps (process) or of whole texts (outcome), on a server or in this process.

Process reward models: Lightman et al. 2023 (arXiv 2305.20050); aggregation over steps: Snell et al. 2024
(arXiv 2408.03314), Zhang et al. 2025 (arXiv 2501.07301).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Literal, TypeAlias, cast
from urllib.parse import urlsplit

import attrs

from trio_beam.core.beam import Beam
from trio_beam.core.language_model import RequestContext
from trio_beam.core.prompt import Prompt, fill_in, text_of
from trio_beam.core.reward_scorer import RewardScorer, steps_of
from trio_beam.core.scorer import SCORERS
from trio_beam.core.validation import PARAMETER, Parameter, check_declared, documented, one_of
from trio_beam.dialects.rewards import RewardInput
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.errors import ConfigError, MalformedResponse
from trio_beam.rewards.connection import Connection

#: A model of your own: given the prompt and the steps of each candidate, returns for each candidate a number
#: per step (``kind="process"``) or one number (``kind="outcome"``).
RewardFunction: TypeAlias = Callable[
    [str, Sequence[Sequence[str]]], Sequence[Any] | Awaitable[Sequence[Any]]
]
Aggregate = Literal["last", "min", "prod", "mean"]

_AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "prod": math.prod,
    "mean": lambda scores: math.fsum(scores) / len(scores),
}


def _text(default: str | None, help: str) -> Any:  # noqa: A002  # the usual word
    parameter = Parameter(kind="text", optional=default is None, help=help)
    return attrs.field(default=default, validator=check_declared, metadata={PARAMETER: parameter})


def _as_text(value: Any) -> Any:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_number else value


def _check_template(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and (not isinstance(value, str) or "{text}" not in value):
        bound = "a text with {text} (and {prompt}) as placeholders, or None"
        raise ConfigError(attribute.name, bound, value)


@SCORERS.register("reward_model")
@documented
@attrs.frozen
class RewardModel(RewardScorer):
    """A reward model: ``BeamSearchConfig(scorer=RewardModel("http://127.0.0.1:8001/v1", kind="process"))``.

    All candidates of a round are scored in as few requests as the server takes. A candidate's steps are the
    blocks of its answer, or with ``block=Steps(...)`` what ends behind a delimiter; ``beam.step_scores`` has
    a number for each, which for ``kind="outcome"`` is the score of the text up to there. A candidate that
    is still thinking has none, and ranks below all others.

    Args:
        endpoint: an open `Endpoint` instead of a `base_url`: with an API key, limits and retries of its own.
        function: a model in this process instead of a server (`RewardFunction`), plain or asynchronous. A
            plain one is called in the search's own task, and blocks it.

    Raises:
        ConfigError: names the field and its bound.
    """

    #: ``--reward-model URL``
    option_main: ClassVar[str] = "base_url"

    base_url: str | None = _text(None, "Base URL of the reward model's server.")
    model: str | None = _text(None, "Name of the reward model; None leaves it out of requests.")
    kind: Literal["process", "outcome"] = one_of(
        "process", "outcome", help="Whether it scores each step, or the whole text."
    )
    api: Literal["auto", "pooling", "classify", "score", "rerank", "predict"] = one_of(
        "auto",
        "pooling",
        "classify",
        "score",
        "rerank",
        "predict",
        help="The server's call; 'auto' tries them. Only pooling scores steps; predict is"
        " text-embeddings-inference's.",
    )
    aggregate: Aggregate = one_of(
        "last", "min", "prod", "mean", help="How step scores become a candidate's score."
    )
    separator: str = _text(
        "<extra_0>", "Text after each step, at whose token a process reward model scores it."
    )
    template: str | None = attrs.field(
        default=None,
        validator=_check_template,
        metadata={
            PARAMETER: Parameter(
                kind="text",
                optional=True,
                help="The text to score, with {prompt} and {text} as placeholders; None: the prompt followed"
                " by the text, or for chat messages the server's chat template, one candidate per request.",
            )
        },
    )
    label: str | None = attrs.field(
        default=None,
        converter=_as_text,
        validator=check_declared,
        metadata={
            PARAMETER: Parameter(
                kind="text",
                optional=True,
                help="Number (from 0) or name of the class that means good; None: the last.",
            )
        },
    )
    endpoint: Endpoint | None = attrs.field(default=None, kw_only=True)
    function: RewardFunction | None = attrs.field(default=None, kw_only=True)
    _connection: Connection | None = attrs.field(init=False, default=None, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        # Not a default, which would be made before the fields are validated.
        object.__setattr__(self, "_connection", self._connect())

    def _connect(self) -> Connection | None:
        given = [self.base_url, self.endpoint, self.function]
        if sum(one is not None for one in given) != 1:
            bound = "given (or one of endpoint and function instead of it)"
            raise ConfigError("base_url", bound, self.base_url)
        if self.function is not None:
            if not callable(self.function):
                raise ConfigError("function", "a function", self.function)
            return None
        if self.kind == "process" and self.api not in ("auto", "pooling"):
            bound = "'auto' or 'pooling' with kind='process': the other calls score whole texts"
            raise ConfigError("api", bound, self.api)
        if self.endpoint is not None and not isinstance(self.endpoint, Endpoint):
            raise ConfigError("endpoint", "an Endpoint", self.endpoint)
        if self.base_url is not None and urlsplit(self.base_url).username is not None:
            # They would be shown wherever a configuration is.
            error = ConfigError("base_url", "a URL without credentials", None)
            error.args = ("base_url has credentials: use endpoint=Endpoint(...), which hides them",)
            raise error
        return Connection.to(
            self.endpoint or cast("str", self.base_url),
            model=self.model,
            api=self.api,
            steps=self.kind == "process",
            label=self.label,
        )

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Keep its connections open during a search; searches share them."""
        if self._connection is None:
            yield
            return
        async with self._connection.opened():
            yield

    def max_batch(self, prompt: Prompt) -> int | None:
        """Return the maximum number of candidates per request: 1 for conversations, else once known."""
        if self._connection is None:
            return None
        alone = prompt.messages is not None and self.template is None
        return 1 if alone and self._connection.takes_messages else self._connection.max_batch

    def learn_batch(self, limit: int) -> None:
        """Note that the server takes no more candidates in a request."""
        if self._connection is not None:
            self._connection.max_batch = limit

    async def rewards(
        self, prompt: Prompt, beams: Sequence[Beam], context: RequestContext
    ) -> Sequence[tuple[float, ...]]:
        """Return the step scores of each candidate.

        Raises:
            EndpointError: the request failed, or the response does not fit the steps.
        """
        divided = [steps_of(beam) for beam in beams]
        answered = [steps for steps in divided if steps]
        found = iter(await self._scores(prompt, answered, context) if answered else ())
        return [
            self._step_scores(beam, next(found), len(steps)) if steps else ()
            for beam, steps in zip(beams, divided, strict=True)
        ]

    async def _scores(
        self, prompt: Prompt, steps: Sequence[Sequence[str]], context: RequestContext
    ) -> Sequence[Sequence[float]]:
        if self._connection is None:
            return await self._call(text_of(prompt), steps)
        inputs = [self._input(prompt, one) for one in steps]
        return await self._connection.scores(inputs, context)

    def score_of(self, step_scores: Sequence[float]) -> float:
        """Aggregate step scores; minus infinity without any."""
        return _AGGREGATES[self.aggregate](step_scores) if step_scores else -math.inf

    def _step_scores(self, beam: Beam, scores: Sequence[float], steps: int) -> tuple[float, ...]:
        if self.kind == "process":
            return tuple(scores)
        before = beam.parent.step_scores if beam.parent is not None else ()
        return (*before[: steps - 1], scores[0])

    def _input(self, prompt: Prompt, steps: Sequence[str]) -> RewardInput:
        is_process = self.kind == "process"
        # Models are trained with the separator instead of the line breaks between steps.
        answer = "".join(step.rstrip("\n") + self.separator for step in steps)
        if not is_process:
            answer = "".join(steps)
        asked, messages = text_of(prompt), None
        if self.template is not None:
            text = fill_in(self.template, prompt=asked, text=answer)
        elif prompt.messages is None:
            text = asked + answer
        else:
            text = f"{asked}\n\n{answer}"
            messages = (*prompt.messages, {"role": "assistant", "content": answer})
        scores = len(steps) if is_process else None
        return RewardInput(prompt=asked, answer=answer, text=text, messages=messages, scores=scores)

    async def _call(self, prompt: str, steps: Sequence[Sequence[str]]) -> list[list[float]]:
        """Call the function.

        Raises:
            MalformedResponse: it raised, or did not return the numbers that it should.
        """
        assert self.function is not None
        try:
            given = self.function(prompt, steps)
            rows: Any = await given if inspect.isawaitable(given) else given
            if self.kind == "outcome":
                found = [[float(row)] for row in rows]
            else:
                found = [[float(value) for value in row] for row in rows]
        except Exception as error:
            raise MalformedResponse(f"the reward function failed: {error!r}", attempts=1) from error
        wanted = [1 if self.kind == "outcome" else len(one) for one in steps]
        if [len(row) for row in found] != wanted:
            what = "one number per candidate" if self.kind == "outcome" else "one number per step"
            raise MalformedResponse(f"the reward function did not return {what}", attempts=1)
        if not all(math.isfinite(value) for row in found for value in row):
            message = "the reward function returned a score that is not a finite number"
            raise MalformedResponse(message, attempts=1)
        return found
