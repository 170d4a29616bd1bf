"""Write a search to the standard `logging`, one record per event, with its numbers as attributes."""

from __future__ import annotations

import logging
from typing import Any

import attrs

from trio_beam.core.events import (
    BeamExpanded,
    BeamFailed,
    ChainExtended,
    ChainStepped,
    EvaluationStarted,
    Event,
    McmcStarted,
    PromptPrepared,
    RoundFinished,
    RoundStarted,
    SamplesReceived,
    SearchFinished,
    SearchStarted,
    SearchStopped,
)
from trio_beam.core.printable import printable
from trio_beam.core.request_events import (
    EndpointPaused,
    LimitChanged,
    RatePaused,
    RequestEnded,
    RequestHedged,
    RequestRetried,
    RequestSent,
    RequestWaiting,
)

#: Level and message of each event. The message is filled in with the record's own attributes.
_RECORDS: dict[type[Event], tuple[int, str]] = {
    SearchStarted: (logging.INFO, "search %(search)d began: at most %(rounds)d rounds"),
    McmcStarted: (logging.INFO, "search %(search)d began: %(chains)d chains"),
    PromptPrepared: (logging.DEBUG, "the prompt has %(prompt_length)d tokens"),
    RoundStarted: (
        logging.INFO,
        "round %(round)d of %(rounds)d: %(samples)d continuations of %(beams)d beams",
    ),
    EvaluationStarted: (
        logging.INFO,
        "round %(round)d: %(purpose)s, %(samples)d requests about %(candidates)d candidates",
    ),
    SamplesReceived: (
        logging.DEBUG,
        "round %(round)d: %(received)d of %(wanted)d came back for beam %(rank)d (%(purpose)s)",
    ),
    BeamExpanded: (
        logging.DEBUG,
        "round %(round)d: beam %(rank)d has %(candidates)d candidates, %(tokens)d tokens",
    ),
    BeamFailed: (logging.WARNING, "round %(round)d: beam %(rank)d failed: %(error)s"),
    RoundFinished: (
        logging.INFO,
        "round %(round)d: %(active)d active, %(ended)d ended, best score %(best_score).4f",
    ),
    ChainExtended: (logging.INFO, "chain %(chain)d: block %(block)d of %(blocks)d"),
    ChainStepped: (
        logging.DEBUG,
        "chain %(chain)d: step %(step)d accepted=%(accepted)s with probability %(probability).3f",
    ),
    RequestWaiting: (logging.DEBUG, "request %(request)d waits"),
    RequestSent: (
        logging.DEBUG,
        "request %(request)d sent: attempt %(attempt)d, after waiting %(waited).3f s",
    ),
    RequestEnded: (
        logging.DEBUG,
        "request %(request)d: attempt %(attempt)d ended by %(outcome)s after %(seconds).3f s",
    ),
    RequestRetried: (
        logging.WARNING,
        "attempt %(attempt)d of %(attempts)d failed, again in %(wait).1f s: %(error)s",
    ),
    RequestHedged: (logging.INFO, "request %(request)d sent again after %(after).1f s"),
    EndpointPaused: (logging.WARNING, "the server asked for a pause of %(seconds).1f s: %(error)s"),
    RatePaused: (logging.INFO, "paused for the rate (%(limit)s per minute): %(seconds).1f s"),
    LimitChanged: (logging.INFO, "at most %(limit)d requests in flight, %(before)d before"),
    SearchFinished: (logging.INFO, "search %(search)d ended: %(stop_reason)s, score %(score).4f"),
    SearchStopped: (logging.ERROR, "search %(search)d stopped: %(error)s"),
}


class Log:
    """Observer that writes a log record for each event.

    Searches and rounds are at level INFO, requests at DEBUG, retries and failures at WARNING, a search that
    failed at ERROR. A record has the event's numbers as attributes (``record.round``), and ``event``, its
    name; never a prompt or a text, although a server's message may quote one.

    Args:
        logger: where to; None: the logger ``trio_beam``.
    """

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger("trio_beam")
        self._label = ""

    def search(self, label: str) -> Log:
        """Return the observer of one of several concurrent searches; its records begin with a label."""
        one = Log(self._logger)
        one._label = label
        return one

    def __call__(self, event: Event) -> None:
        """Write the record of an event."""
        level, message = _RECORDS.get(type(event), (logging.DEBUG, "%(event)s"))
        if self._logger.isEnabledFor(level):
            values = _values(event)
            if self._label:
                message, values["label"] = f"%(label)s: {message}", self._label
            self._logger.log(level, message, values, extra=values)


def _values(event: Event) -> dict[str, Any]:
    """Return the plain values of an event."""
    found: dict[str, Any] = {"event": type(event).__name__, "search": event.index}
    found |= {
        field.name: value
        for field in attrs.fields(type(event))
        if isinstance(value := getattr(event, field.name), (bool, int, float, str))
        and field.name != "index"
    }
    match event:
        case McmcStarted(config=config):
            found["chains"] = config.chains
        case SamplesReceived():
            found["received"] = len(event.continuations) + (event.step_scores is not None)
            found |= _usage(event.usage)
        case BeamFailed(failure=failure):
            found |= {"round": failure.round, "attempts": failure.attempts}
            found["error"] = _words(failure.error)
        case RequestSent() | RequestEnded() | RequestWaiting() | RequestRetried() | RequestHedged():
            found |= attrs.asdict(event.origin)
        case SearchFinished(result=result) | SearchStopped(result=result):
            found |= {"stop_reason": result.stop_reason, "score": result.score}
            found |= {"rounds": result.rounds} | _usage(result.usage)
    error = getattr(event, "error", None)
    if isinstance(event, SearchStopped):
        found["error"] = "it was cancelled" if error is None else _words(error)
    elif error is not None:
        found |= {"error": _words(error), "error_type": type(error).__name__}
    return found


def _usage(usage: Any) -> dict[str, Any]:
    return {name: value for name, value in attrs.asdict(usage).items() if value is not None}


def _words(error: Exception) -> str:
    return printable(str(error))
