"""Translate errors of sockets, TLS and h11 into httpx's, for the transport."""

from __future__ import annotations

import errno
import os
import ssl

import h11
import httpx
import trio

#: Errors that connecting and exchanging may raise. `ssl.SSLError` is an OSError.
FOREIGN_ERRORS = (
    h11.LocalProtocolError,
    h11.RemoteProtocolError,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
    OSError,
)

#: How OpenSSL puts it when the other side answers in plain text.
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")


def as_httpx(error: Exception, *, connecting: bool) -> httpx.TransportError:
    """Return httpx's counterpart of one of `FOREIGN_ERRORS`.

    Args:
        error: the error to translate.
        connecting: whether it occurred before any of the request was sent.
    """
    kind: type[httpx.TransportError] = httpx.ReadError
    if isinstance(error, h11.LocalProtocolError):
        kind = httpx.LocalProtocolError
    elif connecting:
        kind = httpx.ConnectError
    elif isinstance(error, h11.RemoteProtocolError):
        kind = httpx.RemoteProtocolError
    return kind(reason_of(error))


def is_lasting(error: BaseException | None) -> bool:
    """Return whether an error was caused by an invalid certificate, which a retry cannot change."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def reason_of(error: BaseException) -> str:
    """Return the innermost cause in the system's words; Trio wraps one per address tried."""
    if isinstance(error, ExceptionGroup):
        return "; ".join(dict.fromkeys(map(reason_of, error.exceptions)))
    # httpcore drops the causes of its errors, and has no words for them.
    inner = error.__cause__ or (None if str(error) else error.__context__)
    if inner is not None:
        return reason_of(inner)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):  # its errno is OpenSSL's, not the system's
        reason = error.reason or str(error)
        plain = error.reason in _NO_TLS
        return (
            f"it does not speak TLS (https) there, but perhaps http: {reason}" if plain else reason
        )
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno)
    return str(error) or type(error).__name__
