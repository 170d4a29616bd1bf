"""Fields that a caller adds to every request."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dialects.replay import capture, completed, prepared, sent
from trio_beam.dialects.common.extra_body import RESERVED, ExtraBody
from trio_beam.errors import ConfigError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


CASES = completed(stream=False)


@pytest.mark.parametrize("case", CASES)
def test_whatever_a_search_sends_is_reserved(case: str) -> None:
    """Else a caller's field would stand beside it in the same object."""
    recorded = capture(case)
    dialect = recorded.dialect()
    exchange = dialect.sample(prepared(dialect, recorded.prompt()), recorded.request(seed=1))
    assert sent(next(exchange)).keys() <= RESERVED


@given(fields=st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=4))
def test_fields_stand_behind_those_of_a_search(fields: dict[str, Any]) -> None:
    fields = {name: value for name, value in fields.items() if name not in RESERVED} or {"x": 1}
    body = ExtraBody.parse(fields).added_to(b'{"prompt":"p"}')
    assert json.loads(body) == {"prompt": "p", **fields}


@pytest.mark.parametrize("name", ["temperature", "n", "top_k", "stream", "sampling_params"])
def test_what_a_search_sets_itself_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"extra_body must be.*{name}") as caught:
        ExtraBody.parse({"reasoning_effort": "low", name: 1})
    assert caught.value.field == "extra_body"


@pytest.mark.parametrize(
    "fields", [{"a": object()}, {1: 2}, ["a"], "a", {"a": b"\xff" and {1, 2j}}]
)
def test_what_is_no_json_is_refused(fields: Any) -> None:
    with pytest.raises(ConfigError, match="extra_body"):
        ExtraBody.parse(fields)


@pytest.mark.parametrize(
    ("name", "shapes"), [("presence_penalty", True), ("chat_template_kwargs", False)]
)
def test_fields_that_shape_the_samples_are_known(name: str, shapes: bool) -> None:
    assert ExtraBody.parse({name: 1}).shapes is shapes
