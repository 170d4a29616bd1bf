"""Draw pages of `trio-beam view` for the docs: a PNG of 64 colours each, 1280 by 800.

uv run --group dev python scripts/draw_view.py search.html docs/pictures/view_tree.png [light|dark] [KEY ...]

The keys are those of the page: 2 shows its requests, - makes beams smaller.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright


def draw(page: Path, out: Path, scheme: str, keys: list[str]) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        size = {"width": 1280, "height": 800}
        tab = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        tab.goto(page.resolve().as_uri())
        for key in keys:
            tab.keyboard.press(key)
        tab.wait_for_timeout(200)
        picture = Image.open(io.BytesIO(tab.screenshot()))
        browser.close()
    picture.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(out, optimize=True)
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    scheme = sys.argv[3] if len(sys.argv) > 3 else "light"
    draw(Path(sys.argv[1]), Path(sys.argv[2]), scheme, sys.argv[4:])
