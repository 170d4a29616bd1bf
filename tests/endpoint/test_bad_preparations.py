"""Bad answers to what is asked before a search: models, slots, templates, tokens."""

from __future__ import annotations

import re

import pytest
import trio

from tests.endpoint.bad_peer import (
    CHUNKED,
    DEEP,
    LONG,
    MEGABYTE,
    MESSAGES,
    NOT_JSON,
    bad_peer,
    check_recovery,
    endless,
    found,
)
from tests.servers.fault_server import (
    HEALTHY,
    Fault,
    Request,
    answering,
    chunked,
)
from trio_beam import (
    EndpointError,
    MalformedResponse,
    RequestRejected,
    ServerError,
)

BAD_MODELS: dict[str, tuple[Fault, type[EndpointError], str]] = {
    "not JSON": (answering(b"hello"), MalformedResponse, NOT_JSON),
    "a page": (
        answering(b"<html>", headers="content-type: text/html\r\n"),
        MalformedResponse,
        NOT_JSON,
    ),
    "another shape": (answering({}), MalformedResponse, "data"),
    "no list": (answering({"data": None}), MalformedResponse, "data"),
    "names that are none": (answering({"data": [{"id": 5}]}), MalformedResponse, "got `int`"),
    "nested too deeply": (answering(b'{"data":' + DEEP), MalformedResponse, "array|deeply"),
    "no models": (answering({"data": []}), RequestRejected, "lists 0"),
    "many long names": (
        answering({"data": [{"id": "x" * 50_000}] * 50}),
        RequestRejected,
        "lists 50",
    ),
    "without end": (endless(CHUNKED, chunked(LONG)), MalformedResponse, "longer than"),
    "refused": (answering({"error": "no"}, status="401 No"), RequestRejected, "HTTP 401: no"),
    "broken": (answering({"error": "no"}, status="500 No"), ServerError, "HTTP 500: no"),
}


@pytest.mark.parametrize(("fault", "kind", "words"), BAD_MODELS.values(), ids=BAD_MODELS)
async def test_a_bad_list_of_models(fault: Fault, kind: type[EndpointError], words: str) -> None:
    options = {"model": None, "dialect": "auto", "max_answer_bytes": 4 * MEGABYTE}
    async with bad_peer(lambda request: fault, **options) as peer:
        error = await peer.error()
        assert type(error) is kind
        assert error.url.endswith("/v1/models")
        assert re.search(words, error.message)
        assert len(error.message) < 2000
        await check_recovery(peer)


SLOTS = {
    "0": b"0",
    "-1": b"-1",
    "-5": b"-5",
    "huge": b"9" * 400,
    "5000 digits": b"9" * 5000,
    "1e400": b"1e400",
    "a string": b'"4"',
    "null": b"null",
    "true": b"true",
    "nested": DEEP,
}


@pytest.mark.parametrize("slots", SLOTS.values(), ids=SLOTS)
async def test_a_number_of_slots_that_cannot_be(slots: bytes) -> None:
    """It is only of use if it makes sense; a search can do without."""

    def script(request: Request) -> Fault:
        if request.path == "/v1/models":
            return answering({"data": [{"id": "m", "owned_by": "llamacpp"}]})
        if request.path == "/props":
            return answering(b'{"total_slots":' + slots + b"}")
        return HEALTHY

    async with bad_peer(lambda request: HEALTHY, dialect="llama_cpp") as healthy:
        right = await healthy.result()
    async with bad_peer(script, dialect="auto") as peer:
        with trio.fail_after(20):
            assert found(await peer.result()) == found(right)


BAD_TEMPLATES = {
    "no prompt": ("/apply-template", b"{}"),
    "a prompt of null": ("/apply-template", b'{"prompt":null}'),
    "not JSON": ("/apply-template", b"hello"),
    "a lone surrogate": ("/apply-template", rb'{"prompt":"\ud800 "}'),
    "nested too deeply": ("/apply-template", b'{"prompt":' + DEEP),
    "no tokens": ("/tokenize", b'{"tokens":[]}'),
    "tokens of null": ("/tokenize", b'{"tokens":null}'),
    "tokens that are fractions": ("/tokenize", b'{"tokens":[1.5]}'),
    "tokens with their pieces": ("/tokenize", b'{"tokens":[{"id":1,"piece":"a"}]}'),
    "tokens of 5000 digits": ("/tokenize", b'{"tokens":[%s]}' % (b"9" * 5000)),
    "tokens nested too deeply": ("/tokenize", b'{"tokens":' + DEEP),
}


@pytest.mark.parametrize(("path", "body"), BAD_TEMPLATES.values(), ids=BAD_TEMPLATES)
async def test_a_chat_template_that_goes_wrong(path: str, body: bytes) -> None:
    def script(request: Request) -> Fault:
        return answering(body) if request.path == path else HEALTHY

    async with bad_peer(script, dialect="llama_cpp") as peer:
        error = await peer.error(MESSAGES)
        assert type(error) is MalformedResponse
        assert error.url
        peer.cure()
        assert (await peer.result(MESSAGES)).rounds == 2
