"""What a run says while it waits, in virtual time."""

from __future__ import annotations

import trio
from rich.console import Console
from trio.testing import MockClock

from tests.servers.mock_server import MockServer
from trio_beam import BeamSearchConfig, search
from trio_beam.batch.folder import Answer
from trio_beam.batch.progress import BatchProgress, progress

CONFIG = BeamSearchConfig(tokens_per_step=4, max_tokens=4, seed=1)


async def run(shown: BatchProgress) -> None:
    """Two prompts, one after the other, of 26 s each."""
    async with MockServer(latency=26).endpoint() as endpoint, trio.open_nursery() as nursery:
        nursery.start_soon(shown.report)
        for name in "ab":
            result = await search(endpoint, name, CONFIG, observers=[shown.watch()])
            shown.generated(result.usage.completion_tokens)
            shown.finished(Answer(id=name, text="", digest="", cost=0.001))
        nursery.cancel_scope.cancel()


async def test_a_line_says_what_is_waited_for(autojump_clock: MockClock) -> None:
    console = Console(record=True, force_terminal=False, quiet=False, width=200)
    with progress(console, 2, quiet=False) as shown:
        await run(shown)
    assert console.export_text().splitlines() == [
        "waiting for 1 answer, 10 s; 0 tokens, 0.0 prompts/s, 0 tokens/s",
        "waiting for 1 answer, 20 s; 0 tokens, 0.0 prompts/s, 0 tokens/s",
        # Six seconds after the line before, the first outcome is no line of its own.
        "waiting for 1 answer, 4 s; 16 tokens, 2.0 prompts/min, 1 tokens/s, $0.0010, 30 s left",
        "waiting for 1 answer, 14 s; 16 tokens, 1.5 prompts/min, 0 tokens/s, $0.0010, 40 s left",
        "waiting for 1 answer, 24 s; 16 tokens, 1.2 prompts/min, 0 tokens/s, $0.0010, 50 s left",
        "2 of 2 prompts; 32 tokens, 2.3 prompts/min, 1 tokens/s, $0.0020",
    ]


async def test_quiet_says_nothing(autojump_clock: MockClock) -> None:
    console = Console(record=True, force_terminal=False, quiet=False, width=200)
    with progress(console, 2, quiet=True) as shown:
        await run(shown)
    assert console.export_text() == ""
    assert shown.done == 2


async def test_a_terminal_draws_it_below_the_bar(autojump_clock: MockClock) -> None:
    console = Console(force_terminal=True, width=80, height=20, color_system=None)
    with console.capture(), progress(console, 2, quiet=False) as shown:
        async with MockServer(latency=25).endpoint() as endpoint, trio.open_nursery() as nursery:
            nursery.start_soon(lambda: search(endpoint, "p", CONFIG, observers=[shown.watch()]))
            await trio.sleep(7)
            assert shown._bars is not None
            drawn = console.render_lines(shown._bars.get_renderable(), pad=False)
    text = "".join(segment.text for line in drawn for segment in line)
    assert "0/2" in text
    assert "waiting for 1 answer, 7 s" in text
