"""Hypothesis strategies for prompts, beams and requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import settings
from hypothesis import strategies as st

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token
from trio_beam.core.language_model import SampleRequest
from trio_beam.dialects.common.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Any text that UTF-8 can carry, so everything but lone surrogates; what JSON escapes comes often.
texts = st.text(
    st.characters(codec="utf-8") | st.sampled_from('"\\/\n\r\t\x00\x1f\x7f\u2028\ufeff🦜漢'),
    max_size=30,
)
prompts = texts.filter(bool)
messages = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "user"]),
            "content": texts
            | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": texts})),
        }
    ),
    min_size=1,
    max_size=3,
)
ids = st.integers(0, 200_000)


def unhurried(examples: int = 100) -> settings:
    """So many examples, however slow the machine is."""
    return settings(max_examples=examples)


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The bytes, cut at the given places."""
    inside = sorted({place for place in places if 0 < place < len(data)})
    return [data[a:b] for a, b in zip([0, *inside], [*inside, len(data)], strict=True)]


@st.composite
def pieces(draw: st.DrawFn, text: st.SearchStrategy[str] = prompts) -> list[bytes]:
    """The bytes of a text, cut anywhere: inside characters too, and maybe short of the last one's end."""
    data = draw(text).encode()
    data = data[: max(1, len(data) - draw(st.integers(0, 3)))]
    return cut(data, draw(st.lists(st.integers(1, len(data)), max_size=12)))


@st.composite
def beams(draw: st.DrawFn, begin: str = "") -> Beam:
    """A chain of blocks of tokens with ids and bytes; its text begins with `begin`."""
    beam = Beam()
    if begin:
        beam = beam.extend(block([begin.encode()], [draw(ids)]))
    left = draw(pieces()) if draw(st.booleans()) else []
    while left:
        size = draw(st.integers(1, len(left)))
        numbers = draw(st.lists(ids, min_size=size, max_size=size))
        beam = beam.extend(block(left[:size], numbers))
        left = left[size:]
    return beam


def block(parts: Sequence[bytes], numbers: Sequence[int]) -> Continuation:
    """A block of one token for each part."""
    tokens = [
        Token(part.decode("utf-8", "replace"), -0.5, number, part)
        for part, number in zip(parts, numbers, strict=True)
    ]
    return Continuation(tokens=tuple(tokens), data=b"".join(parts))


def wishes(beam: st.SearchStrategy[Beam]) -> st.SearchStrategy[SampleRequest]:
    """Requests of a search."""
    return st.builds(
        SampleRequest,
        beam=beam,
        n=st.integers(1, 12),
        max_tokens=st.integers(1, 4096),
        temperature=st.floats(0, 5),
        top_logprobs=st.integers(0, 20),
        seed=st.none() | st.integers(0, 2**31),
    )


def limits() -> st.SearchStrategy[Limits]:
    """Possible knowledge about a server."""
    most: st.SearchStrategy[Any] = st.none() | st.integers(1, 5)
    return st.builds(Limits, n=most, logprobs=most)
