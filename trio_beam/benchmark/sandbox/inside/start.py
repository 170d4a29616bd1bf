"""The entry point in the sandbox, which plays a role.

Its arguments are the role, which is a module of this package; the limits and the folders of installed
packages, each as JSON; and the arguments of the role.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from trio_beam.benchmark.sandbox.inside.channel import Channel, describe
from trio_beam.benchmark.sandbox.inside.limits import Limits

#: File descriptors of the channel, apart from those that programs use by number.
_READER, _WRITER = 40, 41


def main() -> None:
    """Play the role to its end."""
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
    """Move the two pipes, redirect standard streams to nothing, and close all other files."""
    os.dup2(0, _READER, inheritable=False)
    os.dup2(1, _WRITER, inheritable=False)
    nowhere = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    os.closerange(3, _READER)
    os.closerange(_WRITER + 1, 1 << 16)
    return Channel(_READER, _WRITER, longest)
