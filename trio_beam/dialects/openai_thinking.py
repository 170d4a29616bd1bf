"""Limits on thinking that servers of the OpenAI protocol keep to by themselves, for chats.

A chat's server takes the thinking out of the text, so its end cannot be appended there. Each family has a
field of its own for a limit. All of them are sent; a strict server refuses those that it does not know by
name, a lenient one ignores them. Whether any had an effect is seen in the response (`check_budget`).

From documentation: vLLM 0.32 (``thinking_token_budget``, recorded), llama.cpp's server
(``thinking_budget_tokens``), Qwen's hosts (``thinking_budget``), OpenRouter (``reasoning.max_tokens``),
Anthropic's shape at gateways (``thinking.budget_tokens``). OpenAI has no such field.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trio_beam.core.reasoning import split
from trio_beam.dialects.common.negotiation import VALUE, OptionalField, Way
from trio_beam.dialects.common.usage_counts import reasoning_tokens
from trio_beam.dialects.openai_wire import AnyChoice
from trio_beam.errors import RequestRejected

_OTHERWISE = (
    "set the server's own limit instead, such as extra_body={'reasoning_effort': 'low'}, or search a server"
    " that takes token ids (vLLM, SGLang, llama.cpp), where the end of thinking is forced"
)
#: Servers treat a limit as a target: tokens, and the part of the limit, by which they may exceed it.
_SLACK, _PART = 64, 4
#: Usual number of bytes per token.
_BYTES = 4


def _limits(budget: int) -> dict[str, Any]:
    return {
        "thinking_token_budget": budget,
        "thinking_budget_tokens": budget,
        "thinking_budget": budget,
        "reasoning": {"max_tokens": budget},
        "thinking": {"type": "enabled", "budget_tokens": budget},
    }


#: In the order of trials. A refused number (Anthropic's must be 1024 or more) is not a refused field.
BUDGET_FIELDS = tuple(
    OptionalField(
        name=name,
        ways=(Way(fields={name: VALUE}), Way(fields={})),
        advice="set reasoning_budget to what the server allows",
        is_limit=True,
    )
    for name in _limits(0)
)


def budget_values(budget: int | None) -> dict[str, Any]:
    """Return the fields under which a limit of tokens is sent; {} without one."""
    return {} if budget is None else _limits(budget)


def check_sent(fields: dict[str, Any]) -> None:
    """Raise `RequestRejected` if the server has refused every field for a limit."""
    if not _limits(0).keys() & fields.keys():
        raise RequestRejected(
            f"this server takes no limit on thinking (reasoning_budget): {_OTHERWISE}", status=400
        )


def check_budget(choices: Sequence[AnyChoice], usage: Any, budget: int) -> None:
    """Check that the thinking in a response is about as long as was asked.

    Raises:
        RequestRejected: it is longer, so the server ignores the limit.
    """
    shown = [choice.thought + split(choice.content, "auto").reasoning for choice in choices]
    # Some servers count no thinking although they show it.
    longest = max((len(text.encode()) // _BYTES for text in shown), default=0)
    counted = (reasoning_tokens(usage) or 0) // max(1, len(choices))
    if max(longest, counted) > budget + max(_SLACK, budget // _PART):
        raise RequestRejected(
            f"the server ignores reasoning_budget={budget}: it thought for about"
            f" {max(longest, counted)} tokens; {_OTHERWISE}",
            status=400,
        )
