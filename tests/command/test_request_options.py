"""``--header`` and ``--extra-body``."""

from __future__ import annotations

import pytest

from trio_beam.command.request_options import parse_body, parse_header
from trio_beam.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("X-Title: my run", ("X-Title", "my run")),
        ("x-a:b:c", ("x-a", "b:c")),
        ("X-Empty:", ("X-Empty", "")),
    ],
)
def test_a_header_is_split_at_its_first_colon(text: str, header: tuple[str, str]) -> None:
    assert parse_header(text) == header


@pytest.mark.parametrize("text", ["Bearer secret", ": secret", ""])
def test_a_header_without_a_name_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_header(text)
    assert "secret" not in str(caught.value)


def test_a_body_is_a_json_object() -> None:
    assert parse_body('{"a": {"b": [1]}}') == {"a": {"b": [1]}}
    for text in ("[1]", "1", "{", "", "a=b"):
        with pytest.raises(ConfigError, match="--extra-body must be a JSON object"):
            parse_body(text)
