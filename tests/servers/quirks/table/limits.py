"""Limits on what one request may ask for, with a number in the refusal, without one, or without a refusal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from tests.servers.quirks.quirk import Ask, Reply, quirk


def _refused(body: Any, status: int = 400) -> Reply:
    return Reply(status=status, answer=body)


def _n_above(most: int, words: str, shape: Callable[[str], Any], ask: Ask) -> Ask | Reply:
    if (ask.body.get("n") or 1) <= most:
        return ask
    return _refused(shape(words.format(most=most, asked=ask.body["n"])))


def _message(words: str) -> Any:
    return {"error": {"message": words}}


def _pydantic(words: str) -> Any:
    return {"detail": [{"loc": ["body", "n"], "msg": words, "type": "less_than_equal"}]}


_N_WORDS = {
    "'n' must be at most {most}": _message,
    "n must be between 1 and {most}, got {asked}": _message,
    "Invalid value for 'n': integer above maximum value. Expected <= {most}, not {asked}.": _message,
    "Input should be less than or equal to {most}": _pydantic,
    "parameter n must be in the range [1, {most}]": _message,
    "n={asked} is larger than the {most} samples allowed": _message,
    "number of choices (n) is limited to {most}": _message,
    "best_of must be {most} when n is {asked}": _message,
    "The value of n is too large": _message,
    "Too many completions requested": lambda words: {"error": words},
    "`num_return_sequences` is limited to {most}": lambda words: {"detail": words},
}
for _words, _shape in _N_WORDS.items():
    for _most in (1, 2):
        quirk(
            f"n at most {_most}: {_words}",
            kind="limits",
            about="max_n",
            ask=partial(_n_above, _most, _words, _shape),
            vague="n" not in _words.replace("'", " ").replace("=", " ").split(),
        )
quirk(
    "only one choice",
    kind="limits",
    about="max_n",
    ask=partial(_n_above, 1, "Only one completion choice is allowed", _message),
    vague=True,
)


def _fewer_choices(most: int, ask: Ask, answer: Any) -> Any:
    return {**answer, "choices": answer["choices"][:most]}


quirk("n is ignored", kind="limits", about="max_n", answer=partial(_fewer_choices, 1))
quirk("n is cut down", kind="limits", about="max_n", answer=partial(_fewer_choices, 3))


def _logprobs_above(most: int, words: str, ask: Ask) -> Ask | Reply:
    asked = ask.body.get("top_logprobs") if ask.chat else ask.body.get("logprobs")
    if isinstance(asked, bool) or (asked or 0) <= most:
        return ask
    return _refused(_message(words.format(most=most, asked=asked)))


for _words in (
    "Requested sample logprobs of {asked}, which is greater than max allowed: {most}",
    "Invalid value for 'top_logprobs': must be less than or equal to {most}.",
    "logprobs must be in range [0, {most}]",
    "top_logprobs: {asked} is above the limit",
    "Bad Request",
):
    quirk(
        f"log-probabilities: {_words}",
        kind="limits",
        about="logprobs",
        ask=partial(_logprobs_above, 2, _words),
        top=4,
        vague="{most}" not in _words,
    )


def _fewer_alternatives(ask: Ask, answer: Any) -> Any:
    for choice in answer["choices"]:
        shown = choice["logprobs"] or {}
        for entry in shown.get("content") or ():
            entry["top_logprobs"] = entry["top_logprobs"][:1]
        if shown.get("top_logprobs"):
            shown["top_logprobs"] = [dict(list(row.items())[:1]) for row in shown["top_logprobs"]]
    return answer


quirk("fewer alternatives", kind="limits", about="alternatives", answer=_fewer_alternatives, top=4)


def _tokens_above(most: int, words: str, ask: Ask) -> Ask | Reply:
    if (
        ask.completes
        and ask.body.get("max_tokens", ask.body.get("max_completion_tokens", 0)) > most
    ):
        return _refused(_message(words.format(most=most)))
    return ask


for _words in (
    "max_tokens must be at most {most}",
    "max_tokens is too large: this model supports at most {most} completion tokens",
    "Range of max_tokens should be [1, {most}]",
):
    quirk(
        f"tokens: {_words}",
        kind="limits",
        about="max_tokens",
        ask=partial(_tokens_above, 2, _words),
        outcome="error",
        words="tokens_per_step",
    )


def _clamped(ask: Ask) -> Ask | Reply:
    return ask.with_fields(max_tokens=2) if ask.body.get("max_tokens", 0) > 2 else ask


quirk("tokens are cut down", kind="limits", about="max_tokens", ask=_clamped, outcome="right")


def _too_large(answer: Any, ask: Ask) -> Ask | Reply:
    return Reply(status=413, answer=answer) if ask.grown else ask


for _name, _answer in {
    "a page": b"<html><head><title>413 Request Entity Too Large</title></head></html>",
    "words": {"error": "Payload Too Large"},
    "nothing": b"",
}.items():
    quirk(
        f"a longer body is too large, {_name}",
        kind="limits",
        about="context",
        ask=partial(_too_large, _answer),
        outcome="right",
    )
