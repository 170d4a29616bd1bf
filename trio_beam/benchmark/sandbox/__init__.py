"""Run model-written programs, and verifiers of answers, under bubblewrap. Linux only.

Guaranteed for each process in the sandbox, whatever it does:

- **Isolation.** It has its own namespaces and no privileges: it cannot reach the network, other processes or
  shared memory. It sees only Python, installed packages and the system's libraries, all read-only, and an
  empty ``/tmp`` in memory that disappears with it. It inherits no environment and no open files. Its
  output is discarded.
- **Limits** on wall time, processor time, memory, files and message size (`Limits`).
- **No other processes.** A program cannot start processes or threads or open sockets. A filter of system
  calls refuses this and everything else that namespaces and limits do not cover (`filter`).
- **Termination.** When the call that needs it returns, raises or is cancelled, everything in the sandbox is
  gone: the kernel kills it with the sandbox's first process. The same happens if this process is killed.

A program cannot decide its own verdict. Its tests run in another sandbox and call it through this process;
only data crosses, and equality is decided on the side of the tests (`verdict`). Verifiers never execute an
answer (`inside.evaluate`). A report passes or fails an answer and has no other effect.

Where bubblewrap cannot run, nothing is run, and `Sandbox.check` says why.

Not covered: bugs in the kernel, and kernel memory for empty files in ``/tmp``, which only time bounds (some
100 MiB per second).

The map: `bubblewrap` finds `bwrap` and builds its command line; `process` controls a process in the sandbox
from outside, and `sandbox` starts a bounded number of them; `verdict` and `verifier` use them; `inside` is
the code that runs in the sandbox.
"""

from trio_beam.benchmark.sandbox.inside.limits import Limits
from trio_beam.benchmark.sandbox.process import ProcessFailed
from trio_beam.benchmark.sandbox.sandbox import Sandbox
from trio_beam.benchmark.sandbox.verdict import judge
from trio_beam.benchmark.sandbox.verifier import Verifier

__all__ = ["Limits", "ProcessFailed", "Sandbox", "Verifier", "judge"]
