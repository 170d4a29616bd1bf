"""Extract the program from a model's answer, as the continuation of a HumanEval prompt.

A prompt ends with the docstring of a function without a body. Models answer with the body, with the
complete function, bare or in a fenced block with text around it, or with a fenced block of the body alone.
All of these become a text that runs after the prompt, which the official evaluator calls a completion. A
repeated function definition replaces the prompt's.
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

#: No solution is longer; longer texts are not parsed.
_LONGEST = 50_000
_MAX_LINES = 1_000
_MAX_STARTS = 20
_MAX_FENCES = 100

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+.-]*)[^\n]*$", re.MULTILINE)
_STARTS_CODE = re.compile(r"(?:async\s+def|def|class|from|import)\s|@\w")
_DEFINES = re.compile(r"^(?:async\s+)?def\s", re.MULTILINE)
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
    # Code may be nested too deeply, or contain too long a number, to be parsed.
    with contextlib.suppress(RecursionError, ValueError):
        for candidate in _candidates(blocks, text):
            if found := _whole_function(candidate, entry_point):
                return f"\n{found}"
        for candidate in blocks or [text]:
            if found := _body(prompt, candidate, entry_point):
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


def _fenced(text: str) -> Iterator[str]:
    """Return the fenced blocks that may be Python, in order; an unclosed one ends with the text."""
    fences = list(_FENCE.finditer(text))[:_MAX_FENCES]
    if fences and not fences[0][2] and _DEFINES.search(text, 0, fences[0].start()):
        # If the code comes first, the first fence closes a block that was never opened.
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
    """Yield texts that may hold the complete function: a block with the text before it, a block, or all."""
    for number, block in enumerate(blocks):
        if number:
            yield "\n".join(_dedent(one) for one in blocks[: number + 1])
        yield block
    if not blocks:
        yield from _from_each_start(text)


def _from_each_start(text: str) -> Iterator[str]:
    """Yield the text from each line that may begin code; prose may too: "from the list, we take"."""
    lines = text.split("\n")
    starts = [number for number, line in enumerate(lines) if _STARTS_CODE.match(line)]
    for start in starts[:_MAX_STARTS]:
        yield "\n".join(lines[start:])


def _whole_function(code: str, entry_point: str) -> str | None:
    """Return the function's definition with everything it needs, if the code contains it and parses."""
    if f"def {entry_point}" not in code:
        return None
    code = _dedent(code)
    tree = _readable("", code)
    if tree is None or not _has_body(tree, entry_point):
        return None
    return _kept_lines(code, tree, entry_point, start=0)


def _dedent(code: str) -> str:
    """Dedent like textwrap, but leave text alone that needs no dedenting, such as docstring lines."""
    return textwrap.dedent(code) if code.lstrip("\n")[:1] in (" ", "\t") else code


def _body(prompt: str, code: str, entry_point: str) -> str | None:
    """Return the code as the body of the prompt's function, if it can be one."""
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
            tree = read(prompt, attempt)
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


def _parsed(before: str, code: str) -> ast.Module | None:
    try:
        return _parse(f"{before}{code}\n")
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
        return f"\n{(named or [*_from_each_start(text), text])[0]}\n"
    return f"{(blocks or [text])[0]}\n"


def _readable(before: str, code: str) -> ast.Module | None:
    """Return the longest valid beginning of the code that ends before an unindented line.

    This drops prose after the code, but keeps errors inside a function.
    """
    lines = code.split("\n")[:_MAX_LINES]
    ends = [len(lines), *(n for n in range(len(lines) - 1, 0, -1) if lines[n][:1].strip())]
    limit = len(lines)
    for end in ends:
        if end > limit:
            continue
        try:
            return _parse(before + "\n".join(lines[:end]) + "\n")
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
    """Return the names that a top-level statement binds or modifies."""
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
    """Return the name of the object that a call may modify: ``table`` in ``table.append(1)``."""
    called = call.func if isinstance(call, ast.Call) else None
    if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
        return {called.value.id}
    return set()


def _for_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__name__" in _uses(ast.Expr(node.test))


def _inside(node: ast.AST) -> Iterator[ast.stmt]:
    return (inner for inner in ast.walk(node) if isinstance(inner, ast.stmt) and inner is not node)


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
