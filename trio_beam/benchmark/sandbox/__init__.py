"""Runs programs that a model wrote, and asks verifiers about its answers, under bubblewrap. Linux only.

Guaranteed for each process in the sandbox, whatever it does:

- **Isolation.** It has namespaces of its own and no privileges: it reaches no network, no other process and
  no shared memory. The files that it sees are Python, installed packages and the system's libraries, all
  read-only, and an empty ``/tmp`` in memory that is gone with it. It inherits no environment and no open
  file. Its output is discarded.
- **Limits** of wall time, processor time, memory, files and the size of its messages (`Limits`).
- **No other processes.** A program can start neither a process nor a thread, and can open no socket. A filter
  of system calls refuses that, and what else namespaces and limits do not cover (`filter`).
- **An end.** When the call that needs it returns, raises or is cancelled, everything in the sandbox is gone:
  the kernel kills it with the sandbox's first process. The same happens when this process is killed.

A program cannot decide its own verdict. Its tests run in another sandbox and call it through this process;
only data crosses, and equality is decided where the tests are (`verdict`). Verifiers run nothing of an answer
(`inside.evaluate`). Whatever is reported passes an answer or fails it, and has no other effect.

Where bubblewrap cannot run, nothing is run, and `Sandbox.check` says why.

Not covered: faults of the kernel; and the memory that the kernel itself takes for empty files in ``/tmp``,
which is bounded only by time (some 100 MiB a second).

The map: `bubblewrap` finds `bwrap` and has its command line; `process` is a process in the sandbox as seen
from outside, and `sandbox` starts some at a time; `verdict` and `verifier` are what they are started for;
`inside` is the code that runs there.
"""

from trio_beam.benchmark.sandbox.inside.limits import Limits
from trio_beam.benchmark.sandbox.process import ProcessFailed
from trio_beam.benchmark.sandbox.sandbox import Sandbox
from trio_beam.benchmark.sandbox.verdict import judge
from trio_beam.benchmark.sandbox.verifier import Verifier

__all__ = ["Limits", "ProcessFailed", "Sandbox", "Verifier", "judge"]
