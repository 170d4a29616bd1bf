"""Each quirk by itself, in each way to ask a server that has it."""

from __future__ import annotations

import pytest

from tests.quirks.searching import WAYS, Way, check, run_session
from tests.servers.quirks import QUIRKS

CASES = [
    pytest.param(name, way, id=f"{name} ({way})")
    for name, quirk in QUIRKS.items()
    for way in WAYS
    if way.has(quirk)
]


@pytest.mark.parametrize(("name", "way"), CASES)
def test_what_the_table_says(name: str, way: Way) -> None:
    quirks = [QUIRKS[name]]
    check(run_session(quirks, way), quirks, way)
