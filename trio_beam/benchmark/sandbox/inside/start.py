"""The first thing that runs in the sandbox.

Arguments: the role (a module of this package), the limits and the folders of installed packages, both
as JSON, and what else the role takes.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from trio_beam.benchmark.sandbox.inside.channel import Channel, describe
from trio_beam.benchmark.sandbox.inside.limits import Limits

#: The two descriptors of the channel; far from those that a program uses without thinking.
_READER, _WRITER = 40, 41


def main() -> None:
    """Play the role until the input ends."""
    role, numbers, packages, *arguments = sys.argv[1:]
    limits = Limits(*json.loads(numbers))
    sys.path += json.loads(packages)
    channel = _take_over_standard_streams(limits.message)
    try:
        module = importlib.import_module(f"{__package__}.{role}")
        module.main(channel, limits, *arguments)
    except Exception as error:
        channel.send("failed", describe(error))


def _take_over_standard_streams(longest: int) -> Channel:
    """Keep the two pipes, give the program empty input and dropped output, and close all else."""
    os.dup2(0, _READER, inheritable=False)
    os.dup2(1, _WRITER, inheritable=False)
    nowhere = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.closerange(3, _READER)
    os.closerange(_WRITER + 1, 1 << 16)
    return Channel(_READER, _WRITER, longest)
