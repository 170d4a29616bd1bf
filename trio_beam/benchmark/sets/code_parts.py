"""Find the parts of a model's answer that may be Python: fenced blocks, and code between words.

What is read in all is at most a fixed multiple of the answer's length (`Reader`), so that no answer takes
longer than others like it.
"""

from __future__ import annotations

import ast
import html
import json
import re
import textwrap
import warnings
from collections import deque
from collections.abc import Iterator

from trio_beam.benchmark.sets.thinking import without_thoughts

#: No solution is longer, and Python needs a hundred times the memory of what it reads.
_LONGEST = 50_000
#: An answer and its prompt are read so many times, or so many characters of a short one.
_MOST_READ = 20
_MOST_READ_OF_SHORT = 20_000

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+.-]*)[^\n]*$", re.MULTILINE)
_STARTS_CODE = re.compile(r"^(?:async[ ]+def|def|class|from|import)[ \t]|^@\w", re.MULTILINE)
_DEFINES = re.compile(r"^(?:async\s+)?def\s", re.MULTILINE)
_PROMPTED = re.compile(r"^>>> (?:async def|def|class|from|import|@)", re.MULTILINE)
_TAG = re.compile(r"^(?:<pre>)?<code(?:[ ][^>\n]{0,80})?>\n?", re.MULTILINE)
_TAG_END = "</code>"
_OTHER_LANGUAGES = {"bash", "sh", "shell", "console", "text", "output", "json", "markdown", "pycon"}


class TooMuch(Exception):
    """As much of an answer was read as may be."""


class Reader:
    """Reads code as Python does, until it has read so many characters.

    Args:
        length: characters of the answer and its prompt.
    """

    def __init__(self, length: int) -> None:
        self._left = max(_MOST_READ_OF_SHORT, _MOST_READ * length)

    def parse(self, source: str) -> ast.Module:
        """Read a source.

        Raises:
            TooMuch: it is longer than what is left.
            SyntaxError: also for what only the compiler finds, such as ``return`` outside a function.
            ValueError, RecursionError, MemoryError: it is too deep, or no source at all.
        """
        self._left -= len(source)
        if self._left < 0:
            raise TooMuch
        return parse(source)

    def parse_all(self, before: str, code: str) -> ast.Module | None:
        """Read all of a code behind another; None if it cannot be read."""
        try:
            return self.parse(f"{before}{code}\n")
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None

    def parse_beginning(self, before: str, code: str) -> ast.Module | None:
        """Read as much of a code as possible, from its beginning to a line that is not indented.

        This drops prose after the code, but keeps errors inside a function.
        """
        lines = code.split("\n")
        ends = [len(lines), *(n for n in range(len(lines) - 1, 0, -1) if lines[n][:1].strip())]
        limit = len(lines)
        for end in ends:
            if end > limit:
                continue
            try:
                return self.parse(before + "\n".join(lines[:end]) + "\n")
            except SyntaxError as error:
                # Lines after the error cannot repair it.
                limit = min(end, (error.lineno or 1) - before.count("\n") - 1)
            except (ValueError, RecursionError, MemoryError):
                return None
        return None


def parse(source: str) -> ast.Module:
    """Parse code; raise SyntaxError also for compile errors, such as ``return`` outside a function."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python, about the model's code
        tree = ast.parse(source)
        compile(tree, "solution", "exec")
    return tree


def clean(text: str) -> str:
    """Return an answer without thoughts, and without what else is around its code: JSON, HTML, ``>>>``."""
    text = without_thoughts(text).replace("\r\n", "\n").replace("\r", "\n")[:_LONGEST]
    text = _from_html(_from_json(text))
    if _PROMPTED.search(text):
        lines = (line for line in text.split("\n") if line.startswith((">>> ", "... ")))
        text = "\n".join(line[4:] for line in lines)
    # Many models begin with a space.
    return text.lstrip() if _STARTS_CODE.match(text.lstrip()) else text


def fenced(text: str) -> Iterator[str]:
    """The fenced blocks that may be Python, in their order; one that is not closed ends with the text."""
    return (code for code, is_fenced in _pieces(text) if is_fenced)


def parts(text: str, entry_point: str, reader: Reader) -> list[str]:
    """Return the fenced blocks, and the code with the function between them, in their order.

    Raises:
        TooMuch: as `Reader.parse`.
    """
    found: list[str] = []
    for piece, is_fenced in _pieces(text):
        found += [dedent(piece)] if is_fenced else _bare(piece, entry_point, reader)
    return found


def dedent(code: str) -> str:
    """Dedent like textwrap, but leave text alone that needs no dedenting, such as docstring lines."""
    return textwrap.dedent(code) if code.lstrip("\n")[:1] in (" ", "\t") else code


def starts(text: str, entry_point: str) -> Iterator[int]:
    """Where the code with the function may begin; words may do that, too: "from the list, we take"."""
    defined = f"def {entry_point}"
    end = text.rfind(defined) + len(defined)
    return (match.start() for match in _STARTS_CODE.finditer(text, 0, end))


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Cut a text into fenced blocks that may be Python, and what is between them."""
    fences = deque(_FENCE.finditer(text))
    place = 0
    if fences and not fences[0][2] and _DEFINES.search(text, 0, fences[0].start()):
        odd = len(fences) % 2
        if odd:  # the code comes first, and the first fence closes what nothing has opened
            fence = fences.popleft()
            yield text[: fence.start()].strip("\n"), True
            place = fence.end()
    while fences:
        opening = fences.popleft()
        yield text[place : opening.start()], False
        end = place = len(text)
        while fences:
            fence = fences.popleft()
            if fence[1][0] == opening[1][0] and not fence[2]:
                end, place = fence.start(), fence.end()
                break
        inside = text[opening.end() : end]
        if opening[2].lower() not in _OTHER_LANGUAGES and inside.strip():
            yield inside.strip("\n"), True
    yield text[place:], False


def _bare(text: str, entry_point: str, reader: Reader) -> Iterator[str]:
    """The runs of code in words, up to the last definition of the function."""
    if f"def {entry_point}" not in text:
        return
    text = _unindented(text, entry_point)
    past = 0
    for start in starts(text, entry_point):
        if start < past:
            continue
        code = text[start:]
        tree = reader.parse_beginning("", code)
        if tree is not None and tree.body:
            last = tree.body[-1].end_lineno or 1
            read = "\n".join(code.split("\n")[:last])
            past = start + len(read)
            yield read


def _unindented(text: str, entry_point: str) -> str:
    """Dedent a function that is indented as a whole, as a block of Markdown."""
    match = re.search(rf"^([ \t]+)def {re.escape(entry_point)}\b", text, re.MULTILINE)
    if match is None:
        return text
    before, after = text[: match.start()], text[match.start() :].split("\n")
    inside = [not line.strip() or line.startswith(match[1]) for line in after]
    end = inside.index(False) if False in inside else len(after)
    return before + "\n".join(
        [*(line.removeprefix(match[1]) for line in after[:end]), *after[end:]]
    )


def _from_json(text: str) -> str:
    """Return the code in an object; the text itself if it is none."""
    if not text.lstrip().startswith("{"):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    values = found.values() if isinstance(found, dict) else ()
    return next((one for one in values if isinstance(one, str) and "def " in one), text)


def _from_html(text: str) -> str:
    """Turn the elements ``code`` that begin a line into fenced blocks."""
    cut: list[str] = []
    place = 0
    while (tag := _TAG.search(text, place)) and (end := text.find(_TAG_END, tag.end())) >= 0:
        inside = html.unescape(text[tag.end() : end]).rstrip("\n")
        cut += [text[place : tag.start()], f"```python\n{inside}\n```\n"]
        place = end + len(_TAG_END)
    return "".join([*cut, text[place:]])
