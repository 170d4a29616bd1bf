"""A beam's bytes in a request: those of its blocks one by one, and each block encoded once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import beam_of
from tests.dialects.strategies import block, unhurried
from trio_beam.core.beam import Beam
from trio_beam.dialects.common.encoding import PrefixEncoder


class Counting:
    """Encodes a block by its ids, and remembers which it was asked for."""

    def __init__(self) -> None:
        self.calls: list[Beam] = []

    def __call__(self, beam: Beam) -> bytes:
        assert beam.continuation is not None
        self.calls.append(beam)
        return b"".join(b",%d" % (token.id or 0) for token in beam.continuation.tokens)


def _one_by_one(beam: Beam) -> bytes:
    return b"".join(map(Counting(), beam.lineage()))


def _child(parent: Beam, numbers: list[int]) -> Beam:
    return parent.extend(block([b"x"] * len(numbers), numbers))


@unhurried()
@given(st.data())
def test_the_same_bytes_in_whatever_order(data: st.DataObject) -> None:
    tree = [Beam()]
    for numbers in data.draw(st.lists(st.lists(st.integers(0, 999), max_size=3), max_size=15)):
        tree.append(_child(data.draw(st.sampled_from(tree)), numbers))
    encode = PrefixEncoder(Counting())
    for beam in data.draw(st.lists(st.sampled_from(tree), max_size=40)):
        assert encode(beam) == _one_by_one(beam)


def test_the_empty_beam_has_no_bytes() -> None:
    counting = Counting()
    assert PrefixEncoder(counting)(Beam()) == b""
    assert counting.calls == []


@unhurried()
@given(st.integers(1, 4), st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_each_block_once_along_a_growing_chain(asked: int, sizes: list[int]) -> None:
    """However many requests each of the beams is in."""
    counting = Counting()
    encode = PrefixEncoder(counting)
    beam, chain = Beam(), []
    for size in sizes:
        beam = _child(beam, list(range(size)))
        chain.append(beam)
        for _ in range(asked):
            assert encode(beam) == _one_by_one(beam)
    assert counting.calls == chain


@unhurried()
@given(st.integers(1, 4), st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), max_size=8))
def test_each_block_once_in_a_search(width: int, rounds: list[list[int]]) -> None:
    """Each round's beams are children of the last one's, several maybe of the same."""
    counting = Counting()
    encode = PrefixEncoder(counting)
    active, blocks = [Beam()], 0
    for parents in rounds:
        active = [_child(active[parent % len(active)], [7, 8]) for parent in parents[:width]]
        blocks += len(active)
        for beam in active:
            encode(beam)
    assert len(counting.calls) == blocks


def test_a_beam_that_was_not_asked_for_is_encoded_with_its_ancestors() -> None:
    counting = Counting()
    assert PrefixEncoder(counting)(beam_of("one", "three")) == b",3,5"
    assert len(counting.calls) == 2
