"""Run a problem's tests on a function in another process.

It receives ``check`` with the problem's prompt, its tests and the function's name, as a JSON list. For each
call of the function it sends ``call`` with ``(args, kwargs)`` as `values` writes them, and receives what
`program` answers. At the end it sends ``passed``, or ``failed`` with a description.

Everything from the program is read by `values.loads`, so equality is decided here, between values of
built-in types. The prompt is run for its helper functions, which some tests call. A function receives
copies of its arguments, since no test of HumanEval inspects an argument afterwards.
"""

from __future__ import annotations

import json
from typing import Any

from trio_beam.benchmark.sandbox.inside import values
from trio_beam.benchmark.sandbox.inside.channel import NOT_A_REPORT, Channel, describe
from trio_beam.benchmark.sandbox.inside.limits import Limits, apply


class CandidateError(Exception):
    """The function raised; the message is the description of its error."""


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
        names: dict[str, Any] = {"__name__": "tests"}
        exec(compile(prompt, "prompt.py", "exec"), names)  # noqa: S102  # it is the data set's
        names[name] = candidate  # HumanEval/33 also calls the function by its name
        exec(compile(tests, "tests.py", "exec"), names)  # noqa: S102  # so is this
        names["check"](candidate)
    except CandidateError as error:
        channel.send("failed", str(error))
    except BaseException as error:  # noqa: ASYNC103  # no Trio here
        channel.send("failed", describe(error))
    else:
        channel.send("passed")
