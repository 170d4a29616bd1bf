"""Runs a problem's tests. The function that they test is in another process, reached through the channel.

In: ``check`` with the problem's prompt, its tests and the function's name, as a JSON list; then an answer
to each call. Out: ``call`` with the arguments, as `values` writes ``(args, kwargs)``; at last ``passed``,
or ``failed`` with a description.

The prompt is run for the helper functions that tests use. All that comes from the candidate's process is
read by `values.loads`, so equality is decided here, between values of built-in types. Arguments are
copies: no test of HumanEval looks at what a function has done to one.
"""

from __future__ import annotations

import json
from typing import Any

from trio_beam.benchmark.sandbox.inside import values
from trio_beam.benchmark.sandbox.inside.channel import NOT_A_REPORT, Channel, describe
from trio_beam.benchmark.sandbox.inside.limits import Limits, apply


class CandidateError(Exception):
    """The function raised, or did not return a plain value; the message says which."""


def main(channel: Channel, limits: Limits) -> None:
    """Run the tests of one problem."""
    apply(limits)
    channel.send("ready")
    prompt, tests, name = json.loads(channel.receive().rest)

    def candidate(*args: Any, **kwargs: Any) -> Any:
        channel.send("call", values.dumps((args, kwargs)))
        word, rest = channel.receive()
        if word == "returned":
            return values.loads(rest)
        raise CandidateError(rest if word == "raised" else NOT_A_REPORT)

    try:
        space: dict[str, Any] = {"__name__": "tests"}
        exec(compile(prompt, "prompt.py", "exec"), space)  # noqa: S102  # the data set's own
        space[name] = candidate  # one test compares the function with itself, by its name
        exec(compile(tests, "tests.py", "exec"), space)  # noqa: S102  # the same
        space["check"](candidate)
    except CandidateError as error:
        channel.send("failed", str(error))
    except BaseException as error:  # noqa: ASYNC103  # no Trio here
        channel.send("failed", describe(error))
    else:
        channel.send("passed")
