"""OpenAI's files and batches: requests that a provider answers within a day, at a lower price.

A file has a request a line, with a name (``custom_id``). A batch answers the requests of a file, in any
order, into a file of answers and one of errors.
https://platform.openai.com/docs/api-reference/batch
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec

from trio_beam.dialects.common.encoding import decoder_of
from trio_beam.dialects.common.exchange import WireRequest

#: The provider's limits on a file: requests and bytes.
MAX_REQUESTS, MAX_BYTES = 50_000, 200_000_000
#: States from which a batch does not come back.
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_WINDOW = "24h"
#: Status of a request that the provider has not answered, as of a server that could not be reached.
_UNANSWERED = 503


class Counts(msgspec.Struct, frozen=True):
    """The requests of a batch, and what has become of them."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class _Fault(msgspec.Struct, frozen=True):
    code: Any = None
    message: Any = None
    line: int | None = None


class _Faults(msgspec.Struct, frozen=True):
    data: list[_Fault] | None = None


class ProviderBatch(msgspec.Struct, frozen=True):
    """A batch as the provider reports it.

    Attributes:
        id: its name.
        status: validating, in_progress, finalizing, one of `ENDED`, or another that leads there.
        output_file_id: the file of answers, if there are any.
        error_file_id: the file of requests that failed, if any did.
        request_counts: what has become of its requests.
        errors: why it failed as a whole.
        metadata: what it was made with.
    """

    id: str
    status: str
    output_file_id: str | None = None
    error_file_id: str | None = None
    request_counts: Counts | None = None
    errors: _Faults | None = None
    metadata: Mapping[str, Any] | None = None

    @property
    def why(self) -> str:
        """Why it failed, in the provider's words."""
        faults = (self.errors.data if self.errors else None) or []
        said = [
            f"{one.message or one.code}" + (f" (line {one.line})" if one.line else "")
            for one in faults
        ]
        return "; ".join(said[:3]) or "the provider does not say why"


class ProviderFile(msgspec.Struct, frozen=True):
    """A file as the provider reports it."""

    id: str
    filename: str | None = None


class BatchPage(msgspec.Struct, frozen=True):
    """A page of a list of batches."""

    data: list[ProviderBatch]
    has_more: bool = False


class FilePage(msgspec.Struct, frozen=True):
    """A page of a list of files."""

    data: list[ProviderFile]
    has_more: bool = False


_decode_batch = decoder_of(ProviderBatch)
_decode_file = decoder_of(ProviderFile)
_decode_batches = decoder_of(BatchPage)
_decode_files = decoder_of(FilePage)


def upload(name: str, content: bytes) -> WireRequest[ProviderFile]:
    """Return the request that uploads a file of requests."""
    boundary = secrets.token_hex(16)
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/jsonl\r\n\r\n"
    )
    return WireRequest(
        path="/files",
        decode=_decode_file,
        body=b"".join((head.encode(), content, f"\r\n--{boundary}--\r\n".encode())),
        content_type=f"multipart/form-data; boundary={boundary}",
    )


def create(file_id: str, path: str, metadata: Mapping[str, str]) -> WireRequest[ProviderBatch]:
    """Return the request that begins a batch.

    Args:
        file_id: of an uploaded file.
        path: the call that answers its requests, such as ``/chat/completions``.
        metadata: by which it may be found.
    """
    fields = {
        "input_file_id": file_id,
        "endpoint": f"/v1{path}",
        "completion_window": _WINDOW,
        "metadata": metadata,
    }
    return WireRequest(path="/batches", decode=_decode_batch, body=msgspec.json.encode(fields))


def status_of(batch_id: str) -> WireRequest[ProviderBatch]:
    """Return the request for the state of a batch."""
    return WireRequest(path=f"/batches/{quote(batch_id, safe='')}", decode=_decode_batch)


def list_files(after: str | None) -> WireRequest[FilePage]:
    """Return the request for a page of the files for batches, after one."""
    query = {"purpose": "batch", **({"after": after} if after else {})}
    return WireRequest(path=f"/files?{urlencode(query)}", decode=_decode_files)


def list_batches(after: str | None) -> WireRequest[BatchPage]:
    """Return the request for a page of the batches, after one."""
    query = {"limit": "100", **({"after": after} if after else {})}
    return WireRequest(path=f"/batches?{urlencode(query)}", decode=_decode_batches)


def content(file_id: str, sink: Callable[[], Callable[[bytes], object]]) -> WireRequest[None]:
    """Return the request for the content of a file, handed on piece by piece."""
    path = f"/files/{quote(file_id, safe='')}/content"
    return WireRequest(path=path, decode=lambda _: None, sink=sink)


def request_line(name: str, path: str, body: bytes) -> bytes:
    """Return the line of a request in a file."""
    line = {"custom_id": name, "method": "POST", "url": f"/v1{path}", "body": msgspec.Raw(body)}
    return msgspec.json.encode(line) + b"\n"


class LineAnswer(NamedTuple):
    """The answer to a request, as over HTTP."""

    name: str
    status: int
    body: bytes


class _Response(msgspec.Struct):
    status_code: int = 0
    body: msgspec.Raw = msgspec.Raw(b"null")


class _Line(msgspec.Struct):
    custom_id: str
    response: _Response | None = None
    error: Any = None


_decode_line = msgspec.json.Decoder(_Line).decode


def read_line(line: bytes) -> LineAnswer | None:
    """Return the answer in a line of either file; None if the line is of no request.

    A request that the provider has not answered (it expired, or the batch was cancelled) has the status of a
    server that cannot be reached, so that it is sent again.
    """
    try:
        found = _decode_line(line)
    except msgspec.DecodeError:
        return None
    response = found.response
    if response is None or not response.status_code:
        return unanswered(found.custom_id, found.error)
    return LineAnswer(found.custom_id, response.status_code, bytes(response.body))


def unanswered(name: str, error: Any) -> LineAnswer:
    """Return what stands for the answer to a request that the provider has not answered."""
    return LineAnswer(name, _UNANSWERED, msgspec.json.encode({"error": error}))
