"""Which requests the embedded model's process lets in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_beam.local._local_child import _hosts, check

HOSTS = _hosts("127.0.0.1", 8080)


def head(*lines: str, request: str = "POST /completion HTTP/1.1") -> bytes:
    return "\r\n".join([request, *lines, "", ""]).encode("latin1")


def status(*lines: str, hosts: set[bytes] | None = HOSTS) -> int:
    refusal = check(head(*lines), hosts)[1]
    return 200 if refusal is None else int(refusal.split()[1])


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8080", "localhost:8080", "LocalHost:8080", "[::1]:8080"]
)
def test_programs_of_this_machine(host: str) -> None:
    assert check(head(f"Host: {host}", "content-length: 12"), HOSTS) == (12, None)
    assert check(head(f"host:{host}", f"Origin: http://{host}"), HOSTS) == (0, None)


@pytest.mark.parametrize(
    "host",
    [
        *(
            "evil.example",
            "evil.example:8080",
            "127.0.0.1",
            "127.0.0.1:8081",
            "127.0.0.1:8080.evil",
        ),
        *("localhost.evil.example:8080", "user@127.0.0.1:8080", "127.1:8080", "0.0.0.0:8080", ""),
    ],
)
def test_a_foreign_host(host: str) -> None:
    assert status(f"Host: {host}") == 403


def test_no_host_and_two_hosts() -> None:
    assert status() == 403
    assert status("Host: 127.0.0.1:8080", "Host: evil.example") == 403
    assert status("Host: evil.example", "Host: 127.0.0.1:8080") == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:8080", "http://localhost:8080", ""]
)
def test_a_foreign_origin(origin: str) -> None:
    assert status("Host: 127.0.0.1:8080", f"Origin: {origin}") == 403
    assert (
        status("Origin: http://127.0.0.1:8080", "Host: 127.0.0.1:8080", f"origin:{origin}") == 403
    )


def test_where_other_machines_may_ask_any_host_will_do() -> None:
    assert _hosts("0.0.0.0", 8080) is None
    assert status("Host: model.lan:8080", hosts=None) == 200
    assert status("Host: model.lan:8080", "Origin: http://evil.example", hosts=None) == 403


def test_the_port_of_http_may_be_left_out() -> None:
    assert status("Host: localhost", hosts=_hosts("127.0.0.1", 80)) == 200


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["Transfer-Encoding: chunked"], 411),
        (["Content-Length: 3", "Content-Length: 4"], 411),
        (["Content-Length: 3, 4"], 411),
        (["Content-Length: +3"], 411),
        (["Content-Length: -3"], 411),
        (["Content-Length: "], 411),
        (["X: a", " folded: b"], 400),
        (["X : a"], 400),
        ([": a"], 400),
        (["no colon"], 400),
        (["X: a\nHost: evil.example"], 400),
        (["X: a\rHost: evil.example"], 400),
        (["X: a\0b"], 400),
    ],
)
def test_what_another_reader_might_read_otherwise(lines: list[str], expected: int) -> None:
    assert status("Host: 127.0.0.1:8080", *lines) == expected


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_whatever_a_header_holds_it_is_read_once(text: str) -> None:
    """What is let in has one host, ours, whichever way its lines are read."""
    found = head("Host: 127.0.0.1:8080", f"X: {text}")
    end = found.find(b"\r\n\r\n") + 4
    if check(found[:end], HOSTS)[1] is None:
        lines = found[:end].replace(b"\r", b"\n").split(b"\n")
        assert sum(line.lower().startswith(b"host") and b":" in line for line in lines) == 1
