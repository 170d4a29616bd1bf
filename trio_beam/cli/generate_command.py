"""The work of ``trio-beam generate``: one search with its server, progress and output."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import trio
from rich.console import Console
from rich.text import Text

from trio_beam.cli.closing import describe_result, explain_nothing, explain_thinking
from trio_beam.cli.tree import print_tree
from trio_beam.command.observing import close_trace
from trio_beam.command.output import say, write, write_json
from trio_beam.core.events import Observer
from trio_beam.core.export import result_to_dict
from trio_beam.core.price import Prices
from trio_beam.core.printable import counted, printable
from trio_beam.core.prompt import PromptLike, check_prompt
from trio_beam.core.result import SearchFailed, SearchResult
from trio_beam.core.strategy import Strategy
from trio_beam.core.validation import number
from trio_beam.endpoint.cache import ResponseCache
from trio_beam.endpoint.endpoint import Endpoint
from trio_beam.engine.search import Search
from trio_beam.errors import LocalModelError
from trio_beam.local.server import serve_local
from trio_beam.observers.debug import DebugLines
from trio_beam.observers.progress import progress
from trio_beam.observers.trace import Trace
from trio_beam.traces import RecordedTrace
from trio_beam.traces.format import Line
from trio_beam.traces.writing import SearchLines

#: Said after a search on the embedded model, which few have come for.
_NEXT = "next: --json (all beams), --base-url URL (a server of yours), --help (the rest)"


@attrs.define(kw_only=True, eq=False)
class GenerateCommand:
    """The work of ``trio-beam generate``. Without a base URL: on the embedded model.

    Attributes:
        embedded: name of the embedded model, if that is asked.
        cache: of responses.
    """

    prompt: PromptLike
    strategy: Strategy
    base_url: str | None
    model: str | None
    api_key: str | None = attrs.field(repr=False)
    headers: Mapping[str, str] = attrs.field(repr=False)
    model_file: Path | None
    api: Any
    dialect: str
    max_concurrent: Any
    rates: Mapping[str, Any]
    attempt_timeout: float
    prices: Prices | str | None
    stream: bool
    within: float | None = number(minimum=0, optional=True)
    as_json: bool
    debug: bool
    quiet: bool
    tree: bool = False
    trace: Trace | None = None
    log: Observer | None = None
    embedded: str = attrs.field(default="", init=False)
    cache: ResponseCache | None = attrs.field(default=None, init=False)
    _seconds: float = attrs.field(default=0.0, init=False)
    _search: Search | None = attrs.field(default=None, init=False)
    _searching: trio.CancelScope = attrs.field(factory=trio.CancelScope, init=False)
    _server_error: LocalModelError | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        # Report invalid arguments before starting a server.
        check_prompt(self.prompt)
        self._endpoint(self.base_url or "http://127.0.0.1/v1")

    async def __call__(self, nursery: trio.Nursery) -> int:
        """Search, print, and return the exit code."""
        base_url = self.base_url
        if base_url is None:
            self._print_status(f"starting the embedded model, {self.embedded}")
            base_url = await nursery.start(self._serve)
        with self._searching:
            async with self._endpoint(base_url) as endpoint:
                return await self._run(endpoint, nursery)
        assert self._search is not None
        say(f"Error: {self._server_error}")
        self._print(self._search.best_so_far("failed"))
        return 1

    def interrupted(self) -> None:
        """Print the best result so far, after everything was cancelled."""
        if self._search is not None:
            self._print(self._search.best_so_far("interrupted"))

    async def _serve(self, task_status: trio.TaskStatus[str]) -> None:
        try:
            await serve_local(self.model_file, task_status=task_status)
        except LocalModelError as error:
            if self._search is None:
                raise
            self._server_error = error
            self._searching.cancel(reason="the embedded model ended")

    def _endpoint(self, base_url: str) -> Endpoint:
        return Endpoint(
            base_url,
            headers=self.headers,
            # A key belongs to a named server, not to the embedded model.
            api_key=self.api_key if self.base_url else None,
            model=self.model if self.base_url else None,
            api=self.api,
            dialect=self.dialect,
            max_concurrent=self.max_concurrent,
            **self.rates,
            attempt_timeout=self.attempt_timeout,
            prices=self.prices,
            stream=self.stream,
            cache=self.cache,
        )

    async def _run(self, endpoint: Endpoint, nursery: trio.Nursery) -> int:
        error: SearchFailed | None = None
        with ExitStack() as shown:
            observers: list[Observer] = [one for one in (self.trace, self.log) if one is not None]
            recorded = RecordedTrace()
            if self.tree:
                observers.append(_lines_into(recorded))
            if self.debug:
                observers.append(DebugLines(say))
            elif not self.quiet and self.log is None:
                watched = shown.enter_context(progress(Console(stderr=True), self._before))
                nursery.start_soon(watched.report)
                observers.append(watched)
            self._search = Search(endpoint, self.prompt, self.strategy, observers)
            start = trio.current_time()
            try:
                result = await self._search.run_within(
                    math.inf if self.within is None else self.within
                )
            except SearchFailed as failed:
                error, result = failed, failed.partial
            finally:
                self._seconds = trio.current_time() - start
        if error is not None:
            say(f"Error: {error}")
        self._print(result)
        if error is None and not result.beams:
            why = explain_nothing(result, self.strategy, self.within)
            say(f"Error: {why}")
        elif error is None and _unanswered(result):
            say(f"Error: {explain_thinking(result, self.strategy)}")
        if recorded.searches:
            print_tree(Console(stderr=True), recorded.searches[0])
        incomplete = close_trace(self.trace)
        found = error is None and result.beams and not _unanswered(result)
        return incomplete if found else 1

    def _print(self, result: SearchResult) -> None:
        if self.as_json:
            write_json(result_to_dict(result))
            return
        if result.beams and not _unanswered(result):
            self._print_text(result.beams[0].answer)
        if result.stop_reason in ("deadline", "interrupted", "failed"):
            what = "this is the best so far" if result.beams else "nothing had come back yet"
            self._print_status(
                f"{result.stop_reason} after {counted(result.rounds, 'round')}: {what}"
            )
        elif not result.exact:
            # A warning rather than progress, so --quiet does not suppress it.
            say(
                "inexact: continued by text, with log-probabilities that are approximated, or under fields"
                " that shape what is sampled; the scores may differ from those of the tokens sampled"
                " (--tokens-per-step as large as --max-tokens searches in one block, which continues"
                " nothing)"
            )
        if not result.beams:
            return
        if not result.beams[0].answer and not _unanswered(result):
            self._print_status("the answer is empty: the model ended its text at once")
        for line in describe_result(result, self.embedded or self.model or "", self._seconds):
            self._print_status(line)
        if self.embedded:
            self._print_status(_NEXT)

    @property
    def _before(self) -> str:
        """The text that the answer follows: the prompt, or the last message with the end of its line."""
        if isinstance(self.prompt, str):
            return self.prompt
        return f"{self.prompt[-1]['content']}\n"

    def _print_text(self, text: str) -> None:
        """Print the answer; at a terminal behind the dimmed prompt, which is no part of the output."""
        if sys.stdout.isatty() and sys.stderr.isatty() and not self.quiet:
            before = Text(printable(self._before, keep="\n\t"), "dim")
            Console(stderr=True).print(before, end="", soft_wrap=True)
        write(text)

    def _print_status(self, line: str) -> None:
        if not self.quiet:
            say(line)


def _lines_into(recorded: RecordedTrace) -> Observer:
    """Return an observer that keeps a trace in memory."""

    def add(lines: Sequence[Line]) -> None:
        for line in lines:
            recorded.add(line)

    return SearchLines(add, trio.current_time, 1, "", prompts=True, texts=True)


def _unanswered(result: SearchResult) -> bool:
    return bool(result.beams) and result.beams[0].unanswered
