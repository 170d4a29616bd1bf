"""The report as one page of HTML, with every question and what each strategy answered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from string import Template

from trio_beam.benchmark.common.problem import Problem
from trio_beam.benchmark.origin import Origin
from trio_beam.benchmark.progress import verdict
from trio_beam.benchmark.records import Record, digest_of_problem
from trio_beam.benchmark.tables import (
    PAIR_HEADERS,
    SAMPLE_HEADERS,
    SAMPLE_NOTE,
    Results,
    narrow_cells,
    pair_cells,
    sample_cells,
)

#: Not printable, and yet a part of what is read: line ends, and what joins emoji.
_KEPT = "\n\t\u200d"
_PAGE = Template("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 }
th, td { border-bottom: 1px solid #ccc; padding: .3em .8em; text-align: right }
.text { text-align: left }
pre { background: #f6f6f6; overflow-wrap: anywhere; padding: .8em; white-space: pre-wrap }
img { max-width: 100% }
summary { cursor: pointer }
details { border-bottom: 1px solid #ccc; padding: .4em 0 }
.passed { color: #00693e } .failed { color: #b03a00 }
</style>
<h1>$title</h1>
$body
</html>
""")


def as_html(
    results: Results, origin: Origin, pictures: Sequence[str], problems: Sequence[Problem]
) -> str:
    """Write the page.

    Args:
        results: of a run, or of a sweep.
        origin: stands at the top.
        pictures: paths of the plots, relative to the page.
        problems: the questions, in their order.
    """
    same, headers, rows = narrow_cells(results)
    body = [
        f"<p>{_text(origin.date)}, {_text(origin.version)}<br>{_text(origin.machine)}</p>",
        f"<pre>{_text(origin.command)}</pre>" if origin.command else "",
        f"<p>{_text(same)}</p>",
        _table(headers, rows, headers.index("Strategy") + 1),
        _table(PAIR_HEADERS, pair_cells(results), 1) if results.pairs else "",
        *_samples(results),
        *(f'<p><img src="{_text(name)}" alt="{_text(name)}"></p>' for name in pictures),
        "<h2>Questions and answers</h2>" if problems else "",
        *_questions(results, problems),
    ]
    return _PAGE.substitute(title=_text(results.benchmarks()), body="\n".join(filter(None, body)))


def _samples(results: Results) -> Iterator[str]:
    if rows := sample_cells(results):
        yield _table(SAMPLE_HEADERS, rows, 1)
        yield f"<p>{SAMPLE_NOTE}</p>"


def _questions(results: Results, problems: Sequence[Problem]) -> Iterator[str]:
    by_problem: dict[tuple[str, str], list[tuple[str, Record]]] = {}
    for row, name in zip(results.rows, results.names, strict=True):
        for record in row.batch.records:
            answers = by_problem.setdefault((record.problem, record.digest), [])
            answers.append((name, record))
    for problem in problems:
        answered = by_problem.pop((problem.id, digest_of_problem(problem)), [])
        if answered:
            yield _question(problem, answered)


def _question(problem: Problem, answered: Sequence[tuple[str, Record]]) -> str:
    passed = sum(record.passed is True for _, record in answered)
    head = f"{_text(problem.id)}: {passed} of {len(answered)} passed"
    answers = "\n".join(_answer(name, record) for name, record in answered)
    return (
        f"<details><summary>{head}</summary>\n<pre>{_text(problem.prompt)}</pre>\n"
        f"<p>Right: <code>{_text(str(_right(problem.reference)))}</code></p>\n{answers}\n</details>"
    )


def _answer(name: str, record: Record) -> str:
    kind = "" if record.passed is None else "passed" if record.passed else "failed"
    found = "" if record.answer is None else f", found <code>{_text(record.answer)}</code>"
    why = f" ({_text(record.detail)})" if record.detail and not record.error else ""
    return (
        f'<p><b>{_text(name)}</b>: <span class="{kind}">{_text(verdict(record))}</span>{why}{found},'
        f" {record.seconds:.1f} s, {record.completion_tokens} tokens</p>\n<pre>{_text(record.text)}</pre>"
    )


def _right(reference: object) -> object:
    """Return what a reader wants to see of a reference: the answers, or the tests."""
    if isinstance(reference, dict):
        for key in ("answer", "answers", "test"):
            if key in reference:
                return reference[key]
    return reference


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    def line(cells: Sequence[str], tag: str) -> str:
        kinds = [' class="text"' if index < texts else "" for index in range(len(cells))]
        inner = "".join(
            f"<{tag}{kind}>{_text(cell)}</{tag}>" for cell, kind in zip(cells, kinds, strict=True)
        )
        return f"<tr>{inner}</tr>"

    return "\n".join(
        ["<table>", line(headers, "th"), *(line(row, "td") for row in rows), "</table>"]
    )


def _text(text: str) -> str:
    """Write a text of anybody's: no markup, and nothing that cannot be seen."""
    if text.isprintable():
        return escape(text)
    seen = (
        one if one.isprintable() or one in _KEPT else one.encode("unicode_escape").decode()
        for one in text.replace("\r\n", "\n")
    )
    return escape("".join(seen))
