"""What a search may start from."""

from __future__ import annotations

from typing import Any

import pytest

from trio_beam.core.prompt import check_prompt
from trio_beam.errors import ConfigError

USER = {"role": "user", "content": "Hello"}
SYSTEM = {"role": "system", "content": "Be brief."}
ASSISTANT = {"role": "assistant", "content": "Hi."}


@pytest.mark.parametrize("text", ["Once upon a time", " ", "\n", "漢"])
def test_a_text_is_kept_as_it_is(text: str) -> None:
    prompt = check_prompt(text)
    assert (prompt.text, prompt.messages) == (text, None)


@pytest.mark.parametrize(
    "messages",
    [
        [USER],
        (USER,),
        [SYSTEM, USER],
        [USER, ASSISTANT, USER],
        [{"role": "user", "content": ""}],
        [{"role": "user", "content": [{"type": "text", "text": "Hello"}], "name": "Ada"}],
        [USER, {"role": "tool", "content": "4", "tool_call_id": "x"}],
    ],
)
def test_messages_are_kept_as_they_are(messages: Any) -> None:
    prompt = check_prompt(messages)
    assert (prompt.text, prompt.messages) == (None, tuple(messages))


def test_the_callers_list_may_change_afterwards() -> None:
    messages = [USER]
    prompt = check_prompt(messages)
    messages.append(ASSISTANT)
    assert prompt.messages == (USER,)


@pytest.mark.parametrize(
    "given",
    [
        "",
        b"Hello",
        None,
        7,
        [],
        (),
        USER,
        ["Hello"],
        [None],
        [USER, "Hello"],
        [{"content": "Hello"}],
        [{"role": None, "content": "Hello"}],
        [{"role": "user"}],
        [{"role": "user", "content": None}],
        [{}],
    ],
)
def test_anything_else_is_refused(given: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"prompt must be a text .Unicode, not empty., or chat"
    ) as caught:
        check_prompt(given)
    assert caught.value.field == "prompt"


def test_the_last_message_must_not_be_the_one_that_is_searched_for() -> None:
    with pytest.raises(ConfigError, match="assistant") as caught:
        check_prompt([USER, ASSISTANT])
    assert caught.value.field == "prompt"
