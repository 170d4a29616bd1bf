"""Why a text ended, in words of one's own, or in none; with the token that ends it shown or not."""

from __future__ import annotations

from functools import partial
from typing import Any

from tests.servers.quirks.quirk import Ask, quirk


def _reworded(words: dict[str, Any], ask: Ask, answer: Any) -> Any:
    for choice in answer["choices"]:
        choice["finish_reason"] = words.get(choice["finish_reason"], choice["finish_reason"])
    return answer


for _word in (
    "eos",
    "EOS",
    "eos_token",
    "stop_sequence",
    "end_turn",
    "STOP",
    "FINISH_REASON_STOP",
    "endoftext",
    "completed",
    "end-turn",
    "EndOfText",
    "stopSequence",
    "natural",
    "COMPLETE",
    "normal",
    "",
    None,
):
    quirk(
        f"stop is {_word!r}",
        kind="endings",
        about="reason",
        answer=partial(_reworded, {"stop": _word}),
    )
for _word in (
    "max_length",
    "MAX_TOKENS",
    "max_new_tokens",
    "maxTokens",
    "token_limit",
    "TRUNCATED",
    "",
    None,
    "budget",
):
    quirk(
        f"length is {_word!r}",
        kind="endings",
        about="reason end max_tokens",
        answer=partial(_reworded, {"length": _word}),
    )
for _word in (None, "", "unknown", "stop"):
    quirk(
        f"always {_word!r}",
        kind="endings",
        about="reason end max_tokens",
        answer=partial(_reworded, {"stop": _word, "length": _word}),
    )


def _without_end(ask: Ask, answer: Any) -> Any:
    """The token that ends the text is not shown: hosted APIs."""
    for choice in answer["choices"]:
        shown = choice["logprobs"]
        rows = [row for row in shown.values() if row] if shown else []
        if (
            rows
            and rows[0][-1:]
            and "</s>" in (rows[0][-1], rows[0][-1]["token"] if ask.chat else "")
        ):
            for row in rows:
                del row[-1:]
    return answer


quirk(
    "the end is not shown",
    kind="endings",
    about="end",
    answer=_without_end,
    outcome="right",
    approximate=True,
)


def _silently_cut(ask: Ask, answer: Any) -> Any:
    answer = _without_end(ask, answer)
    return _reworded({"stop": None, "length": None}, ask, answer)


quirk(
    "neither the end nor a reason",
    kind="endings",
    about="reason",
    answer=_silently_cut,
    outcome="right",
    approximate=True,
)
