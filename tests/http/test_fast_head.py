"""A head that is read without h11 says to h11 the same; what could be read in two ways is left to it."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.http.fast_head import plain_head

PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX-A:  b \r\n\r\nabc"

_names = st.sampled_from(
    [b"Content-Length", b"content-length", b"Connection", b"Transfer-Encoding", b"X", b"X ", b""]
)
_values = st.sampled_from(
    [
        *(b"3", b"0", b"03", b"+3", b"3, 3", b"-1", b"9" * 30),
        *(b"keep-alive", b"Keep-Alive", b"close", b"chunked"),
        *(b"", b" a\tb ", b"\x80\xff", b"a\x00", b"a\rb", b"\x7f"),
    ]
)
_fields = st.builds(
    lambda name, colon, value, end: name + colon + value + end,
    _names,
    st.sampled_from([b":", b": ", b":\t ", b" :", b""]),
    _values,
    st.sampled_from([b"\r\n"] * 8 + [b"\n", b"\r\n ", b"\r\r\n"]),
)
_starts = st.builds(
    lambda version, status, reason, end: version + status + reason + end,
    st.sampled_from([b"HTTP/1.1 "] * 6 + [b"HTTP/1.0 ", b"http/1.1 ", b"HTTP/1.1", b"HTTP/2 "]),
    st.sampled_from(
        [b"200"] * 6 + [b"100", b"204", b"304", b"404", b"599", b"600", b"20", b"2000"]
    ),
    st.sampled_from([b" OK", b" ", b"", b" \xe9t\xe9", b" a\x00", b"\tOK"]),
    st.sampled_from([b"\r\n"] * 8 + [b"\n"]),
)
_heads = st.builds(
    lambda start, fields, end: start + b"".join(fields) + end,
    _starts,
    st.lists(_fields, max_size=4).map(lambda fields: [*fields, b"Content-Length: 3\r\n"])
    | st.lists(_fields, max_size=4),
    st.sampled_from([b"\r\n"] * 8 + [b"", b"\n"]),
)


def check_h11_agrees(data: bytes) -> None:
    """If the head is prepared, h11 makes the same of it."""
    head = plain_head(data)
    if head is None:
        return
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
    reader.send(h11.EndOfMessage())
    reader.receive_data(data[: head.size] + b"x" * head.length)
    response = reader.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == head.status
    assert list(response.headers) == list(head.headers.items())
    body = b""
    while isinstance(event := reader.next_event(), h11.Data):
        body += event.data
    assert isinstance(event, h11.EndOfMessage)
    assert len(body) == head.length
    assert reader.our_state is reader.their_state is h11.DONE  # it may be used again
    assert reader.trailing_data == (b"", False)


@given(_heads)
def test_h11_reads_the_same(data: bytes) -> None:
    check_h11_agrees(data)


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 255), st.booleans())
def test_h11_reads_the_same_with_a_byte_changed(place: int, byte: int, more: bool) -> None:
    check_h11_agrees(PLAIN[:place] + bytes([byte]) + PLAIN[place + (not more) :])


def test_what_servers_send_is_taken() -> None:
    head = plain_head(PLAIN)
    assert head is not None
    assert (head.status, head.length, PLAIN[head.size :]) == (200, 3, b"abc")
    assert head.headers == {b"content-length": b"3", b"x-a": b"b"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"200", b"204"),
        (b"200", b"100"),
        (b"/1.1", b"/1.0"),
        (b"X-A", b"Content-Length"),
        (b"X-A:  b ", b"Connection: close"),
        (b"X-A:  b ", b"Transfer-Encoding: chunked"),
        (b"X-A:  b ", b"X-A: b\r\n c"),
        (b"Length: 3", b"Length: 3, 3"),
        (b"Content-Length: 3\r\n", b""),
        (b"\r\n\r\n", b"\r\n"),
    ],
)
def test_the_rest_is_left_to_h11(old: bytes, new: bytes) -> None:
    assert plain_head(PLAIN) is not None
    assert plain_head(PLAIN.replace(old, new, 1)) is None
