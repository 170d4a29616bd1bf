"""Measure the page of a search with 1,100 beams in Chromium, and how a large trace is read.

uv run --group dev python scripts/bench_view.py
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import trio
from playwright.sync_api import sync_playwright
from trio.testing import MockClock

import trio_beam
from trio_beam.observers import Trace
from trio_beam.testing import FakeEndpoint
from trio_beam.viewer.page import page
from trio_beam.viewer.recorded import RecordedSearches
from trio_beam.viewer.shown import page_data

WIDTH, SAMPLES, ROUNDS = 25, 4, 11
PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
#: Scroll by hand, as it were: 12 pixels a frame down and to the right, and note the time of each frame.
SCROLL = """
() => new Promise(done => {
  const box = document.querySelector('[role=tree]'), times = [];
  let before = performance.now();
  const step = now => {
    times.push(now - before); before = now;
    box.scrollBy(4, 12);
    if (times.length < 240) requestAnimationFrame(step); else done(times.slice(2));
  };
  requestAnimationFrame(step);
})
"""


def record(path: Path, top: int) -> None:
    config = trio_beam.BeamSearchConfig(
        beam_width=WIDTH,
        n_per_beam=SAMPLES,
        tokens_per_step=8,
        max_tokens=8 * ROUNDS,
        top_logprobs=top,
        deduplicate=False,
        early_stopping=False,
        scorer="equal",
        seed=1,
    )

    async def run() -> None:
        with Trace(path) as trace:
            await trio_beam.search(FakeEndpoint(latency=1), "Once", config, observers=[trace])

    trio.run(run, clock=MockClock(autojump_threshold=0))


def written(source: RecordedSearches, out: Path) -> Any:
    about, searches = page_data([source], mode="file")
    out.write_bytes(b"".join(page("measured", about, searches)))
    return about


def measure_page(folder: Path) -> None:
    record(folder / "run.jsonl", top=0)
    out = folder / "run.html"
    about = written(RecordedSearches(folder / "run.jsonl"), out)
    empty = b"".join(page("empty", {**about, "searches": []}))
    beams = about["searches"][0]["beams"]
    print(f"the page without data: {len(empty) / 1000:.0f} kB")
    print(f"with {beams} beams: {out.stat().st_size / 1000:.0f} kB")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        for size in ("Cards", "Lines", "Dots"):
            tab = browser.new_page(viewport={"width": 1280, "height": 800})
            tab.goto(out.as_uri())
            tab.get_by_role("treeitem").first.wait_for()
            paint = tab.evaluate(PAINT)
            tab.get_by_role("button", name=size).click()
            tab.evaluate("document.querySelector('[role=tree]').scrollTo(0, 0)")
            session = tab.context.new_cdp_session(tab)
            session.send("Performance.enable", {"timeDomain": "threadTicks"})
            before = task_seconds(session)
            frames = sorted(tab.evaluate(SCROLL))
            work = 1000 * (task_seconds(session) - before) / len(frames)
            nodes = tab.get_by_role("treeitem").count()
            print(
                f"{size}: first paint after {paint:.0f} ms; {nodes} beams in the document; while scrolling"
                f" {work:.1f} ms of CPU a frame, and a frame each {frames[len(frames) // 2]:.1f} ms"
                f" (median; 95 %: {frames[len(frames) * 95 // 100]:.1f} ms)"
            )
            tab.close()
        browser.close()


def task_seconds(session: Any) -> float:
    """CPU time of the page's main thread."""
    metrics = {
        one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]
    }
    return float(metrics["TaskDuration"])


def measure_reading(folder: Path) -> None:
    record(folder / "one.jsonl", top=8)
    one = (folder / "one.jsonl").read_bytes()
    large = folder / "large.jsonl"
    with large.open("wb") as file:
        while file.tell() < 100_000_000:
            file.write(one)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    source = RecordedSearches(large)
    seconds = time.process_time() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    about = written(source, folder / "large.html")
    left = sum(one["left_out"] for one in about["searches"])
    print(
        f"a trace of {large.stat().st_size / 1e6:.0f} MB with {source.count} searches: read in"
        f" {seconds:.1f} s of CPU, memory grows by {grown / 1000:.0f} MB; a page of"
        f" {(folder / 'large.html').stat().st_size / 1e6:.1f} MB, {left} searches left out"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        measure_page(Path(name))
        measure_reading(Path(name))
