"""However the bytes of an answer arrive, and whichever: the answer they say, or an error of httpx."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import httpx
import pytest
import trio
from hypothesis import assume, example, given
from hypothesis import strategies as st

from tests.dialects.strategies import cut, unhurried
from tests.http.talk import (
    PLAIN,
    TIRED,
    Ask,
    Got,
    Peer,
    Then,
    Turn,
    both_ways,
    run,
    send,
    talk,
)
from tests.http.wire import ODDITIES, Answer, Style, answers, pieces, styles
from tests.servers.mock_server import MockServer, completion
from tests.servers.socket_server import raw_server, read_request
from trio_beam import BeamSearchConfig, Endpoint, SearchResult, beam_search

CONFIG = BeamSearchConfig(
    beam_width=3, n_per_beam=1, tokens_per_step=2, max_tokens=6, seed=1, deduplicate=False
)
PROCESSING = b"HTTP/1.1 102 Processing\r\n\r\n"


# -- well-formed answers


@st.composite
def turns(draw: st.DrawFn, methods: Sequence[str]) -> tuple[Turn, Answer]:
    method = draw(st.sampled_from(methods))
    answer = draw(answers(method))
    endings = [Then.CLOSE] if answer.by_close else list(Then)
    junk = draw(st.sampled_from([b"\r\n", b"x", TIRED, b"HTTP/1.1 100 Continue\r\n\r\n"]))
    sent = draw(pieces(answer.wire, answer.marks))
    return Turn(method=method, sent=sent, then=draw(st.sampled_from(endings)), junk=junk), answer


def expected_connections(script: Sequence[tuple[Turn, Answer]]) -> list[int]:
    used = [0]
    for turn, answer in script[:-1]:
        used.append(used[-1] + (not answer.keeps or turn.then is not Then.LISTEN))
    return used


async def converse(ask: Ask, script: Sequence[tuple[Turn, Answer]]) -> None:
    """Each answer is read right, and a connection is used again exactly where both sides may."""
    peer = Peer([turn for turn, _ in script])
    async with talk(ask, peer.handle) as link:
        for (turn, answer), settled in zip(script, peer.settled, strict=True):
            expected = Got(answer.status, answer.headers, answer.content)
            assert await link.get(turn.method) == expected
            kept = answer.keeps and turn.then is not Then.SEND_AT_ONCE
            assert link.transport.open_connections == kept
            await settled.wait()
    assert peer.used == expected_connections(script)


@both_ways
@given(data=st.data())
@unhurried(80)
def test_answers_cut_anywhere_are_read_right(ask: Ask, data: st.DataObject) -> None:
    script = data.draw(st.lists(turns(["GET", "POST", "HEAD"]), min_size=1, max_size=4))
    run(partial(converse, ask, script))


@both_ways
@pytest.mark.parametrize("then", Then)
@pytest.mark.parametrize("status", [200, 204, 404])
def test_one_oddity_at_a_time(ask: Ask, then: Then, status: int) -> None:
    """In one segment, in a head and a body, and byte by byte."""
    script: list[tuple[Turn, Answer]] = []
    for style in ODDITIES:
        answer = style.answer(b"content", status=status)
        ends = Then.CLOSE if answer.by_close else then
        singly = range(len(answer.wire)) if then is Then.LISTEN else ()
        for places in {(), answer.marks, singly}:
            turn = Turn(sent=cut(answer.wire, places), then=ends, junk=TIRED)
            script.append((turn, answer))
    run(partial(converse, ask, script))


@given(st.lists(styles(), min_size=1, max_size=3), st.integers(1, 60))
@unhurried(25)
def test_a_search_does_not_see_how_its_answers_are_sent(kinds: list[Style], step: int) -> None:
    async def handle(stream: trio.SocketStream, connection: int) -> None:
        while True:
            content = json.dumps(completion(await read_request(stream))).encode()
            answer = kinds[connection % len(kinds)].answer(content)
            for start in range(0, len(answer.wire), step):
                await stream.send_all(answer.wire[start : start + step])
            if answer.by_close:
                return

    async def check() -> None:
        async with raw_server(handle) as server:
            async with Endpoint(server.url, model="mock", dialect="openai") as endpoint:
                result = await beam_search(endpoint, "p", CONFIG)
                assert endpoint.statistics().retries == 0
            assert endpoint.statistics().open_connections == 0
            await server.empty.wait()
        async with MockServer(latency=0).endpoint() as endpoint:
            assert told(await beam_search(endpoint, "p", CONFIG)) == told(result)

    run(check)


@both_ways
def test_chunks_count_and_not_a_length_beside_them(ask: Ask) -> None:
    """RFC 9112, 6.3; to refuse such an answer is allowed too."""
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n"
    sent = [head + b"3\r\nabc\r\n0\r\n\r\n"]

    async def check() -> None:
        async with talk(ask, Peer([Turn(sent=sent, then=Then.LISTEN)]).handle) as link:
            with suppress(httpx.RemoteProtocolError):
                assert (await link.get()).content == b"abc"

    run(check)


def told(result: SearchResult) -> list[tuple[object, ...]]:
    return [(beam.tokens, beam.score, beam.finish_reason) for beam in result.beams]


# -- answers that end too soon


@st.composite
def truncated(draw: st.DrawFn) -> list[bytes]:
    answer = draw(answers(framings=["length", "chunked"]))
    end = draw(st.integers(0, len(answer.wire) - 1) | st.sampled_from([0, *answer.marks]))
    assume(end < len(answer.wire))
    return draw(pieces(answer.wire[:end])) if end else []


@both_ways
@given(sent=truncated(), then=st.sampled_from([Then.CLOSE, Then.RESET]), used=st.booleans())
@unhurried(80)
@example(sent=[PROCESSING], then=Then.CLOSE, used=True)
@example(sent=[PROCESSING], then=Then.RESET, used=True)
@example(sent=[], then=Then.RESET, used=True)
def test_an_answer_that_is_cut_short_is_an_error(
    ask: Ask, sent: list[bytes], then: Then, used: bool
) -> None:
    """The request is sent again only if no byte of an answer came, on a connection used before."""
    before = [Turn(sent=[PLAIN], then=Then.LISTEN)] * used
    cut_short = Turn(sent=sent, then=then)

    async def check() -> None:
        peer = Peer([*before, cut_short, cut_short])
        async with talk(ask, peer.handle) as link:
            if used:
                await link.get()
            await link.fails(httpx.RemoteProtocolError, httpx.ReadError)
        assert peer.used == ([0, 0] if used else [0]) + [1] * (used and not sent)

    run(check)


@both_ways
@given(answer=answers(framings=["close"]), data=st.data())
@unhurried(40)
def test_a_reset_does_not_end_a_body(ask: Ask, answer: Answer, data: st.DataObject) -> None:
    assume(answer.by_close)
    sent = data.draw(pieces(answer.wire, answer.marks))

    async def check() -> None:
        async with talk(ask, Peer([Turn(sent=sent, then=Then.RESET)]).handle) as link:
            await link.fails(httpx.ReadError)

    run(check)


# -- answers that are wrong


@st.composite
def mutated(draw: st.DrawFn) -> list[bytes]:
    """One byte replaced, left out, or some put in."""
    wire = draw(answers()).wire
    place = draw(st.integers(0, len(wire) - 1))
    put = draw(st.binary(max_size=1) | st.sampled_from([b"\r\n", b"\0", b"9", b"\xff" * 20]))
    left_out = draw(st.integers(0, 1))
    return draw(pieces(wire[:place] + put + wire[place + left_out :]))


class Wrong:
    """A server that answers the first request plainly, the second wrongly, others by `NEXT`."""

    NEXT = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnext"

    def __init__(self, sent: Sequence[bytes]) -> None:
        self.sent = sent
        self.requests = 0
        self.was_read = False
        self.settled = trio.Event()

    async def handle(self, stream: trio.SocketStream, connection: int) -> None:
        while True:
            await read_request(stream)
            self.requests += 1
            if self.requests == 2:
                try:
                    await send(stream, self.sent)
                finally:
                    self.settled.set()
                if not self.was_read:  # it waits for what never comes
                    return
            else:
                await stream.send_all(PLAIN if self.requests == 1 else self.NEXT)


@both_ways
@given(sent=mutated())
@unhurried(120)
@example(sent=[b"HTTP/1.1 2OO OK\r\n\r\n"])
@example(sent=[b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"])
def test_a_wrong_byte_is_an_error_of_httpx_at_most(ask: Ask, sent: list[bytes]) -> None:
    """It is an answer, so nothing is repeated; and the next request gets its own."""

    async def check() -> None:
        server = Wrong(sent)
        async with talk(ask, server.handle) as link:
            await link.get()
            try:
                await link.get()
            except httpx.DecodingError:
                assert link.transport.open_connections <= 1  # whole, but no gzip
            except httpx.HTTPError:
                assert link.transport.open_connections == 0
            server.was_read = True
            await server.settled.wait()
            answer = await link.get()
            assert (answer.status, answer.content) == (200, b"next")
            assert link.transport.open_connections == 1
            assert server.requests == 3

    run(check)


@both_ways
@given(sent=st.lists(st.binary(min_size=1, max_size=40), max_size=5))
@unhurried(50)
def test_noise_is_no_answer(ask: Ask, sent: list[bytes]) -> None:
    async def check() -> None:
        async with talk(ask, Peer([Turn(sent=sent, then=Then.CLOSE)]).handle) as link:
            await link.fails(httpx.RemoteProtocolError)

    run(check)
