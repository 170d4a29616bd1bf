"""Recorded answers of real servers, and a driver that plays them to an exchange without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs
import pytest

from trio_beam.core.beam import Beam
from trio_beam.core.block import Continuation, Token
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.error_responses import error_of
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.llama_cpp import LlamaCpp
from trio_beam.dialects.openai import OpenAI
from trio_beam.dialects.vllm import VLLM
from trio_beam.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_beam.core.prompt import PromptLike
    from trio_beam.dialects.common.dialect import Dialect
from trio_beam.dialects.common.exchange import Exchange, ExchangeResult, WireRequest

T = TypeVar("T")
CAPTURES = Path(__file__).parent / "captures"
#: Where completions are asked for.
COMPLETIONS = ("/v1/completions", "/v1/chat/completions", "/completion")


def encode(answer: Any) -> bytes:
    """A body as a server writes it; a text that is not JSON stays as it is."""
    return (
        answer.encode()
        if isinstance(answer, str)
        else json.dumps(answer, ensure_ascii=False).encode()
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({name for name, _ in pairs}) == len(pairs), "a name is there twice"
    return dict(pairs)


def sent(request: WireRequest[Any]) -> dict[str, Any]:
    """Decode a request's body, which must be a JSON object without repeated names."""
    assert request.body is not None
    body = json.loads(request.body.decode("utf-8"), object_pairs_hook=_unique)
    assert isinstance(body, dict)
    return body


@attrs.frozen
class Capture:
    """One recorded request with its answer."""

    path: str
    asked: Any
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def stream(self) -> bool:
        """Whether the answer is a stream of server-sent events."""
        return (
            self.status == 200 and isinstance(self.asked, dict) and bool(self.asked.get("stream"))
        )

    def answer(self) -> Any:
        """A copy of the answer's JSON, free to be changed."""
        assert not self.stream, "a stream is no JSON"
        return json.loads(self.body)

    def events(self) -> list[Any]:
        """The JSON of a stream's events, without the ``[DONE]`` behind them."""
        lines = [line.removeprefix("data: ") for line in self.body.decode().split("\n")]
        return [json.loads(line) for line in lines if line not in ("", "[DONE]")]

    def refusal(self) -> EndpointError:
        """The error that the endpoint would make of it."""
        return error_of(self.status, self.headers, self.body, url="http://server", now=0.0)

    def dialect(self, limits: Limits | None = None) -> Dialect:
        """A dialect that would have sent the request."""
        kind = LlamaCpp if self.path == "/completion" else OpenAI
        return kind("smol", "auto", limits or Limits(), stream=self.stream)

    def vllm(self) -> Dialect:
        """vLLM's own, for an answer that has its token ids."""
        return VLLM("smol", "auto", Limits(), stream=self.stream)

    def kinds(self) -> list[Callable[[], Dialect]]:
        """Factories of the dialects that can read the response by itself."""
        with_ids = self.path == "/v1/completions" and self.asked.get("return_token_ids")
        return [self.dialect, self.vllm] if with_ids else [self.dialect]

    def prompt(self) -> PromptLike:
        """The prompt, without the assistant's message that the server was to continue."""
        if "messages" not in self.asked:
            given = self.asked["prompt"]
            # The prompt does not matter for reading an answer; the search takes no empty one, and
            # none in token ids.
            return given if given and isinstance(given, str) else "another prompt"
        messages: list[dict[str, Any]] = self.asked["messages"]
        return messages[:-1] if messages[-1]["role"] == "assistant" else messages

    def beam(self) -> Beam:
        """The beam that the recorded request continued."""
        last = self.asked.get("messages", [{"role": ""}])[-1]
        return beam_of(last["content"]) if last["role"] == "assistant" else Beam()

    def request(self, **changes: Any) -> SampleRequest:
        """The request that a search would have sent to get this response."""
        asked = self.asked
        top = asked.get("top_logprobs", asked.get("n_probs", asked.get("logprobs", 0)))
        values: dict[str, Any] = {
            "beam": self.beam(),
            "n": asked.get("n", asked.get("n_cmpl", 1)),
            "max_tokens": asked.get("max_tokens", asked.get("n_predict")),
            "temperature": asked.get("temperature", 1.0),
            "top_logprobs": int(top),  # true means one
            "seed": asked.get("seed"),
        }
        return SampleRequest(**(values | changes))


def capture(case: str) -> Capture:
    """The recorded exchange of that name."""
    return load(CAPTURES / f"{case}.json")


def load(path: Path) -> Capture:
    """The recorded exchange in a file."""
    data = json.loads(path.read_text("utf-8"))
    request, response = data["request"], data["response"]
    body = response["body"]
    if "event-stream" in response["headers"].get("content-type", "") and isinstance(body, list):
        body = "\n".join(body) + "\n"
    return Capture(
        request["path"],
        request["json"],
        response["status"],
        response["headers"],
        encode(body),
    )


def captures(pattern: str) -> list[str]:
    """The names of the recorded exchanges that fit a pattern."""
    return sorted(path.stem for path in CAPTURES.glob(f"{pattern}.json"))


def completed(*, stream: bool) -> list[str]:
    """The names of those that a dialect reads: what was generated, as JSON or as a stream."""
    found = [(case, capture(case)) for case in captures("*")]
    return [
        case
        for case, recorded in found
        if recorded.status == 200 and recorded.path in COMPLETIONS and recorded.stream == stream
    ]


@attrs.frozen
class Replayed(Generic[T]):
    """The result of an exchange, and the requests it sent."""

    value: T
    requests: list[WireRequest[Any]]


def drive(
    exchange: Exchange[T], answer: Callable[[WireRequest[Any]], bytes | EndpointError]
) -> Replayed[T]:
    """Carry an exchange through, with a function in the server's place."""
    requests: list[WireRequest[Any]] = []
    try:
        request = next(exchange)
        while True:
            requests.append(request)
            got = answer(request)
            if isinstance(got, EndpointError):
                request = exchange.throw(got)
            else:
                request = exchange.send(request.decode(got))
    except StopIteration as stop:
        return Replayed(stop.value, requests)


def replay(exchange: Exchange[T], *answers: bytes | EndpointError) -> Replayed[T]:
    """Carry an exchange through with exactly these answers, one after the other."""
    left = list(answers)

    def next_answer(request: WireRequest[Any]) -> bytes | EndpointError:
        assert left, f"no answer was expected to be needed for {request.path}"
        return left.pop(0)

    replayed = drive(exchange, next_answer)
    assert not left, "fewer requests than expected"
    return replayed


def prepared(dialect: Dialect, prompt: PromptLike) -> Any:
    """A prompt that the dialect takes without asking the server anything."""
    return replay(dialect.prepare(check_prompt(prompt))).value


def ask(
    recorded: Capture,
    *answers: bytes | EndpointError,
    dialect: Dialect | None = None,
    **changes: Any,
) -> Replayed[ExchangeResult]:
    """Send the recorded request through a dialect; without answers, the recorded one is played."""
    dialect = dialect or recorded.dialect()
    exchange = dialect.sample(prepared(dialect, recorded.prompt()), recorded.request(**changes))
    return replay(exchange, *(answers or (recorded.body,)))


def refused(
    recorded: Capture, error: EndpointError, *, dialect: Dialect | None = None, **changes: Any
) -> tuple[EndpointError, list[WireRequest[Any]]]:
    """Send the recorded request to a server that refuses all; returns the error raised and all requests."""
    dialect = dialect or recorded.dialect()
    exchange = dialect.sample(prepared(dialect, recorded.prompt()), recorded.request(**changes))
    requests: list[WireRequest[Any]] = []

    def refuse(request: WireRequest[Any]) -> EndpointError:
        requests.append(request)
        return error

    with pytest.raises(EndpointError) as raised:
        drive(exchange, refuse)
    return raised.value, requests


def read(case: str, **changes: Any) -> ExchangeResult:
    """Read a recorded response with its dialect."""
    return ask(capture(case), **changes).value


def only(answer: ExchangeResult) -> Continuation:
    """The continuation of an answer that holds one."""
    (continuation,) = answer.continuations
    return continuation


def beam_of(*blocks: str) -> Beam:
    """A beam of one block for each text."""
    beam = Beam()
    for text in blocks:
        token = Token(text, -1.0, len(text), text.encode())
        beam = beam.extend(Continuation(tokens=(token,), data=text.encode()))
    return beam
