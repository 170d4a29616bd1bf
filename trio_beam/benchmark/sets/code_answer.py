"""The program in a model's answer, as the continuation of a HumanEval prompt.

A prompt ends with the docstring of a function that has no body yet. Models answer with the body; with the
whole function once more, bare or in a fenced block with words around it; or with a block of the body alone.
All become a text that runs behind the prompt, which the official evaluator calls a completion. A function
that is defined again simply takes the place of the prompt's.
"""

from __future__ import annotations

import ast
import contextlib
import re
import symtable
import textwrap
import warnings
from collections.abc import Iterator, Sequence

from trio_beam.benchmark.sets.thinking import without_thoughts

#: No solution is longer, and what parses it should not have to try.
_LONGEST = 50_000
_MOST_LINES = 1_000
_MOST_STARTS = 20
_MOST_FENCES = 100

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+.-]*)[^\n]*$", re.MULTILINE)
_STARTS_CODE = re.compile(r"(?:async\s+def|def|class|from|import)\s|@\w")
_DEFINES = re.compile(r"^(?:async\s+)?def\s", re.MULTILINE)
_OTHER_LANGUAGES = {"bash", "sh", "shell", "console", "text", "output", "json", "markdown", "pycon"}


def completion_of(prompt: str, text: str, entry_point: str) -> str | None:
    """Return the code that follows the prompt in a program with the model's solution; None if it is empty.

    If there is nothing that Python can read, it is the most likely part, for the sake of the error message.

    Args:
        prompt: imports, helpers, and a function without a body.
        text: the model's answer.
        entry_point: the name of the function.
    """
    text = _clean(text)
    if not text.strip():
        return None
    blocks = list(_fenced(text))
    # Code may be nested too deeply, or have too long a number, to be taken apart.
    with contextlib.suppress(RecursionError, ValueError):
        for candidate in _candidates(blocks, text):
            if found := _whole_function(candidate, entry_point):
                return f"\n{found}"
        for candidate in blocks or [text]:
            if found := _body(prompt, candidate, entry_point):
                return found
    return _as_written(blocks, text, entry_point)


def code_in(text: str) -> str | None:
    """Return the code of an answer to an unknown question, in one spelling, for votes."""
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
    # Many a model begins with a space.
    return text.lstrip() if _STARTS_CODE.match(text.lstrip()) else text


def _fenced(text: str) -> Iterator[str]:
    """The fenced blocks that may be Python, in their order; one that is not closed ends with the text."""
    fences = list(_FENCE.finditer(text))[:_MOST_FENCES]
    if fences and not fences[0][2] and _DEFINES.search(text, 0, fences[0].start()):
        # The code comes first, and the first fence closes what nothing has opened.
        yield text[: fences.pop(0).start()].strip("\n")
    while fences:
        opening = fences.pop(0)
        inside = text[opening.end() :]
        for number, fence in enumerate(fences):
            if fence[1][0] == opening[1][0] and not fence[2]:
                inside = text[opening.end() : fence.start()]
                del fences[: number + 1]
                break
        else:
            fences.clear()
        if opening[2].lower() not in _OTHER_LANGUAGES and inside.strip():
            yield inside.strip("\n")


def _candidates(blocks: Sequence[str], text: str) -> Iterator[str]:
    """Texts that may have the whole function: a block behind all before it, a block alone, or all of it."""
    for number, block in enumerate(blocks):
        if number:
            yield "\n".join(_dedent(one) for one in blocks[: number + 1])
        yield block
    if not blocks:
        yield from _from_each_start(text)


def _from_each_start(text: str) -> Iterator[str]:
    """From each line that may begin the code; words may do that, too: "from the list, we take"."""
    lines = text.split("\n")
    starts = [number for number, line in enumerate(lines) if _STARTS_CODE.match(line)]
    for start in starts[:_MOST_STARTS]:
        yield "\n".join(lines[start:])


def _whole_function(code: str, entry_point: str) -> str | None:
    """The definition of the function with what it needs, if the code has it and can be read so far."""
    if f"def {entry_point}" not in code:
        return None
    code = _dedent(code)
    tree = _readable("", code)
    if tree is None or not _has_body(tree, entry_point):
        return None
    return _kept_lines(code, tree, entry_point, start=0)


def _dedent(code: str) -> str:
    """As textwrap does it, but nothing is touched that needs it not, such as lines in a docstring."""
    return textwrap.dedent(code) if code.lstrip("\n")[:1] in (" ", "\t") else code


def _body(prompt: str, code: str, entry_point: str) -> str | None:
    """The code as the body of the prompt's function, if it can be one."""
    block = textwrap.indent(_dedent(code).strip("\n"), "    ")
    # As it is; with its first line's indent, which chat templates strip; as a block of its own.
    attempts = [code, f"    {code.lstrip()}", block]
    if any(line[:1].strip() for line in code.strip().split("\n")[1:]):
        attempts = [code, block, attempts[1]]
    for read in (_parsed, _readable):  # one that can be read whole is better than any in part
        for attempt in attempts:
            tree = read(prompt, attempt)
            if tree is not None and _has_body(tree, entry_point):
                return _kept_lines(prompt + attempt, tree, entry_point, start=prompt.count("\n"))
    return None


def _has_body(tree: ast.Module, entry_point: str) -> bool:
    """Whether the last definition of the function has more than a docstring."""
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name == entry_point:
            return any(not _says_nothing(inner) for inner in node.body)
    return False


def _says_nothing(node: ast.stmt) -> bool:
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return constant or isinstance(node, (ast.Import, ast.ImportFrom))


def _parsed(before: str, code: str) -> ast.Module | None:
    try:
        return _parse(f"{before}{code}\n")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _parse(source: str) -> ast.Module:
    """Raise SyntaxError also for what only the compiler finds, such as ``return`` outside a function."""
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
    """The part that will not run, but whose error says best why."""
    named = [block for block in blocks if f"def {entry_point}" in block]
    if named or f"def {entry_point}" in text:
        return f"\n{(named or [*_from_each_start(text), text])[0]}\n"
    return f"{(blocks or [text])[0]}\n"


def _readable(before: str, code: str) -> ast.Module | None:
    """As much of a code as Python can read, from its beginning to a line that is not indented.

    Words behind the code are left out so; but an error within a function stays an error.
    """
    lines = code.split("\n")[:_MOST_LINES]
    ends = [len(lines), *(n for n in range(len(lines) - 1, 0, -1) if lines[n][:1].strip())]
    limit = len(lines)
    for end in ends:
        if end > limit:
            continue
        try:
            return _parse(before + "\n".join(lines[:end]) + "\n")
        except SyntaxError as error:
            # Nothing from the error's line on can mend what is wrong there or above.
            limit = min(end, (error.lineno or 1) - before.count("\n") - 1)
        except (ValueError, RecursionError, MemoryError):
            return None
    return None


def _needed(body: Sequence[ast.stmt], entry_point: str) -> list[ast.stmt]:
    """The statements that define the function and, directly or not, what it uses.

    What else stands there (examples, prints, questions for input) is not part of the solution.
    """
    wanted, kept = {entry_point}, set[int]()
    grown = True
    while grown:
        grown = False
        for place, node in enumerate(body):
            names = _defines(node)
            if place not in kept and (names & wanted or "*" in names):
                kept.add(place)
                wanted |= _uses(node)
                grown = True
    return [body[place] for place in sorted(kept)]


def _defines(node: ast.stmt) -> set[str]:
    """The names that a statement at the top gives a meaning to, or changes what they mean."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        inside = (inner for target in targets for inner in ast.walk(target))
        return {name.id for name in inside if isinstance(name, ast.Name)}
    if isinstance(node, ast.Expr):
        return _changes(node.value)
    if isinstance(node, (ast.If, ast.Try, ast.With, ast.For, ast.While)) and not _for_main(node):
        return set().union(*(_defines(inner) for inner in _inside(node)))
    return set()


def _changes(call: ast.expr) -> set[str]:
    """The name whose thing a call may change: the table of ``table.append(1)``."""
    called = call.func if isinstance(call, ast.Call) else None
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        return {called.value.id}
    return set()


def _for_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in _uses(ast.Expr(node.test))


def _inside(node: ast.AST) -> Iterator[ast.stmt]:
    return (inner for inner in ast.walk(node) if isinstance(inner, ast.stmt) and inner is not node)


def _uses(node: ast.stmt) -> set[str]:
    """The names of the module that a statement reads, in functions that it defines too."""
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
