"""How a search and a run of chains begin, and the error that both end in when they fail."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from trio_beam.core.beam import Beam
from trio_beam.core.language_model import Call
from trio_beam.core.result import BeamFailure
from trio_beam.engine.deadline import Stopwatch
from trio_beam.errors import EndpointError, SearchFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trio_beam.core.events import Observer
    from trio_beam.core.language_model import LanguageModel, Sampler
    from trio_beam.core.prompt import Prompt
    from trio_beam.core.result import SearchResult
    from trio_beam.core.usage import Ledger

#: Bits of chance for what has no seed.
ENTROPY_BITS = 62


async def start(
    model: LanguageModel, prompt: Prompt, ledger: Ledger, emit: Observer
) -> Sampler | BeamFailure:
    """Let a model take a prompt; or what went wrong with that.

    Raises:
        BudgetExhausted: there was no budget for it.
    """
    with trio.CancelScope() as scope:
        # Without a limit of its own: the scope only carries the stopwatch.
        call = Call(ledger=ledger, emit=emit, stopwatch=Stopwatch(scope, math.inf))
        try:
            return await model.start(prompt, call)
        except EndpointError as error:
            return BeamFailure(beam=Beam(), error=error, attempts=error.attempts, round=0)
    raise AssertionError("nobody cancels this scope")


def search_failed(
    failures: Sequence[BeamFailure], partial: SearchResult, *, what: str, step: str
) -> SearchFailed:
    """The error in which all failures are, with its cause.

    Args:
        failures: at least one.
        partial: the best so far.
        what: has failed, in words.
        step: the word for what is numbered in it: round, block.
    """
    last = failures[-1]
    when = f"in {step} {last.round}" if last.round else f"before its first {step}"
    more = f" ({len(failures) - 1} more failures before)" if len(failures) > 1 else ""
    error = SearchFailed(
        f"{what} failed {when}: {last.error}{more}", failures=failures, partial=partial
    )
    error.__cause__ = ExceptionGroup(
        "what went wrong with its requests", [failure.error for failure in failures]
    )
    return error
