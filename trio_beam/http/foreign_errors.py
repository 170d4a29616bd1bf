"""Errors of sockets, TLS and h11 as httpx's; the only place where the transport translates."""

from __future__ import annotations

import errno
import os
import ssl

import h11
import httpx
import trio

#: Everything that may happen on the way to a server. `ssl.SSLError` is an OSError.
FOREIGN_ERRORS = (
    h11.LocalProtocolError,
    h11.RemoteProtocolError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    OSError,
)


def as_httpx(error: Exception, *, connecting: bool) -> httpx.TransportError:
    """Return the error of httpx that stands for one of `FOREIGN_ERRORS`.

    Args:
        error: to be translated.
        connecting: whether it came before anything of the request was sent.
    """
    kind: type[httpx.TransportError] = httpx.ReadError
    if isinstance(error, h11.LocalProtocolError):
        kind = httpx.LocalProtocolError
    elif connecting:
        kind = httpx.ConnectError
    elif isinstance(error, h11.RemoteProtocolError):
        kind = httpx.RemoteProtocolError
    return kind(_reason(error))


def is_lasting(error: BaseException | None) -> bool:
    """Whether an error is one of a certificate, which another attempt would find the same."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _reason(error: BaseException) -> str:
    """The innermost cause in the system's own words: Trio wraps it, once for each address tried."""
    if isinstance(error, ExceptionGroup):
        return "; ".join(dict.fromkeys(map(_reason, error.exceptions)))
    if error.__cause__ is not None:
        return _reason(error.__cause__)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):  # its number is OpenSSL's, not the system's
        return error.reason or str(error)
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
