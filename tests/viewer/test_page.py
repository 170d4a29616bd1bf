"""The page in a real browser: what it shows, how it is used, and that no text of others does harm."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.traces.searches import run_recorded
from tests.viewer.browser import (
    beams_in,
    faults_of_accessibility,
    launch,
    needs_axe,
    needs_chromium,
    opened,
    press,
    settle,
)
from tests.viewer.gateways import asking, shown_gateway
from tests.viewer.searches import STRATEGIES, record, record_requests
from trio_beam import BeamSearchConfig, McmcConfig
from trio_beam.cli.main import cli
from trio_beam.testing import FakeEndpoint, ScriptedModel

pytestmark = needs_chromium

HOSTILE = (
    "<script>window.harm = 1</script></script><img src=x onerror='window.harm = 2'><!--<script>"
    "\u202eleft\u2066 \x00\x1b[2J ]]> \\u003c &lt; `${window.harm = 3}` "
)
LONG = "word" * 100_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages of all kinds, written before the browser starts."""
    folder = tmp_path_factory.mktemp("pages")
    record_requests(folder / "small.jsonl", width=2, samples=2, rounds=3)
    record_requests(folder / "large.jsonl", width=25, rounds=11)
    record_requests(folder / "trouble.jsonl", width=4, rounds=5, trouble=True)
    chains = McmcConfig(tokens_per_step=4, max_tokens=8, chains=2, steps=1, seed=1)
    record_requests(folder / "chains.jsonl", width=2, rounds=2, strategy=chains)
    for name in STRATEGIES:
        record(folder / "all.jsonl", name)
    model = ScriptedModel([HOSTILE * 3 + LONG, HOSTILE + "shorter"])
    config = BeamSearchConfig(tokens_per_step=4, max_tokens=300)
    run_recorded(folder / "hostile.jsonl", model, config, prompt=HOSTILE)
    lines = (folder / "small.jsonl").read_bytes().splitlines(keepends=True)
    torn = [*lines[:14], b"damaged\n", *lines[14:17], lines[17][:30]]
    (folder / "torn.jsonl").write_bytes(b"".join(torn))
    for path in sorted(folder.glob("*.jsonl")):
        view(path)
    return folder


def view(*words: object, out: Path | None = None) -> None:
    out = out or Path(str(words[0])).with_suffix(".html")
    run = CliRunner().invoke(cli, ["view", *map(str, words), "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert run.stdout == ""


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


def text_of(page: Page) -> str:
    """The text of the chosen beam."""
    return page.locator("aside .text").inner_text()


@needs_axe
@pytest.mark.parametrize(("name", "beams"), [("small", 12), ("large", 1_100)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_is_used_by_mouse_and_keys(
    browser: Browser, folder: Path, name: str, beams: int, scheme: str
) -> None:
    url = (folder / f"{name}.html").as_uri()
    with opened(browser, url, color_scheme=scheme) as page:
        expect(page.locator(".tiles")).to_contain_text(f"{beams:,}")
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(20, 22, 26)") == (scheme == "dark")
        page.get_by_role("button", name="Cards").click()
        # Only what is in view is in the document.
        assert 4 <= beams_in(page) <= 120
        answer = text_of(page)
        assert answer.strip() == page.locator(".answer bdi").inner_text()[: len(answer.strip())]

        page.get_by_role("treeitem").first.click()
        settle(page)
        first = text_of(page)
        assert answer.startswith(first)
        press(page, "ArrowRight")
        assert answer.startswith(text_of(page))
        assert len(text_of(page)) > len(first)
        press(page, "ArrowDown")
        assert not answer.startswith(text_of(page))
        press(page, "Home")
        assert text_of(page) == answer
        selected = page.get_by_role("treeitem", selected=True)
        expect(selected).to_have_count(1)
        expect(selected).to_be_in_viewport()

        press(page, "/")
        words = answer.split()
        page.keyboard.type(" ".join(words[4:6]))  # the end of a block and the beginning of the next
        output = page.locator("output")
        expect(output).to_have_text(re.compile(r"\d+ of [1-9]|^[1-9]"))
        press(page, "Enter")
        assert " ".join(words[4:6]) in text_of(page)
        expect(page.locator("aside mark").first).to_be_visible()
        press(page, "Escape")
        expect(output).to_have_text("")

        press(page, "d")
        expect(page.get_by_role("button", name="Dropped beams")).to_have_attribute(
            "aria-pressed", "false"
        )
        expect(page.locator(".beam.fate-dropped")).to_have_count(0)
        press(page, "d")
        for number, tab in enumerate(["Tree", "Requests", "Rounds", "About"], 1):
            press(page, str(number))
            expect(page.get_by_role("tab", selected=True)).to_contain_text(tab)
            if name == "small" or tab == "Tree":
                assert faults_of_accessibility(page) == []
        press(page, "t")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != background


def test_a_large_tree_is_scrolled(browser: Browser, folder: Path) -> None:
    """Every place shows its own beams, and they are few."""
    with opened(browser, (folder / "large.html").as_uri()) as page:
        page.get_by_role("button", name="Lines").click()
        seen: set[str] = set()
        for _ in range(12):
            seen |= set(page.locator(".beam").evaluate_all("all => all.map(one => one.id)"))
            assert beams_in(page) < 400
            page.locator(".tree").evaluate("one => one.scrollBy(0, 700)")
            settle(page)
        assert len(seen) > 300


def test_every_request_is_drawn(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "trouble.html").as_uri()) as page:
        press(page, "2")
        rows = page.get_by_role("option")
        expect(rows).to_have_count(17)
        for kind in ("wait", "response", "error", "cancelled", "response.hedge"):
            expect(page.locator(f".rows .bar.{kind}").first).to_be_attached()
        expect(page.locator(".rows .retry").first).to_be_attached()
        expect(page.locator(".pause")).to_have_count(1)
        history = page.locator("aside .attempts")
        told = ""
        for row in page.locator(".request", has=page.locator(".bar.error")).all():
            row.click()
            settle(page)
            told += history.inner_text()
        for words in ("failed: RateLimited: ", "will be sent again after", "answered after"):
            assert words in told
        page.locator(".request", has=page.locator(".bar.hedge")).first.click()
        expect(history).to_contain_text("sent again beside the first (hedge)")
        expect(history).to_contain_text("cancelled after")
        press(page, "ArrowDown")
        width = page.locator(".rows").evaluate("one => one.clientWidth")
        press(page, "+")
        assert page.locator(".rows").evaluate("one => one.clientWidth") > 1.6 * width


#: What the rounds of a strategy are drawn by, beside what all have.
PICTURES = {
    "particles": {"Weights of the particles", "Effective sample size", "Rollouts"},
    "moves": {
        *("Weights of the particles", "Effective sample size"),
        "Acceptance of the particles' moves",
    },
    "chains": {"Acceptance of the chains"},
    "votes": {"Votes"},
    "judge": {"The judge's answers"},
}


def test_nothing_is_scrolled_that_fits(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "small.html").as_uri()) as page:
        page.set_viewport_size({"width": 1300, "height": 900})
        for size in ("Cards", "Lines", "Dots"):
            page.get_by_role("button", name=size).click()
            expect(page.locator(f".size-{size.lower()}")).to_be_visible()
            hidden = (
                "one => [one.scrollWidth - one.clientWidth, one.scrollHeight - one.clientHeight]"
            )
            assert page.locator(".tree").evaluate(hidden) == [0, 0]
        page.set_viewport_size({"width": 360, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_requests_of_chains_are_called_so(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "chains.html").as_uri()) as page:
        expect(page.locator(".columns b").first).to_have_text("Part 1")
        press(page, "2")
        expect(page.locator(".group .name b")).to_have_text(["Block 1", "Block 2"])
        assert set(page.locator(".request .name").all_inner_texts()) == {"chain 1", "chain 2"}
        page.locator(".request").first.click()
        expect(page.locator("aside .why")).to_have_text("chain 1, block 1")


def test_every_strategy_has_its_pictures(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "all.html").as_uri()) as page:
        press(page, "3")
        for place, (name, (_, words)) in enumerate(STRATEGIES.items()):
            page.get_by_label("Search", exact=True).select_option(index=place)
            expect(page.locator(".prompt")).to_contain_text(f"Tell me about {name}")
            expect(page.locator(".how")).to_contain_text(words)
            expect(page.locator("aside h2")).to_have_text("The answer")
            usual = set() if name == "chains" else {"Scores by round", "Rounds"}
            shown = set(page.locator("figcaption b").all_inner_texts())
            assert shown == usual | PICTURES.get(name, set())
            if name == "votes":
                shares = page.locator(".votes li > span").all_inner_texts()
                total = sum(float(one.split("%")[0]) for one in shares)
                assert total == pytest.approx(100, abs=2)


def test_hostile_texts_do_no_harm(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "hostile.html").as_uri()) as page:
        assert page.evaluate("document.scripts.length") == 3  # about, the search, and ours
        for key in "1234":
            press(page, key)
            assert page.evaluate("'harm' in window") is False
            expect(page.locator("img")).to_have_count(0)
        shown = page.locator("body").inner_text()
        assert "<script>window.harm = 1</script>" in shown
        assert not set("\u202e\u2066\x00\x1b") & set(shown)
        assert "\\u202eleft\\u2066" in shown
        press(page, "1")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        page.get_by_role("treeitem").last.click()
        assert len(page.locator("aside").inner_text()) < 25_000


def test_no_other_script_is_run(browser: Browser, folder: Path) -> None:
    """Not even one that found its way into the document: the page's policy names its own by its digest."""
    page = browser.new_page()
    page.goto((folder / "small.html").as_uri())
    page.evaluate(
        "() => { const one = document.createElement('script'); one.text = 'window.harm = 4';"
        " document.body.append(one); document.body.innerHTML += '<img src=x onerror=\"harm = 5\">'; }"
    )
    settle(page)
    assert page.evaluate("'harm' in window") is False
    page.context.close()


def test_a_torn_trace_says_so(browser: Browser, folder: Path) -> None:
    with opened(browser, (folder / "torn.html").as_uri()) as page:
        notes = page.locator(".notes")
        expect(notes).to_contain_text("the last line of the trace is not whole")
        expect(notes).to_contain_text("1 damaged line was passed over")
        expect(page.locator(".how")).to_contain_text("has no end yet")
        expect(page.locator(".how")).to_contain_text("damaged lines")
        assert beams_in(page) > 0


@needs_axe
def test_two_searches_side_by_side(browser: Browser, folder: Path) -> None:
    out = folder / "both.html"
    view("--compare", folder / "all.jsonl", folder / "small.jsonl", out=out)
    with opened(browser, out.as_uri()) as page:
        names = ["all.jsonl, search 1", "small.jsonl"]
        expect(page.locator(".sides section h2 bdi")).to_have_text(names)
        expect(page.locator(".differences")).to_contain_text("tokens_per_step")
        expect(page.locator(".mark-only").nth(4)).to_be_attached()
        # Beams and subtrees began with the same samples, and went on with others.
        page.get_by_label("Compare with").select_option(index=list(STRATEGIES).index("subtrees"))
        left, right = page.locator(".sides section").all()
        expect(left.locator("h2 small")).to_contain_text("4 beams in both")
        expect(page.locator(".mark-changed").first).to_be_attached()
        expect(right.locator(".mark-only").first).to_be_attached()
        same = left.get_by_role("treeitem").first
        same.click()
        settle(page)
        text = same.locator(".words").inner_text()
        assert right.get_by_role("treeitem", selected=True).locator(".words").inner_text() == text
        expect(page.locator("tr.differs", has_text="selection")).to_be_visible()
        expect(page.locator(".differences del, .differences ins").first).to_be_attached()
        assert faults_of_accessibility(page) == []
        page.get_by_label("Compare with").select_option("")
        expect(page.get_by_role("tablist")).to_be_visible()


def test_what_differs_behind_what_is_shown_is_said(
    browser: Browser, folder: Path, tmp_path: Path
) -> None:
    for name, alpha in (("one", 4.0), ("other", 4.0 + 1e-9)):  # which the scores show in no digit
        config = BeamSearchConfig(tokens_per_step=2, max_tokens=4, seed=1, alpha=alpha)
        run_recorded(tmp_path / name, FakeEndpoint(), config, prompt="Once " * 100 + name)
    view("--compare", tmp_path / "one", tmp_path / "other", out=folder / "long.html")
    with opened(browser, (folder / "long.html").as_uri()) as page:
        expect(page.locator("tr.differs", has_text="prompt")).to_be_visible()
        expect(page.locator("tr.differs", has_text=re.compile(r"score\W*\d"))).to_be_visible()


def test_a_page_follows_a_growing_trace(browser: Browser, folder: Path, tmp_path: Path) -> None:
    lines = (folder / "small.jsonl").read_bytes().splitlines(keepends=True)
    path = tmp_path / "run.jsonl"
    path.write_bytes(b"".join(lines[:14]) + lines[14][:20])
    command = [sys.executable, "-m", "trio_beam", "view", str(path), "--live"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", url)
        with opened(browser, url, expected="ERR_") as page:
            expect(page.locator(".how")).to_contain_text("has no end yet")
            expect(page.locator(".notes")).to_contain_text("still being written")
            before = beams_in(page)
            with path.open("ab") as file:
                file.write(lines[14][20:] + b"".join(lines[15:]))
            expect(page.locator(".how")).to_contain_text("at the maximum length")
            expect(page.locator(".notes")).to_have_count(0)
            assert beams_in(page) > before
            with path.open("ab") as file:  # another search begins: it is shown
                file.write(b"".join(lines[:12]))
            expect(page.locator(".how")).to_contain_text("has no end yet")
            page.get_by_label("Search", exact=True).select_option(index=0)
            expect(page.locator(".how")).to_contain_text("at the maximum length")
            server.send_signal(signal.SIGINT)
            assert server.wait(10) == 130
            expect(page.locator(".notes")).to_contain_text("connection to the server is lost")
            page.evaluate("window.stop()")


def test_the_searches_of_a_gateway(browser: Browser) -> None:
    key = "key-of-the-gateway"
    with shown_gateway(key) as (url, go_on), opened(browser, f"{url}/ui", expected="401") as page:
        field = page.get_by_label("Key of the gateway")
        field.fill("another-key")
        press(page, "Enter")
        expect(page.locator(".key")).to_contain_text("does not know this key")
        field.fill(key)
        page.get_by_role("button", name="Show").click()
        expect(page.locator(".empty")).to_contain_text("No search has run yet")
        with asking(url, key, "Tell me a secret"):
            expect(page.locator(".prompt")).to_contain_text("Tell me a secret")
            expect(page.locator(".how")).to_contain_text("has no end yet")
            expect(page.locator(".beam")).to_have_count(4)
            go_on()
            expect(page.locator(".how")).not_to_contain_text("has no end yet")
        with asking(url, key, "Another one"):
            pass
        # What is looked at stays; the other is in the list.
        expect(page.locator(".prompt")).to_contain_text("Tell me a secret")
        page.get_by_label("Search", exact=True).select_option(index=1)
        expect(page.locator(".prompt")).to_contain_text("Another one")


def test_a_page_is_complete_and_small(folder: Path) -> None:
    page = (folder / "small.html").read_text("utf-8")
    assert len(page) < 250_000
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "connect-src 'none'" in policy
    assert not re.search(r"<(?:script|img|iframe)[^>]* src=|<link[^>]*href=\"http", page)
