"""Well-formed HTTP/1.1 answers in all their spellings, and what a client must make of each."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs
from hypothesis import strategies as st

from tests.dialects.strategies import cut

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = st.sampled_from(b"!#$%&'*+-.^_`|~09azAZ")
_VISIBLE = st.sampled_from([*range(0x21, 0x7F), 0x80, 0x85, 0xA0, 0xFF])
_names = st.sampled_from([b"x-a", b"x-b"]) | st.lists(_TOKEN, min_size=1, max_size=12).map(
    lambda name: b"x" + bytes(name)
)
_words = st.lists(_VISIBLE, min_size=1, max_size=8).map(bytes)
_EMPTY = (204, 304)
#: After it a connection is used no more, in each spelling that counts.
CLOSE = ("close", "Close", "x-this, close")


@attrs.frozen(kw_only=True)
class Spelling:
    """How a header is written; nothing of it changes what it says."""

    case: Callable[[bytes], bytes]
    before: bytes
    joint: bytes
    after: bytes
    end: bytes

    def line(self, name: bytes, *words: bytes) -> bytes:
        value = self.joint.join(words)
        return self.case(name) + b":" + self.before + value + self.after + self.end

    def value(self, *words: bytes) -> bytes:
        """What a reader sees: a folded line is unfolded by one blank."""
        return (b" " if b"\n" in self.joint else self.joint).join(words)


@attrs.frozen(kw_only=True)
class Answer:
    """The bytes of one answer and their meaning.

    Attributes:
        wire: what is sent, 1xx answers before it included.
        marks: where in `wire` a head or a piece of one ends.
        headers: names in lower case.
        content: the body, decompressed.
        by_close: whether the body ends where the connection does.
        keeps: whether the connection may be used again.
    """

    wire: bytes
    marks: tuple[int, ...]
    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    content: bytes
    by_close: bool
    keeps: bool


@attrs.frozen(kw_only=True)
class Style:
    """One way to send an answer."""

    version: bytes
    reason: bytes | None
    interim: Sequence[int]
    spelling: Spelling
    extra: Sequence[tuple[bytes, Sequence[bytes], Spelling]]
    framing: str
    length: bytes
    chunked: bytes
    chunks: Sequence[int]
    size: bytes
    extension: bytes
    trailers: int
    encoding: str | None
    connection: str | None

    def answer(self, content: bytes, *, status: int = 200, method: str = "POST") -> Answer:
        bodiless = method == "HEAD" or status in _EMPTY
        body = _encoded(content, self.encoding)
        head, headers = self._head(status, len(body))  # what is said of a body that does not come
        interim = [self._interim(code) for code in self.interim]
        sent = b"" if bodiless else self._framed(body)
        ends = [len(b"".join(interim[: count + 1])) for count in range(len(interim))]
        by_close = self.framing == "close" and not bodiless
        return Answer(
            wire=b"".join(interim) + head + sent,
            marks=(*ends, (ends or [0])[-1] + len(head)),
            status=status,
            reason=self.reason or b"",
            headers=headers,
            content=b"" if bodiless else content,
            by_close=by_close,
            keeps=self.version == b"1.1" and self.connection not in CLOSE and not by_close,
        )

    def _status(self, status: int) -> bytes:
        reason = b"" if self.reason is None else b" " + self.reason
        return b"HTTP/%s %d%s%s" % (self.version, status, reason, self.spelling.end)

    def _head(self, status: int, length: int) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        lines = [spelling.line(name, *words) for name, words, spelling in self.extra]
        headers = [(name.lower(), spelling.value(*words)) for name, words, spelling in self.extra]
        for name, written, meant in self._own_headers(length):
            lines.append(self.spelling.line(name, written))
            headers.append((name, meant))
        return self._status(status) + b"".join(lines) + self.spelling.end, headers

    def _own_headers(self, length: int) -> list[tuple[bytes, bytes, bytes]]:
        """Name, what is written, and what is meant."""
        found = [
            (name, value.encode(), value.encode())
            for name, value in [
                (b"content-encoding", self.encoding),
                (b"connection", self.connection),
            ]
            if value is not None
        ]
        if self.framing == "length":
            digits = b"%d" % length
            written = self.length.replace(b"N", digits)
            found.append((b"content-length", written, written.partition(b",")[0]))
        elif self.framing == "chunked":
            found.append((b"transfer-encoding", self.chunked, b"chunked"))
        return found

    def _interim(self, status: int) -> bytes:
        head, _ = attrs.evolve(self, framing="none", connection=None, encoding=None)._head(
            status, 0
        )
        return head

    def _framed(self, body: bytes) -> bytes:
        if self.framing != "chunked":
            return body
        places = [place % (len(body) + 1) for place in self.chunks]
        pieces = [piece for piece in cut(body, places) if piece]
        sent = [self._chunk_head(len(piece)) + piece + b"\r\n" for piece in pieces]
        trailers = b"".join(self.spelling.line(b"x-trailer", b"t") for _ in range(self.trailers))
        return b"".join(sent) + self._chunk_head(0) + trailers + self.spelling.end

    def _chunk_head(self, size: int) -> bytes:
        return self.size % size + self.extension + b"\r\n"


def _encoded(content: bytes, encoding: str | None) -> bytes:
    match encoding:
        case "gzip":
            return gzip.compress(content, 1)
        case "deflate":
            return zlib.compress(content, 1)
        case _:
            return content


_SPELLINGS: dict[str, list[Any]] = {
    "case": [bytes.lower, bytes.upper, bytes.title],
    "before": [b" ", b"", b" \t ", b"\r\n "],
    "joint": [b" ", b"\t", b"\r\n ", b"\n\t "],
    "after": [b"", b" ", b"\t"],
    "end": [b"\r\n", b"\n"],
}
_spellings = st.builds(
    Spelling, **{part: st.sampled_from(values) for part, values in _SPELLINGS.items()}
)
#: As almost every server does it.
USUAL = Style(
    version=b"1.1",
    reason=b"OK",
    interim=(),
    spelling=Spelling(case=bytes.title, before=b" ", joint=b" ", after=b"", end=b"\r\n"),
    extra=(),
    framing="length",
    length=b"N",
    chunked=b"chunked",
    chunks=(),
    size=b"%x",
    extension=b"",
    trailers=0,
    encoding=None,
    connection=None,
)


_PLAIN_SPELLING = USUAL.spelling
#: For each part of a style, what else there is.
_ODD: dict[str, list[Any]] = {
    "version": [b"1.0"],
    "reason": [b"", None, b"N\xe4 ja  so "],
    "interim": [(100,), (102, 103)],
    "spelling": [
        attrs.evolve(_PLAIN_SPELLING, **{part: value})
        for part, values in _SPELLINGS.items()
        for value in values
    ],
    "extra": [
        [(b"x-a", (b"a", b"\xff\x80"), _PLAIN_SPELLING)],
        [(b"x-a", (), _PLAIN_SPELLING)],
        [(b"x-a", (b"a",), attrs.evolve(_PLAIN_SPELLING, after=b" \t"))],
        [(b"x-a", (value,), _PLAIN_SPELLING) for value in (b"a", b"b")],
    ],
    "framing": ["chunked", "close"],
    "length": [b"N, N", b"00N"],
    "encoding": ["gzip", "deflate", "identity"],
    "connection": ["keep-alive", "Keep-Alive", "x-this", *CLOSE],
}
ODDITIES = [
    attrs.evolve(USUAL, **{part: value}) for part, values in _ODD.items() for value in values
]


@st.composite
def _odd_styles(draw: st.DrawFn, framings: Sequence[str]) -> Style:
    values = {part: st.sampled_from(values) for part, values in _ODD.items()}
    extra = st.lists(st.tuples(_names, st.lists(_words, max_size=3), _spellings), max_size=4)
    drawn = values | {
        "framing": st.sampled_from(framings),
        "spelling": _spellings,
        "extra": extra | values["extra"],
        "chunked": st.sampled_from([b"chunked", b"Chunked"]),
        "chunks": st.lists(st.integers(0, 2**17), max_size=4),
        "size": st.sampled_from([b"%x", b"%X", b"%04x"]),
        "extension": st.sampled_from([b"", b';a=b;c="d e"', b" "]),
        "trailers": st.integers(0, 2),
    }
    return Style(**{part: draw(value) for part, value in drawn.items()})


_PARTS = tuple(field.name for field in attrs.fields(Style))


@st.composite
def styles(draw: st.DrawFn, framings: Sequence[str] = ("length", "chunked", "close")) -> Style:
    """The usual one, except in none, some, or all of its parts."""
    odd = draw(_odd_styles(framings))
    parts = draw(st.sets(st.sampled_from(_PARTS), max_size=3) | st.just(_PARTS))
    style = attrs.evolve(USUAL, **{part: getattr(odd, part) for part in parts})
    # Chunks are HTTP/1.1.
    return attrs.evolve(style, version=b"1.1") if style.framing == "chunked" else style


#: Bodies: none, short ones, and some that take more than one read.
contents = st.binary(max_size=60) | st.builds(
    lambda data: data * 4000, st.binary(min_size=20, max_size=40)
)


@st.composite
def answers(
    draw: st.DrawFn,
    method: str = "POST",
    framings: Sequence[str] = ("length", "chunked", "close"),
    content: st.SearchStrategy[bytes] = contents,
) -> Answer:
    status = draw(st.sampled_from([200, 200, 201, 204, 304, 404, 429, 503, 999]))
    return draw(styles(framings)).answer(draw(content), status=status, method=method)


@st.composite
def pieces(draw: st.DrawFn, data: bytes, marks: Sequence[int] = ()) -> list[bytes]:
    """The bytes, cut anywhere: not at all, between all of them, at some marks, or at some places."""
    singly = range(len(data)) if len(data) <= 400 else ()
    somewhere = st.lists(st.integers(0, len(data)), max_size=8)
    at_marks = st.lists(st.sampled_from([0, *marks]), max_size=2)
    return cut(data, draw(st.just(()) | st.just(singly) | at_marks | somewhere))
