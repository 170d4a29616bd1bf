"""A wait is as long as the server asked, in whatever words."""

from __future__ import annotations

import pytest

from tests.quirks.searching import WAYS, run_session
from tests.servers.quirks import QUIRKS
from tests.servers.quirks.table.waits import WAITS

pytestmark = pytest.mark.promise(4)


@pytest.mark.parametrize("name", WAITS)
def test_the_wait(name: str) -> None:
    seconds = WAITS[name][0]
    session = run_session([QUIRKS[f"wait by {name}"]], WAYS[0], searches=1)
    first, second = session.front.times[:2]
    assert seconds <= second - first < seconds + 0.5
