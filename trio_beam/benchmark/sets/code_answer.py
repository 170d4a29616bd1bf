"""Extract the program from a model's answer, as the continuation of a HumanEval prompt.

A prompt ends with the docstring of a function that has no body yet. Models answer with the body; with the
whole function once more, bare or in a fenced block with words around it; or with a block of the body alone.
All become a text that runs behind the prompt, which the official evaluator calls a completion. A function
that is defined again simply takes the place of the prompt's.

Which part of an answer is the program is found by trying to read parts of it as Python. What is read in all
is at most a fixed multiple of the answer's length (`_Reader`), so that none takes longer than others like it.
"""

from __future__ import annotations

import ast
import contextlib
import re
import symtable
import textwrap
import warnings
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence

from trio_beam.benchmark.sets.thinking import without_thoughts

#: No solution is longer, and Python needs a hundred times the memory of what it reads.
_LONGEST = 50_000
#: An answer and its prompt are read so many times, or so many characters of a short one.
_MOST_READ = 20
_MOST_READ_OF_SHORT = 20_000

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+.-]*)[^\n]*$", re.MULTILINE)
_STARTS_CODE = re.compile(r"^(?:async[ ]+def|def|class|from|import)[ \t]|^@\w", re.MULTILINE)
_DEFINES = re.compile(r"^(?:async\s+)?def\s", re.MULTILINE)
#: Statements that have others in them, without being definitions; and the parts of them that do.
_COMPOUND = (
    *(ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While, ast.Match),
    *(ast.ExceptHandler, ast.match_case),
)
_OTHER_LANGUAGES = {"bash", "sh", "shell", "console", "text", "output", "json", "markdown", "pycon"}


def completion_of(prompt: str, text: str, entry_point: str) -> str | None:
    """Return the code to append to the prompt for the model's solution; None if there is none.

    If nothing is valid Python, return the likeliest part, whose error message is the most useful.

    Args:
        prompt: imports, helpers, and a function without a body.
        text: the model's answer.
        entry_point: the name of the function.
    """
    text = _clean(text)
    if not text.strip():
        return None
    blocks = list(_fenced(text))
    reader = _Reader(max(_MOST_READ_OF_SHORT, _MOST_READ * (len(prompt) + len(text))))
    # Code may be nested too deeply, or have too long a number, to be taken apart.
    with contextlib.suppress(RecursionError, ValueError, _TooMuch):
        for candidate in _candidates(blocks, text, entry_point, reader):
            if found := _whole_function(candidate, entry_point, reader):
                return f"\n{found}"
        for candidate in blocks or [text]:
            if found := _body(prompt, candidate, entry_point, reader):
                return found
    return _as_written(blocks, text, entry_point)


def code_in(text: str) -> str | None:
    """Return the code of an answer in canonical form, for votes without the prompt."""
    text = _clean(text)
    if not text.strip():
        return None
    code = next(_fenced(text), text)
    try:
        return ast.unparse(_parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code.strip("\n")


def _clean(text: str) -> str:
    text = without_thoughts(text).replace("\r\n", "\n").replace("\r", "\n")[:_LONGEST]
    # Many models begin with a space.
    return text.lstrip() if _STARTS_CODE.match(text.lstrip()) else text


class _TooMuch(Exception):
    """As much of an answer was read as may be."""


class _Reader:
    """Reads code as Python does, until it has read so many characters.

    Args:
        most: characters, all readings together.
    """

    def __init__(self, most: int) -> None:
        self._left = most

    def take(self, characters: int) -> None:
        """Count characters that are about to be read or copied.

        Raises:
            _TooMuch: they are more than are left.
        """
        self._left -= characters
        if self._left < 0:
            raise _TooMuch

    def parse(self, source: str) -> ast.Module:
        """Read a source.

        Raises:
            _TooMuch: it is longer than what is left.
            SyntaxError: also for what only the compiler finds, such as ``return`` outside a function.
            ValueError, RecursionError, MemoryError: it is too deep, or no source at all.
        """
        self.take(len(source))
        return _parse(source)


def _fenced(text: str) -> Iterator[str]:
    """The fenced blocks that may be Python, in their order; one that is not closed ends with the text."""
    fences = deque(_FENCE.finditer(text))
    if fences and not fences[0][2] and _DEFINES.search(text, 0, fences[0].start()):
        # The code comes first, and the first fence closes what nothing has opened.
        yield text[: fences.popleft().start()].strip("\n")
    while fences:
        opening = fences.popleft()
        end = len(text)
        while fences:
            fence = fences.popleft()
            if fence[1][0] == opening[1][0] and not fence[2]:
                end = fence.start()
                break
        inside = text[opening.end() : end]
        if opening[2].lower() not in _OTHER_LANGUAGES and inside.strip():
            yield inside.strip("\n")


def _candidates(
    blocks: Sequence[str], text: str, entry_point: str, reader: _Reader
) -> Iterator[str]:
    """Texts that may have the whole function: a block behind all before it, a block alone, or all of it."""
    before: list[str] = []
    for block in blocks:
        if before:
            reader.take(sum(map(len, before)))
            yield "\n".join([*before, _dedent(block)])
        before.append(_dedent(block))
        yield block
    if not blocks and f"def {entry_point}" in text:
        for start in _starts(text, entry_point):
            reader.take(len(text) - start)
            yield text[start:]


def _starts(text: str, entry_point: str) -> Iterator[int]:
    """Where the code with the function may begin; words may do that, too: "from the list, we take"."""
    defined = f"def {entry_point}"
    end = text.rfind(defined) + len(defined)
    return (match.start() for match in _STARTS_CODE.finditer(text, 0, end))


def _whole_function(code: str, entry_point: str, reader: _Reader) -> str | None:
    """The definition of the function with what it needs, if the code has it and can be read so far."""
    if f"def {entry_point}" not in code:
        return None
    code = _dedent(code)
    tree = _readable("", code, reader)
    if tree is None or not _has_body(tree, entry_point):
        return None
    return _kept_lines(code, tree, entry_point, start=0)


def _dedent(code: str) -> str:
    """Dedent like textwrap, but leave text alone that needs no dedenting, such as docstring lines."""
    return textwrap.dedent(code) if code.lstrip("\n")[:1] in (" ", "\t") else code


def _body(prompt: str, code: str, entry_point: str, reader: _Reader) -> str | None:
    """The code as the body of the prompt's function, if it can be one."""
    block = textwrap.indent(_dedent(code).strip("\n"), "    ")
    # Verbatim; with the first line's indent restored, which chat templates strip; as a block.
    attempts = [code, f"    {code.lstrip()}", block]
    if any(line[:1].strip() for line in code.strip().split("\n")[1:]):
        attempts = [code, block, attempts[1]]
    for read in (
        _parsed,
        _readable,
    ):  # one that parses completely is better than any that parses in part
        for attempt in attempts:
            tree = read(prompt, attempt, reader)
            if tree is not None and _has_body(tree, entry_point):
                return _kept_lines(prompt + attempt, tree, entry_point, start=prompt.count("\n"))
    return None


def _has_body(tree: ast.Module, entry_point: str) -> bool:
    """Return whether the function's last definition has more than a docstring."""
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name == entry_point:
            return any(not _says_nothing(inner) for inner in node.body)
    return False


def _says_nothing(node: ast.stmt) -> bool:
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant or isinstance(node, (ast.Import, ast.ImportFrom))


def _parsed(before: str, code: str, reader: _Reader) -> ast.Module | None:
    try:
        return reader.parse(f"{before}{code}\n")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _parse(source: str) -> ast.Module:
    """Parse code; raise SyntaxError also for compile errors, such as ``return`` outside a function."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Python, about the model's code
        tree = ast.parse(source)
        compile(tree, "solution", "exec")
    return tree


def _kept_lines(source: str, tree: ast.Module, entry_point: str, *, start: int) -> str:
    lines = source.split("\n")
    kept = _needed(tree.body, entry_point)
    wanted = {line for node in kept for line in range(_first_line(node), _last_line(node) + 1)}
    return "\n".join(lines[line - 1] for line in sorted(wanted) if line > start) + "\n"


def _as_written(blocks: Sequence[str], text: str, entry_point: str) -> str:
    """Return the part that will not run but whose error is the most helpful."""
    named = [block for block in blocks if f"def {entry_point}" in block]
    if named or f"def {entry_point}" in text:
        return f"\n{named[0] if named else text[next(_starts(text, entry_point), 0) :]}\n"
    return f"{(blocks or [text])[0]}\n"


def _readable(before: str, code: str, reader: _Reader) -> ast.Module | None:
    """As much of a code as Python can read, from its beginning to a line that is not indented.

    This drops prose after the code, but keeps errors inside a function.
    """
    lines = code.split("\n")
    ends = [len(lines), *(n for n in range(len(lines) - 1, 0, -1) if lines[n][:1].strip())]
    limit = len(lines)
    for end in ends:
        if end > limit:
            continue
        try:
            return reader.parse(before + "\n".join(lines[:end]) + "\n")
        except SyntaxError as error:
            # Lines after the error cannot repair it.
            limit = min(end, (error.lineno or 1) - before.count("\n") - 1)
        except (ValueError, RecursionError, MemoryError):
            return None
    return None


def _needed(body: Sequence[ast.stmt], entry_point: str) -> list[ast.stmt]:
    """Return the statements that define the function and everything it uses, directly or not.

    Other statements (examples, prints, requests for input) are not part of the solution.
    """
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, node in enumerate(body):
        for name in _defines(node):
            places[name].append(place)
    kept = set[int]()
    wanted = [entry_point, "*"]
    while wanted:
        for place in places.pop(wanted.pop(), ()):
            if place not in kept:
                kept.add(place)
                wanted += _uses(body[place])
    return [body[place] for place in sorted(kept)]


def _defines(node: ast.stmt) -> set[str]:
    """The names that a statement at the top gives a meaning to, or changes what they mean."""
    names = set[str]()
    left: list[ast.AST] = [node]
    while left:
        inner = left.pop()
        if isinstance(inner, _COMPOUND):
            if not _for_main(inner):
                left += ast.iter_child_nodes(inner)
        elif isinstance(inner, ast.stmt):
            names |= _defined_by(inner)
    return names


def _defined_by(node: ast.stmt) -> set[str]:
    """The names of a statement that has no others in it, or is a definition."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        inside = (inner for target in targets for inner in ast.walk(target))
        return {name.id for name in inside if isinstance(name, ast.Name)}
    return _changes(node.value) if isinstance(node, ast.Expr) else set()


def _changes(call: ast.expr) -> set[str]:
    """Return the name of the object that a call may modify: ``table`` in ``table.append(1)``."""
    called = call.func if isinstance(call, ast.Call) else None
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        return {called.value.id}
    return set()


def _for_main(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "__name__" in _uses(ast.Expr(node.test))


def _uses(node: ast.stmt) -> set[str]:
    """Return the global names that a statement reads, also inside functions it defines."""
    table = symtable.symtable(ast.unparse(node), "solution", "exec")
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_referenced()}
    tables = list(table.get_children())
    while tables:
        inner = tables.pop()
        names |= {symbol.get_name() for symbol in inner.get_symbols() if symbol.is_global()}
        tables += inner.get_children()
    return names


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _last_line(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno
