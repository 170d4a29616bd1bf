"""Each quirk by itself: the search finds what it would without it, or says what to do; it learns once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.quirks.searching import WAYS, Way, check, run_session
from tests.servers.quirks import QUIRKS, Quirk

pytestmark = [pytest.mark.promise(6)]


def _ways(quirk: Quirk) -> list[Way]:
    """As completions and as a stream of a chat, or as the quirk has it."""
    ways = [way for way in WAYS if way.has(quirk)]
    return ways if len(ways) < len(WAYS) else [WAYS[0], WAYS[-1]]


@pytest.mark.parametrize("name", QUIRKS)
def test_what_the_table_says(name: str) -> None:
    quirks = [QUIRKS[name]]
    for way in _ways(quirks[0]):
        check(run_session(quirks, way), quirks, way)


def test_the_page_has_every_kind() -> None:
    page = (Path(__file__).parents[2] / "docs" / "servers.md").read_text("utf-8")
    rows = page.partition("| kind |")[2].partition("\n\n")[0].splitlines()[2:]
    kinds = {row.split("|")[1].strip() for row in rows}
    assert kinds == {quirk.kind for quirk in QUIRKS.values()}
