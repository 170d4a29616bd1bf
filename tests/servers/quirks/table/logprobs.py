"""Log-probabilities that are missing, wrong, or of something else; or the same ones otherwise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.servers.quirks.quirk import Ask, quirk

#: A token with its value, as (token, value, bytes).
Row = tuple[Any, Any, Any]


def _rows(change: Callable[[list[Row]], list[Row]], ask: Ask, answer: Any) -> Any:
    """Change the tokens of every choice, in either shape."""
    for choice in answer["choices"]:
        shown = choice["logprobs"]
        if not shown:
            continue
        if ask.chat:
            rows = [(one["token"], one["logprob"], one["bytes"]) for one in shown["content"]]
            shown["content"] = [
                {"token": token, "logprob": value, "bytes": data, "top_logprobs": []}
                for token, value, data in change(rows)
            ]
        else:
            pairs = zip(shown["tokens"], shown["token_logprobs"], strict=True)
            changed = change([(token, value, None) for token, value in pairs])
            shown["tokens"] = [token for token, _, _ in changed]
            shown["token_logprobs"] = [value for _, value, _ in changed]
            shown["top_logprobs"] = None
    return answer


def _values(change: Callable[[float], Any]) -> Callable[[list[Row]], list[Row]]:
    return lambda rows: [(token, change(value), data) for token, value, data in rows]


_WRONG: dict[str, tuple[Callable[[list[Row]], list[Row]], str]] = {
    "null": (_values(lambda value: None), "without its log-probability"),
    "one is null": (
        lambda rows: [(rows[0][0], None, rows[0][2]), *rows[1:]],
        "without its log-prob",
    ),
    "-9999": (_values(lambda value: -9999.0), "where a token's log-probability"),
    "minus infinity": (_values(lambda value: float("-inf")), "where a token's log-probability"),
    "not a number": (_values(lambda value: float("nan")), "where a token's log-probability"),
    "positive": (_values(lambda value: -value), "above 0"),
    "probabilities": (_values(lambda value: 2.718281828**value), "above 0"),
    "too many": (
        lambda rows: [*rows, (" x", -1.0, [32, 120]), (" y", -1.0, [32, 121])],
        "log-prob",
    ),
    "those of others": (
        lambda rows: [(" other", value, None) for _, value, _ in rows],
        "do not belong to the text",
    ),
    "those of one token": (lambda rows: rows[:1] * len(rows), "do not belong to the text"),
    "none": (lambda rows: [], "log-probabilities"),
}
for _name, (_change, _words) in _WRONG.items():
    quirk(
        f"log-probabilities are {_name}",
        kind="log-probabilities",
        about="values",
        answer=partial(_rows, _change),
        outcome="error",
        words=_words,
    )
for _name, _same in {
    "without bytes": lambda rows: [(token, value, None) for token, value, _ in rows],
    "a hair above 0": lambda rows: [(token, min(value, 0.0), data) for token, value, data in rows],
    "with marked spaces": lambda rows: [
        (token.replace(" ", "Ġ"), value, None) for token, value, _ in rows
    ],
    "with SentencePiece's spaces": lambda rows: [
        (token.replace(" ", "▁"), value, None) for token, value, _ in rows
    ],
    "with ids for bytes": lambda rows: [
        (token, value, []) if token == "</s>" else (token, value, data)
        for token, value, data in rows
    ],
}.items():
    quirk(
        f"tokens {_name}",
        kind="log-probabilities",
        about="values",
        answer=partial(_rows, _same),
    )
quirk(  # nobody can tell by it which of them is the end
    "tokens by ids",
    kind="log-probabilities",
    about="values text",
    answer=partial(
        _rows,
        lambda rows: [(f"token_id:{ord(token[-1])}", value, None) for token, value, _ in rows],
    ),
    outcome="right",
    approximate=True,
)
# One too few at the front is another text; at the end, an end that is not shown.
quirk(
    "log-probabilities are too few",
    kind="log-probabilities",
    about="values",
    answer=partial(_rows, lambda rows: rows[1:]),
    outcome="error",
    words="log-probabilities",
)


def _lengths(ask: Ask, answer: Any) -> Any:
    for choice in answer["choices"]:
        if choice["logprobs"]:
            choice["logprobs"]["token_logprobs"] = choice["logprobs"]["token_logprobs"][:-1]
    return answer


quirk(
    "lists of other lengths",
    kind="log-probabilities",
    about="values",
    answer=_lengths,
    api="completions",
    stream=False,
    outcome="error",
    words="log-probabilities",
)


def _nowhere(value: Any, ask: Ask, answer: Any) -> Any:
    for choice in answer["choices"]:
        choice["logprobs"] = value
    return answer


_NOWHERE: dict[str, Any] = {
    "null": None,
    "an empty object": {},
    "an empty list of tokens": {"content": []},
    "null inside": {"content": None, "tokens": None, "token_logprobs": None},
}
for _name, _value in _NOWHERE.items():
    quirk(
        f"no log-probabilities: {_name}",
        kind="log-probabilities",
        about="values",
        answer=partial(_nowhere, _value),
        outcome="error",
        words="log-probabilities",
    )


#: Every next word or another beside it is at least so probable.
_SHOWN = -1.3


def _bounded(ask: Ask, answer: Any) -> Any:
    """-9999 for what is not among the most probable."""
    for choice in answer["choices"]:
        shown = choice["logprobs"] or {}
        for entry in shown.get("content") or ():
            if entry["logprob"] < _SHOWN:
                entry["logprob"] = -9999.0
                entry["top_logprobs"] = [
                    top for top in entry["top_logprobs"] if top["logprob"] >= _SHOWN
                ]
        for place, value in enumerate(shown.get("token_logprobs") or ()):
            if value < _SHOWN:
                shown["token_logprobs"][place] = -9999.0
                row = shown["top_logprobs"][place]
                shown["top_logprobs"][place] = {
                    word: one for word, one in row.items() if one >= _SHOWN
                }
    return answer


quirk(
    "-9999 for the less probable",
    kind="log-probabilities",
    about="values alternatives",
    answer=_bounded,
    top=2,
    outcome="right",
    approximate=True,
)


def _other_shape(ask: Ask, answer: Any) -> Any:
    """The chat's entries in a completion."""
    for choice in answer["choices"]:
        shown = choice["logprobs"]
        if shown and not ask.chat:
            choice["logprobs"] = {
                "content": [
                    {"token": token, "logprob": value, "bytes": None, "top_logprobs": []}
                    for token, value in zip(shown["tokens"], shown["token_logprobs"], strict=True)
                ]
            }
    return answer


quirk(
    "the chat's entries in a completion",
    kind="log-probabilities",
    about="values",
    answer=_other_shape,
)
