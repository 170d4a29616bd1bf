"""The interface of a call that scores texts, and the exchange that finds the one a server has."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import attrs
import msgspec

from trio_beam.core.registry import Registry
from trio_beam.dialects.common.encoding import count_in
from trio_beam.dialects.common.error_responses import is_about_context
from trio_beam.dialects.common.exchange import Exchange, WireRequest
from trio_beam.errors import ContextOverflow, MalformedResponse, RequestRejected, ServerError

#: Refusals that may mean that a server does not have a call, or takes it in another form.
_MISFITS = frozenset({400, 404, 405, 422, 424, 501})


@attrs.frozen(kw_only=True, eq=False)
class RewardInput:
    """A candidate as the calls need it.

    Attributes:
        prompt: the prompt as text.
        answer: the candidate's text, with a separator after each step if the model scores steps.
        text: both in one text.
        messages: both as a conversation to which the server applies its template; None: send `text`.
        scores: number of scores expected: one per step, or 1; None: one, from the last row of any number.
    """

    prompt: str
    answer: str
    text: str
    messages: Sequence[Mapping[str, Any]] | None = None
    scores: int | None = None


@attrs.frozen(kw_only=True, eq=False)
class Rewards:
    """The scores of each candidate, in order, and the prompt tokens that the server counted."""

    scores: Sequence[tuple[float, ...]]
    prompt_tokens: int = 0


class RewardCall(ABC):
    """A server's call that scores texts."""

    #: Value of `RewardModel.api`; several calls may share one, and are tried in the order of their rank.
    api: ClassVar[str]
    rank: ClassVar[int]
    #: Whether it scores steps.
    scores_steps: ClassVar[bool] = False
    #: Whether it scores a conversation, one per request.
    takes_messages: ClassVar[bool] = False

    @abstractmethod
    def request(
        self, model: str | None, inputs: Sequence[RewardInput], label: str | None
    ) -> WireRequest[Rewards]:
        """Build the request that scores all inputs (one, if it has messages).

        Args:
            model: the model's name; None leaves it out.
            inputs: at least one.
            label: name or number of the class that means good; None: the last class.
        """


REWARD_CALLS: Registry[type[RewardCall]] = Registry("reward call", "trio_beam.dialects.rewards")


def calls_for(api: str, *, steps: bool) -> list[RewardCall]:
    """Return the calls to try, in order."""
    kinds = [REWARD_CALLS[name] for name in REWARD_CALLS.names()]
    fitting = [
        kind for kind in kinds if api in ("auto", kind.api) and (kind.scores_steps or not steps)
    ]
    return [kind() for kind in sorted(fitting, key=lambda kind: kind.rank)]


def score_by(
    calls: Sequence[RewardCall],
    model: str | None,
    inputs: Sequence[RewardInput],
    label: str | None,
) -> Exchange[tuple[RewardCall, Rewards]]:
    """Score inputs by the first call that the server has.

    Returns:
        That call, and the scores.

    Raises:
        EndpointError: the server has none of them, or refuses the inputs.
    """
    refusals: list[RequestRejected | ServerError] = []
    for call in calls:
        try:
            rewards = yield call.request(model, inputs, label)
        except ContextOverflow:
            raise
        except (RequestRejected, ServerError) as refusal:
            if is_about_context(refusal.message):
                raise ContextOverflow(
                    refusal.message,
                    status=refusal.status,
                    url=refusal.url,
                    attempts=refusal.attempts,
                ) from refusal
            if refusal.status not in _MISFITS:
                raise
            refusals.append(refusal)
        else:
            return call, rewards
    # A refusal of the content says more than the lack of a path.
    raise next((one for one in refusals if one.status not in (404, 405)), refusals[0])


def encode(model: str | None, fields: Mapping[str, Any]) -> bytes:
    """Encode a request's body."""
    return msgspec.json.encode({**({} if model is None else {"model": model}), **fields})


def texts_or_conversation(inputs: Sequence[RewardInput]) -> dict[str, Any]:
    """Return the field that holds the inputs in vLLM's calls."""
    if inputs[0].messages is not None:
        return {"messages": inputs[0].messages}
    return {"input": [one.text for one in inputs]}


def in_order(rows: Sequence[Any], indices: Sequence[int], count: int) -> list[Any]:
    """Return the rows of a response in the order of the inputs.

    Raises:
        MalformedResponse: there is not exactly one row per input.
    """
    if sorted(indices) != list(range(count)):
        raise MalformedResponse(f"the response scores {len(rows)} texts, where {count} were sent")
    places = dict(zip(indices, rows, strict=True))
    return [places[index] for index in range(count)]


def one_of_row(row: Sequence[float], label: str | None) -> float:
    """Return the score of the class that means good, from the scores of all classes.

    Raises:
        MalformedResponse: there is no such class, or its score is not a finite number.
    """
    if not row:
        raise MalformedResponse("the response has no scores")
    try:
        place = -1 if label is None else int(label)
        value = float(row[place])
    except ValueError:
        raise MalformedResponse(
            f"this server does not name its {len(row)} classes: set label to a number, not {label!r}"
        ) from None
    except IndexError:
        message = f"the response has {len(row)} classes, and none is number {label}"
        raise MalformedResponse(message) from None
    return finite(value)


def finite(value: float) -> float:
    """Return a score.

    Raises:
        MalformedResponse: it is not a finite number.
    """
    if not math.isfinite(value):
        raise MalformedResponse(f"the response has a score that is not a finite number: {value}")
    return value


def prompt_tokens(usage: Any) -> int:
    """Return a server's count of prompt tokens; 0 without one."""
    return count_in(usage, "prompt_tokens") or 0
