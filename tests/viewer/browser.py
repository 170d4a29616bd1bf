"""Pages in a real browser: Debian's Chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright

import trio_beam.viewer

CHROMIUM = shutil.which("chromium")
_AXE = Path(trio_beam.viewer.__file__).parent / "frontend/node_modules/axe-core/axe.min.js"
_IN_CI = bool(os.environ.get("CI"))
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None and not _IN_CI, reason="chromium is not installed"
)
needs_axe = pytest.mark.skipif(
    not (_AXE.exists() or _IN_CI), reason="axe-core is not installed: bash scripts/check_viewer"
)
_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def launch(playwright: Playwright) -> Browser:
    """Start the browser, with an empty profile."""
    assert CHROMIUM is not None
    return playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))


@contextmanager
def opened(browser: Browser, url: str, *, expected: str = "", **context: Any) -> Iterator[Page]:
    """Open a page; fail if it says anything on its console, raises, opens a dialog, or asks another host.

    Args:
        browser: to open it in.
        url: of the page.
        expected: what it may say.
        context: settings of the browser.
    """
    faults: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 800}, **context)
    page.set_default_timeout(10_000)
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: faults.append(dialog.message))
    page.on(
        "request", lambda request: faults.append(request.url) if not ours(request.url) else None
    )
    origin = url.split("/", 3)[:3]

    def ours(asked: str) -> bool:
        return (
            asked == url
            or asked.startswith("data:")
            or (asked.startswith("http") and asked.split("/", 3)[:3] == origin)
        )

    try:
        page.goto(url)
        yield page
        faults = [one for one in faults if not expected or expected not in one]
        if faults:
            pytest.fail("\n".join(faults))
    finally:
        page.context.close()


def press(page: Page, key: str) -> None:
    """Press a key, and wait until what it changes is drawn."""
    page.keyboard.press(key)
    settle(page)


def settle(page: Page) -> None:
    """Wait for the next two frames: one may only measure what the other draws."""
    frame = "new Promise(done => requestAnimationFrame(() => setTimeout(done)))"
    page.evaluate(f"async () => {{ await {frame}; await {frame}; }}")


def faults_of_accessibility(page: Page) -> list[str]:
    """The serious and critical violations that axe-core finds."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE.read_text("utf-8"))
    found = page.evaluate("axe.run({resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found["violations"]
        if one["impact"] in {"serious", "critical"}
        for node in one["nodes"]
    ]


def beams_in(page: Page) -> int:
    """How many beams are in the document."""
    return page.get_by_role("treeitem").count()
