"""Start processes in the sandbox, a bounded number at a time."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import attrs
import trio

from trio_beam.benchmark.sandbox.bubblewrap import Bubblewrap, find_bubblewrap
from trio_beam.benchmark.sandbox.inside.limits import Limits
from trio_beam.benchmark.sandbox.process import ProcessFailed, SandboxProcess


@attrs.define(eq=False)
class Sandbox:
    """Starts processes with common limits, and keeps none of them.

    Attributes:
        limits: what each process may use.
    """

    limits: Limits = attrs.field(factory=Limits)
    _bubblewrap: Bubblewrap | None = attrs.field(default=None, init=False)
    _slots: trio.CapacityLimiter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._slots = trio.CapacityLimiter(os.cpu_count() or 1)

    async def check(self) -> Bubblewrap:
        """Check that bubblewrap works, the first time by running Python in it.

        Raises:
            BenchmarkError: there is none; the message says why.
        """
        if self._bubblewrap is None:
            self._bubblewrap = await trio.to_thread.run_sync(find_bubblewrap)
        return self._bubblewrap

    def slot(self) -> AbstractAsyncContextManager[None]:
        """Hold one of the slots for jobs, of which there are as many as processor cores."""
        return self._slots

    @asynccontextmanager
    async def process(self, *role: str) -> AsyncIterator[SandboxProcess]:
        """Start a process that plays a role; on exit, end it and everything it has started.

        Raises:
            BenchmarkError: nothing can be run on this machine.
        """
        bubblewrap = await self.check()
        process = await SandboxProcess.start(bubblewrap, role, self.limits)
        try:
            yield process
        finally:
            await process.aclose()  # noqa: ASYNC102  # shielded, with a deadline, inside

    @contextmanager
    def time_limit(self) -> Iterator[None]:
        """Limit the ``with`` block to the wall time of its limits.

        Raises:
            ProcessFailed: it took longer, and was cancelled.
        """
        with trio.move_on_after(self.limits.seconds) as scope:
            yield
        if scope.cancelled_caught:
            raise ProcessFailed(f"timed out after {self.limits.seconds:g} s")
