"""The door of the gateway: who is let in, and under which id."""

from __future__ import annotations

import hmac
import re
import traceback
import uuid
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec
import trio
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from trio_beam.gateway.api_error import ApiError
from trio_beam.http.client import TASK_HEADERS

REQUEST_ID = "x-request-id"
#: The member of a scope that names the client.
_CLIENT = "trio_beam.client"
#: An id that is safe to repeat in headers and logs.
_PLAIN_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
_VERSIONS = frozenset({"1.0", "1.1"})
#: What everybody may see: a load balancer has no key, and a page asks for one before it shows anything.
_OPEN_PATHS = frozenset({"/health", "/ui"})
#: What Hypercorn raises where the connection has ended while it sends.
_GONE = (trio.BusyResourceError, trio.ClosedResourceError, trio.BrokenResourceError)


class Door:
    """An ASGI application in front of the gateway's.

    Args:
        app: the gateway's.
        keys: of clients; without any, no key is needed.
        hosts: names under which it may be called without a key, so that no web page reaches it; None: any.
    """

    def __init__(self, app: ASGIApp, *, keys: Sequence[str], hosts: Sequence[str] | None) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID, "")
        request_id = given if _PLAIN_ID.fullmatch(given) else uuid.uuid4().hex
        TASK_HEADERS.set({REQUEST_ID: request_id})

        gone = False

        async def send_with_id(message: Message) -> None:
            nonlocal gone
            if message["type"] == "http.response.start":
                extra = (REQUEST_ID.encode(), request_id.encode())
                message = {**message, "headers": [*message.get("headers", ()), extra]}
            try:
                await send(message)
            except _GONE:
                gone = True
                raise

        try:
            if scope["http_version"] not in _VERSIONS:
                raise ApiError(status=505, message="this gateway speaks HTTP/1.1")
            scope[_CLIENT] = self._admit(scope, headers)
        except ApiError as error:
            await _refuse(send_with_id, error)
            return
        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:  # a bug, and answered already: the server lives
            if gone:
                return
            error.add_note(f"request {request_id} failed")
            traceback.print_exc()

    def _admit(self, scope: Scope, headers: Headers) -> str:
        """Return the client.

        Raises:
            ApiError: it may not come in.
        """
        address = scope["client"][0] if scope.get("client") else ""
        if scope["path"] in _OPEN_PATHS:
            return f"address {address}"
        if self._keys:
            return f"key {self._key_of(headers)}"
        if self._hosts is not None:
            for name in ("host", "origin"):
                if (given := headers.get(name)) is not None and not self._is_ours(given):
                    raise _foreign(name)
        return f"address {address}"

    def _key_of(self, headers: Headers) -> int:
        scheme, _, given = headers.get("authorization", "").partition(" ")
        key = given.strip().encode("utf-8", "replace") if scheme.lower() == "bearer" else b""
        # All are compared, so that the time says nothing about which it was.
        found = [hmac.compare_digest(key, one) for one in self._keys]
        if not any(found):
            words = "this gateway needs a key: Authorization: Bearer KEY"
            raise ApiError(status=401, message=words, code="invalid_api_key")
        return found.index(True)

    def _is_ours(self, given: str) -> bool:
        try:
            name = urlsplit(given if "://" in given else f"//{given}").hostname
        except ValueError:
            return False
        return name in (self._hosts or ())


def client_of(scope: Scope) -> str:
    """Return who has sent a request: which key, or which address."""
    client: str = scope[_CLIENT]
    return client


def _foreign(name: str) -> ApiError:
    words = (
        f"the header {name!r} names another host: without a key the gateway is for programs on this machine,"
        " not for web pages or other names (--api-key-env)"
    )
    return ApiError(status=403, message=words, code="foreign_host")


async def _refuse(send: Send, error: ApiError) -> None:
    body = msgspec.json.encode(error.body)
    headers = {"content-type": "application/json", "content-length": str(len(body))}
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
