"""Server-sent events are told apart as the standard has it, and as llama.cpp had it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.strategies import unhurried
from trio_beam.dialects.common.sse import read_events


@pytest.mark.parametrize(
    ("body", "events"),
    [
        (b"data: 1\n\ndata: 2\n\n", [b"1", b"2"]),
        (b"data:1\n\ndata:  2\n\n", [b"1", b" 2"]),
        (b"data: 1\r\n\r\ndata: 2\r\n\r\n", [b"1", b"2"]),
        (b"data: 1\r\rdata: 2\r\r", [b"1", b"2"]),
        (b"data: 1\r\n\ndata: 2\n\r\n", [b"1", b"2"]),
        (b"\xef\xbb\xbfdata: 1\n\n", [b"1"]),
        (b"data: 1\n\n\xef\xbb\xbfdata: 2\n\n", [b"1", b"2"]),  # streams that somebody has joined
        (b"\n\n\n\r\ndata: 1\n\n\n\n\ndata: 2\n\n", [b"1", b"2"]),
        (b"data: [1,\ndata: 2]\n\n", [b"[1,\n2]"]),
        (b": a comment\n\ndata: 1\n: another\n\n", [b"1"]),
        (b"data: [1,\n:\ndata: 2]\n\n", [b"[1,\n2]"]),
        (b":\n\n:\n\ndata: 1\n\n", [b"1"]),
        (b"data:\n\ndata\n\ndata: 1\n\n", [b"1"]),
        (b"event: message\nid: 7\nretry: 9\ndata: 1\n\n", [b"1"]),
        (b"data: 1\nevent: message\n\nnonsense\n\n{}\n\n", [b"1"]),
        ('data: "\u2028\x0b\x0c\x1c\x85"\n\n'.encode(), ['"\u2028\x0b\x0c\x1c\x85"'.encode()]),
        (b"data: a: b\n\n", [b"a: b"]),
        # An event without a final empty line is incomplete.
        (b"data: 1\n\ndata: 2\n", [b"1"]),
        (b"data: 1\n\ndata: 2", [b"1"]),
        (b"data: 1\n\ndata: 2\ndata", [b"1"]),
        (b"data: 1\r", []),
        (b"", []),
        (b"\n", []),
        (b"\xff\xfe\n\n", []),
        # The field was llama.cpp's own, and its data no error object.
        (b'error: {"code":500}\n\n', [b'{"error":{"code":500}}']),
        (b'error: {"error":{"code":500}}\n\n', [b'{"error":{"code":500}}']),
    ],
)
def test_events(body: bytes, events: list[bytes]) -> None:
    assert list(read_events(body)) == events


_LINES = st.text('ab{}[]":,\u2028\x0b', min_size=1, max_size=6).filter(str.strip).map(str.encode)


@unhurried()
@given(st.data())
def test_events_are_told_apart_however_lines_end(data: st.DataObject) -> None:
    events = data.draw(st.lists(st.lists(_LINES, min_size=1, max_size=3), max_size=4))
    ends = st.sampled_from([b"\n", b"\r\n"])  # a bare \r before a \n would be one end with it
    between = st.sampled_from([b"", b": ping", b":", b"event: x", b"id"])
    body = b""
    for lines in events:
        for line in lines:
            body += b"data: " + line + data.draw(ends)
            extra = data.draw(between)
            body += extra + data.draw(ends) if extra else b""
        body += data.draw(ends)
    assert list(read_events(body)) == [b"\n".join(lines) for lines in events]
