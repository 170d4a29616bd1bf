"""Servers with several quirks, drawn at random from the table."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.strategies import unhurried
from tests.quirks.searching import WAYS, Way, check, run_session
from tests.servers.quirks import QUIRKS, Quirk

KINDS = sorted({quirk.kind for quirk in QUIRKS.values()})


@st.composite
def servers(draw: st.DrawFn) -> tuple[Way, list[str]]:
    """A way to ask, and quirks that show then; no two are about the same."""
    way = draw(st.sampled_from(WAYS))
    names: list[str] = []
    for kind in draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)):
        taken = {word for name in names for word in QUIRKS[name].about.split()}
        fits = [
            name
            for name, quirk in QUIRKS.items()
            if quirk.kind == kind and way.has(quirk) and taken.isdisjoint(quirk.about.split())
        ]
        if fits:
            names.append(draw(st.sampled_from(fits)))
    return way, names


@unhurried(150)
@given(servers())
def test_a_server_with_quirks(server: tuple[Way, list[str]]) -> None:
    way, names = server
    quirks: list[Quirk] = [QUIRKS[name] for name in names]
    check(run_session(quirks, way), quirks, way)
