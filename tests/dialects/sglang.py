"""The sglang dialect, asked for a block by requests that differ in what a test is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.dialects.replay import capture, encode, replay
from trio_beam.core.beam import Beam
from trio_beam.core.language_model import SampleRequest
from trio_beam.core.prompt import check_prompt
from trio_beam.dialects.common.limits import Limits
from trio_beam.dialects.sglang import PreparedPrompt, SGLang
from trio_beam.errors import EndpointError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.dialects.replay import Replayed
    from trio_beam.dialects.common.exchange import ExchangeResult

DOCUMENTED = capture("documented_sglang__generate")
PROMPT = [6403, 1980, 253, 655]
CHAT = [{"role": "user", "content": "Hello"}]
PLAIN = {
    "top_p": 1,
    "top_k": -1,
    "min_p": 0,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "repetition_penalty": 1,
}


def sglang(known: Limits | None = None) -> SGLang:
    return SGLang("smol", "auto", known or Limits())


def taken_by(dialect: SGLang, numbers: Sequence[int] = PROMPT) -> PreparedPrompt:
    exchange = dialect.prepare(check_prompt("Once upon a time"))
    return replay(exchange, encode({"tokens": numbers, "count": len(numbers)})).value


def wish(**changes: Any) -> SampleRequest:
    values: dict[str, Any] = {
        "beam": Beam(),
        "n": 1,
        "max_tokens": 3,
        "temperature": 1,
        "top_logprobs": 0,
        "seed": None,
    }
    return SampleRequest(**(values | changes))


def ask(*answers: Any, **changes: Any) -> Replayed[ExchangeResult]:
    dialect = sglang()
    played = [answer if isinstance(answer, EndpointError) else encode(answer) for answer in answers]
    exchange = dialect.sample(taken_by(dialect), wish(**changes))
    return replay(exchange, *(played or [DOCUMENTED.body]))


def documented(text: str | None = None, **meta: Any) -> dict[str, Any]:
    """The documented answer with other values in it."""
    answer: dict[str, Any] = DOCUMENTED.answer()
    answer["text"] = answer["text"] if text is None else text
    answer["meta_info"] |= meta
    return answer


def as_prompt(*values: float) -> dict[str, Any]:
    """The answer to prompt and block, with the documented block's tokens."""
    rows: list[list[Any]] = [[None, 655, " time"]]
    rows += [
        [value, number, text]
        for value, (_, number, text) in zip(
            values, DOCUMENTED.answer()["meta_info"]["output_token_logprobs"], strict=True
        )
    ]
    tops = [None, *([[-0.1, 1, "x"], [None, 2, "y"]] for _ in values)]
    return documented(
        "", input_token_logprobs=rows, input_top_logprobs=tops, output_token_logprobs=[]
    )
