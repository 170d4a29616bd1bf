"""The report: where it comes from, what can be read in it, and that no answer breaks it."""

from __future__ import annotations

import errno
import json
import os
import re
import tempfile
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trio_beam
from tests.benchmark.steps import steps_of_call
from tests.benchmark.test_store import record_of
from tests.benchmark.test_summary import batch
from trio_beam.benchmark.common.problem import BenchmarkError, Problem
from trio_beam.benchmark.files import file_name, write_atomic
from trio_beam.benchmark.origin import Origin, as_command
from trio_beam.benchmark.page import as_html
from trio_beam.benchmark.records import Record, digest_of_problem
from trio_beam.benchmark.report import write_report
from trio_beam.benchmark.summary import Batch
from trio_beam.benchmark.tables import Results

ORIGIN = Origin.of("run_benchmark.py benchmark.name=sums")
HOSTILE = [
    "</pre></details><script>alert(1)</script>",
    "\x1b]0;owned\x07\x1b[2J",
    "\r\r\n\n\x00\u2028",
    "\u202egnorw\u202c",
    "```\n# not a heading",
    "$title ${body} $$",
    "\ud800",
    "a" * 5000,
    "",
]


def of_answers(*texts: str) -> tuple[Batch, list[Problem]]:
    problems = [
        Problem(id=f"p/{n}", prompt=f"question {n}", reference={"answer": str(n)})
        for n in range(len(texts))
    ]
    records = [
        Record(
            **{
                **{name: getattr(record_of(), name) for name in Record.__struct_fields__},
                "problem": problem.id,
                "digest": digest_of_problem(problem),
                "text": text,
                "answer": text,
                "detail": text,
                "error": text if number % 2 else "",
                "passed": False if number % 2 else None,
            }
        )
        for number, (problem, text) in enumerate(zip(problems, texts, strict=True))
    ]
    return batch("Greedy", {}, records=records, wanted=len(texts)), problems


def page_of(*texts: str) -> str:
    made, problems = of_answers(*texts)
    return as_html(Results.of([made]), ORIGIN, [], problems)


class Tags(HTMLParser):
    """The tags that are open, and the text in each ``pre``."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.quoted: list[str] = []
        self.inside = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)
        self.inside = tag == "pre"
        if self.inside:
            self.quoted.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.quoted[-1] += data


TAGS = Tags(page_of("an answer", "another")).seen


def test_it_says_where_it_comes_from(tmp_path: Path) -> None:
    made, problems = of_answers("an answer")
    write_report(Results.of([made]), tmp_path, origin=ORIGIN, problems=problems, plots=False)
    for name in ("report.md", "report.html"):
        text = unescape((tmp_path / name).read_text("utf-8"))
        assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC", text)
        assert f"trio_beam {trio_beam.__version__}" in text
        assert "run_benchmark.py benchmark.name=sums" in text
        assert f"{os.cpu_count()} core" in text
        assert "Python 3." in text


def test_questions_and_answers_can_be_read() -> None:
    page = page_of("the first\nanswer", "the second")
    assert Tags(page).quoted[1:] == ["question 0", "the first\nanswer", "question 1", "the second"]
    assert "Right: <code>1</code>" in page
    assert "0 of 1 passed" in page


@pytest.mark.parametrize("text", HOSTILE)
def test_no_answer_is_markup_or_invisible(text: str) -> None:
    page = page_of(text, text, text)
    tags = Tags(page)
    assert tags.seen == TAGS
    assert len(tags.quoted) == 7
    assert all(one.isprintable() or one in "\n\t" for one in page)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters()), min_size=1, max_size=4))
def test_any_answers_are_reported(texts: list[str]) -> None:
    made, problems = of_answers(*texts)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_report(Results.of([made]), folder, origin=ORIGIN, problems=problems, plots=False)
        tags = Tags((folder / "report.html").read_text("utf-8"))
        assert tags.seen <= TAGS
        assert len(tags.quoted) == 1 + 2 * len(texts)
        failures = json.loads((folder / "results.json").read_text("utf-8"))["failures"]
        assert len(failures) == sum(bool(text) for text in texts[1::2])


@pytest.mark.parametrize("unit", ["a", "<", "\x1b", "\r\n", "\ud800"])
def test_a_report_is_linear_in_the_length_of_an_answer(unit: str) -> None:
    short, long = (steps_of_call(page_of, unit * count) for count in (500, 1500))
    assert long < 5 * short


SECRETS = [
    ["model.headers.Authorization=Bearer sk-secret"],
    ["+model.headers.X-Key=sk-secret"],
    ["++model.headers={X: sk-secret}"],
    ["--header", "Authorization: Bearer sk-secret"],
    ["--header=Authorization: Bearer sk-secret"],
    ["model.base_url=http://user:sk-secret@host/v1"],
    ["model.base_url=http://host/v1?key=sk-secret"],
]


@pytest.mark.parametrize("words", SECRETS)
def test_a_command_has_no_secrets(words: list[str]) -> None:
    command = as_command("run_benchmark.py", ["greedy.enabled=true", *words, "output.plots=false"])
    assert "secret" not in command
    assert "***" in command
    assert command.startswith("run_benchmark.py greedy.enabled=true ")
    assert command.endswith(" output.plots=false")


def test_a_command_can_be_given_to_a_shell_again() -> None:
    assert as_command("x", ["prompt.suffix=a b'c", "-m"]) == "x 'prompt.suffix=a b'\"'\"'c' -m"


def test_a_file_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_atomic(tmp_path / "a" / "b", "old")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(BenchmarkError, match=r"cannot write .*b: No space left on device"):
        write_atomic(path, "new")
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_a_name_of_any_length_is_a_file_s() -> None:
    assert file_name("BeamSearch(α=4.0,width=2)") == "BeamSearch_α=4.0_width=2"
    one, other = (file_name("α" * 500 + end) for end in "xy")
    assert len(one.encode()) < 255
    assert one != other
