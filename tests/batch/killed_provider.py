"""A program that runs ``trio-beam batch --engine openai-batch`` again and again until a life is not killed.

``python -m tests.batch.killed_provider PID_FILE ARGS...`` writes the process id of each life into a file, for
whoever kills it, and prints how it ended.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from trio_beam.batch import provider_engine
from trio_beam.batch.command import batch


def main() -> None:
    file, args = Path(sys.argv[1]), sys.argv[2:]
    provider_engine._FIRST_WAIT = 0.01
    killed = True
    while killed:
        pid = os.fork()
        if pid == 0:
            file.write_text(str(os.getpid()))
            batch.main(args)
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status)
        print("killed" if killed else "ended", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
