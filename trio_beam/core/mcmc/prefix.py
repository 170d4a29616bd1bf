"""Cut a beam between any two of its tokens."""

from __future__ import annotations

from trio_beam.core.beam import Beam
from trio_beam.core.block import LENGTH, Continuation


def prefix(beam: Beam, count: int) -> Beam:
    """Return the first `count` tokens of a beam, as a beam that can be continued.

    It shares all complete blocks with the beam; the cost is that of the cut block and the number of
    blocks. If the tokens of the cut block do not spell its text (``exact=False`` anyway, on a server that
    continues by text), the new text is what they spell.

    Args:
        beam: may have ended; its prefix has not.
        count: from 0 to the number of its tokens.
    """
    node = beam
    while node.parent is not None and node.parent.length >= count:
        node = node.parent
    block, parent = node.continuation, node.parent
    if block is None or parent is None:
        return node  # the empty beam
    if node.length == count and not node.ended:
        return node
    tokens = block.tokens[: count - parent.length]
    proposal = None if block.proposal is None else block.proposal[: len(tokens)]
    return parent.extend(
        Continuation(
            tokens=tokens,
            data=b"".join([token.data for token in tokens]),
            finish_reason=LENGTH,
            exact=block.exact,
            proposal=proposal,
        )
    )
