"""Number the beams of a search, so that each is written once and named by its number after that."""

from __future__ import annotations

from collections.abc import Sequence

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation
from trio_beam.traces.format import Node, number
from trio_beam.traces.values import keys_to_plain


class BeamNumbers:
    """The numbers of a search's beams. A beam without tokens has the number 0.

    Args:
        texts: whether to write texts and tokens.
    """

    def __init__(self, *, texts: bool) -> None:
        self._texts = texts
        self._new: list[Node] = []
        #: Number of each beam, by the `id` of its last block, which copies with other scores share. The block
        #: is kept with it: the id of an object that is gone may be another's.
        self._numbers: dict[int, tuple[int, Continuation]] = {}
        self._last = 0
        #: Blocks as the model gave them, until the beams that they make are known.
        self._blocks: dict[int, tuple[Continuation, tuple[int, int]]] = {}

    def sampled(self, block: Continuation, source: tuple[int, int]) -> None:
        """Note in which line of samples a block stands.

        Args:
            block: from the model.
            source: number of the line, and of the sample in it.
        """
        self._blocks[id(block)] = block, source

    def of(self, beam: Beam) -> int:
        """Return the number of a beam; a new one is to be written first, with its lineage."""
        block = beam.continuation
        if block is None:
            return 0
        found = self._numbers.get(id(block))
        if found is not None:
            return found[0]
        parent = 0 if beam.parent is None else self.of(beam.parent)
        self._last += 1
        self._numbers[id(block)] = self._last, block
        _, source = self._blocks.get(id(block), (None, None))
        self._new.append(
            Node(
                node=self._last,
                parent=parent,
                block=source,
                keys=keys_to_plain(block.keys) if source is None and self._texts else None,
                text=beam.added_text if self._texts else None,
                length=beam.length,
                logprob=number(beam.logprob),
                finish=beam.finish_reason,
                finished=beam.finished,
            )
        )
        return self._last

    def take_new(self) -> list[Node]:
        """Return the beams that are to be written now."""
        new, self._new = self._new, []
        return new

    def forget_others(self, kept: Sequence[Beam]) -> None:
        """Keep the numbers of beams that later events may name: those kept, and what they continue."""
        blocks = {id(node.continuation) for beam in kept for node in beam.lineage()}
        self._numbers = {key: value for key, value in self._numbers.items() if key in blocks}
        self._blocks.clear()
