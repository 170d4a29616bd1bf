"""The page: one file without anything from elsewhere.

Its Content-Security-Policy names the script and the style by their digests, so that nothing else can be run,
whatever the texts hold; and these come as JSON without a "<", so that none of them ends its element.
"""

from __future__ import annotations

import functools
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from html import escape
from importlib.resources import files

import msgspec

from trio_beam.viewer.plain import Plain

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cpath d='M2"
    " 8C8 8 7 3 14 3M2 8h12M2 8c6 0 5 5 12 5' fill='none' stroke='%23087a4b' stroke-width='2'/%3E%3C/svg%3E"
)


def page(title: str, about: Plain, searches: Sequence[bytes | None] = ()) -> Iterator[bytes]:
    """Yield the parts of the page.

    Args:
        title: of the page.
        about: of `page_data`; with `data`, a path on its server, it asks there for what is new.
        searches: of `page_data`.
    """
    reach = "'self'" if "data" in about else "'none'"
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src '{_digest('viewer.js')}'",
            f"style-src '{_digest('viewer.css')}'",
            "img-src data:",
            f"connect-src {reach}",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    yield (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f'<link rel="icon" href="{_ICON}">\n<title>{escape(title)}</title>\n<style>'
    ).encode()
    yield _static("viewer.css")
    yield (
        b'</style>\n</head>\n<body>\n<div id="app"></div>\n'
        b"<noscript>This page draws a search by a script, which is switched off here.</noscript>\n"
    )
    yield from _element("about", msgspec.json.encode(about))
    for place, search in enumerate(searches):
        if search is not None:
            yield from _element(f"search-{place}", search)
    yield b"<script>"
    yield _static("viewer.js")
    yield b"</script>\n</body>\n</html>\n"


def _element(name: str, data: bytes) -> Iterable[bytes]:
    yield f'<script type="application/json" id="{name}">'.encode()
    yield data.replace(b"<", b"\\u003c")
    yield b"</script>\n"


@functools.cache
def _static(name: str) -> bytes:
    """Return a file that was built of `frontend/`."""
    return (files("trio_beam.viewer") / "static" / name).read_bytes()


@functools.cache
def _digest(name: str) -> str:
    return f"sha256-{b64encode(sha256(_static(name)).digest()).decode()}"
