"""Run a model-written program, and call its function for the tests, which run in another process.

It receives ``load`` with the source and the function's name, as a JSON list, and answers ``loaded``. Then it
receives ``call`` with ``(args, kwargs)`` as `values` writes them, and answers ``returned`` with the value.
Either may be answered by ``raised`` with a description. A program can also send anything else: an answer
is only a claim that the function has that value.
"""

from __future__ import annotations

import contextlib
import json
import sys
import types

from trio_beam.benchmark.sandbox.inside import values
from trio_beam.benchmark.sandbox.inside.channel import Channel, Message, describe
from trio_beam.benchmark.sandbox.inside.limits import Limits, apply


def main(channel: Channel, limits: Limits) -> None:
    """Run the program, then answer calls until the input ends."""
    apply(limits)
    channel.send("ready")
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    sys.argv = ["solution"]
    with contextlib.suppress(EOFError):
        source, name = json.loads(channel.receive().rest)
        channel.send(*_load(module, source))
        while True:
            channel.send(*_call(module, name, channel.receive().rest))


def _load(module: types.ModuleType, source: str) -> Message:
    """Run the program as a module of its own."""
    answer = Message("loaded", "")
    try:
        exec(compile(source, "solution.py", "exec"), module.__dict__)  # noqa: S102  # it is the job
    except BaseException as error:  # noqa: ASYNC103  # no Trio here; sys.exit() is no way to pass
        answer = Message("raised", describe(error))
    return answer


def _call(module: types.ModuleType, name: str, arguments: str) -> Message:
    try:
        args, kwargs = values.loads(arguments)
        answer = Message("returned", values.dumps(getattr(module, name)(*args, **kwargs)))
    except BaseException as error:  # noqa: ASYNC103  # as above
        answer = Message("raised", describe(error))
    return answer
