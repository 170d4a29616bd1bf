"""No spelling of a secret is left in a text, and everything else is."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.http.spellings import KEY, around, is_kept, shown, spelt
from trio_beam.http.secrets import PIECE, Secrets
from trio_beam.http.words import Words

SECRETS = Secrets([KEY, "short"])


@given(parts=spelt(), before=around, after=around)
def test_a_key_in_any_spelling(parts: list[str], before: str, after: str) -> None:
    text = SECRETS.redact(before + "".join(parts) + after)
    assert "***" in text
    assert is_kept(parts, text)


@pytest.mark.parametrize("size", range(PIECE, len(KEY) + 1))
def test_a_piece_of_any_size(size: int) -> None:
    for start in range(len(KEY) - size + 1):
        piece = KEY[start : start + size]
        assert SECRETS.redact(f"<{piece}>") == "<***>"


def test_a_short_secret_is_found_as_a_whole() -> None:
    assert SECRETS.redact("a shor, a short and a %73hort") == "a shor, a *** and a ***"
    assert Secrets(["abc"]).redact("abc") == "abc"


def test_a_password_that_is_not_ascii() -> None:
    secrets = Secrets(["pässwört-1"])
    for spelling in (
        "pässwört-1",
        "p%C3%A4ssw%C3%B6rt-1",
        "p\\u00e4ssw\\u00f6rt-1",
        "p&auml;ssw&ouml;rt-1",
    ):
        assert secrets.redact(f"no {spelling}!") == "no ***!"


def test_a_secret_with_a_blank() -> None:
    secrets = Secrets(["two words of it"])
    for spelling in (
        "two words of it",
        "two+words+of+it",
        "two%20words%20of%20it",
        "twowords\nof it",
    ):
        assert secrets.redact(f"<{spelling}>") == "<***>"


@given(st.text(max_size=80))
@example("application/json: the model's key is wrong, see https://host/path?x=1%202&amp;")
def test_other_text_stays_as_it_is(text: str) -> None:
    if shown(list("short"), text.lower()) != len("short"):
        assert SECRETS.redact(text) == text
    assert Secrets([]).redact(text + KEY) == text + KEY


@given(st.text(st.sampled_from("aA0 \\%u{}&#;x/+="), max_size=300))
def test_pieces_of_escapes_break_nothing(text: str) -> None:
    assert SECRETS.redact(text) == text


@given(parts=spelt(), place=st.integers(0, 12_000), length=st.integers(0, 12_000))
def test_nothing_is_shown_where_a_text_is_cut(parts: list[str], place: int, length: int) -> None:
    text = "x" * place + "".join(parts) + "." * length
    said = Words([KEY]).fit(text)
    assert len(said) < 1000
    assert is_kept(parts, said)


def test_the_end_of_a_long_message_is_shown() -> None:
    said = Words([]).fit("HTTP 401: " + "x" * 5000 + " (is the API key right?)")
    assert said.startswith("HTTP 401: xxx")
    assert said.endswith("xxx (is the API key right?)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\n[BeamSearch]   Best score: 0", "a\\n[BeamSearch]   Best score: 0"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\rb\x85c\u2028d\u202ee\x7f", "a\\rb\\x85c\\u2028d\\u202ee\\x7f"),
        ("é 日本 α", "é 日本 α"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_escaped(text: str, said: str) -> None:
    assert Words([]).fit(text) == said
    assert Words([]).fit(said) == said
