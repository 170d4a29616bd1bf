"""A result as a small piece of HTML, for notebooks. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from trio_beam.core.beam import Beam
from trio_beam.core.printable import printable

#: Characters of a text, and beams. Lists are nested no deeper than there are beams.
_SHOWN, _SHOWN_BEAMS = 500, 100


def beams_as_html(beams: Sequence[Beam], caption: str) -> str:
    """Return the tree of the best beams, each block below the one that it continues, the answer in bold.

    Args:
        beams: best first.
        caption: shown above them.
    """
    lineages = [beam.lineage() for beam in beams[:_SHOWN_BEAMS]]
    tree = _list(beams, lineages, list(range(len(lineages))), 0)
    left_out = len(beams) - len(lineages)
    more = f"<p>and {left_out:,} more beams, in <code>beams</code></p>" if left_out else ""
    return f"<div><p>{_text(caption)}</p>{tree}{more}</div>"


def _list(
    beams: Sequence[Beam], lineages: Sequence[Sequence[Beam]], places: list[int], depth: int
) -> str:
    """Return the beams at some places, which have their first `depth` blocks in common, as a list."""
    families: dict[int, list[int]] = {}
    for place in places:
        if depth < len(lineages[place]):
            families.setdefault(id(lineages[place][depth].continuation), []).append(place)
    items = [_item(beams, lineages, family, depth) for family in families.values()]
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _item(
    beams: Sequence[Beam], lineages: Sequence[Sequence[Beam]], family: list[int], depth: int
) -> str:
    first = lineages[family[0]]
    text = ""
    while True:  # what goes on in one way only is one item
        text += first[depth].added_text
        depth += 1
        ends = [place for place in family if len(lineages[place]) == depth]
        nexts = {
            id(one[depth].continuation)
            for one in map(lineages.__getitem__, family)
            if len(one) > depth
        }
        if ends or len(nexts) != 1:
            break
    shown = f"<span style='white-space: pre-wrap'>{_text(text)}</span>"
    for place in ends:
        shown = f"<b>{shown}</b>" if place == 0 else shown
        shown += f" <small>{_facts(beams[place])}</small>"
    return f"<li>{shown}{_list(beams, lineages, family, depth)}</li>"


def _facts(beam: Beam) -> str:
    weight = "" if beam.weight is None else f", weight {beam.weight:.3g}"
    return _text(f"score {beam.score:.4f}{weight}, {beam.length} tokens, {beam.finish_reason}")


def _text(text: str) -> str:
    cut = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 100]} ... {text[-90:]}"
    return escape(printable(cut, keep="\n"))
