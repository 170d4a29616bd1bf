"""Extract the program from a model's answer, as the continuation of a HumanEval prompt.

A prompt ends with the docstring of a function that has no body yet. Models answer with the body; with the
whole function once more, bare or in a fenced block with words around it; or with a block of the body alone.
All become a text that runs behind the prompt, which the official evaluator calls a completion. A function
that is defined again simply takes the place of the prompt's.

Of several programs the last complete one counts: models correct themselves. What it lacks is taken from the
other parts of the answer.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import symtable
import textwrap
from collections import defaultdict
from collections.abc import Sequence

import attrs

from trio_beam.benchmark.sets.code_parts import (
    Reader,
    TooMuch,
    clean,
    dedent,
    fenced,
    parse,
    parts,
    starts,
)

#: Statements that have others in them, without being definitions; and the parts of them that do.
_COMPOUND = (
    *(ast.If, ast.Try, ast.TryStar, ast.With, ast.For, ast.While, ast.Match),
    *(ast.ExceptHandler, ast.match_case),
)
_BUILTINS = frozenset(vars(builtins))


@attrs.frozen
class _Part:
    """A part of an answer that can be read, at least from its beginning."""

    code: str
    tree: ast.Module


def completion_of(prompt: str, text: str, entry_point: str) -> str | None:
    """Return the code to append to the prompt for the model's solution; None if there is none.

    If nothing is valid Python, return the likeliest part, whose error message is the most useful.

    Args:
        prompt: imports, helpers, and a function without a body.
        text: the model's answer.
        entry_point: the name of the function.
    """
    text = clean(text)
    if not text.strip():
        return None
    blocks = list(fenced(text))
    reader = Reader(len(prompt) + len(text))
    # Code may be nested too deeply, or have too long a number, to be taken apart.
    with contextlib.suppress(RecursionError, ValueError, TooMuch):
        if found := _whole_function(prompt, parts(text, entry_point, reader), entry_point, reader):
            return f"\n{found}"
        for candidate in blocks or [text]:
            if found := _body(prompt, candidate, entry_point, reader):
                return found
    return _as_written(blocks, text, entry_point)


def code_in(text: str) -> str | None:
    """Return the code of an answer in canonical form, for votes without the prompt."""
    text = clean(text)
    if not text.strip():
        return None
    code = next(fenced(text), text)
    try:
        return ast.unparse(parse(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code.strip("\n")


def _whole_function(
    prompt: str, codes: Sequence[str], entry_point: str, reader: Reader
) -> str | None:
    """The last complete definition of the function, with what it needs."""
    read = [
        _Part(code, tree)
        for code in codes
        if (tree := reader.parse_beginning("", code)) is not None
    ]
    complete = [n for n, part in enumerate(read) if _has_body(part.tree, entry_point)]
    if not complete:
        return None
    own = read[complete[-1]]
    # Definitions behind the last complete one have no body.
    usable = [
        part
        for n, part in enumerate(read)
        if n <= complete[-1] or not _is_defined(part.tree, entry_point)
    ]
    known = _BUILTINS | _names_of(reader.parse_all("", prompt))
    kept = _needed(own, [part for part in usable if part is not own], entry_point, known)
    return "".join(_kept_lines(part.code, kept[id(part)]) for part in usable if id(part) in kept)


def _body(prompt: str, code: str, entry_point: str, reader: Reader) -> str | None:
    """The code as the body of the prompt's function, if it can be one."""
    block = textwrap.indent(dedent(code).strip("\n"), "    ")
    # Verbatim; with the first line's indent restored, which chat templates strip; as a block.
    attempts = [code, f"    {code.lstrip()}", block]
    if any(line[:1].strip() for line in code.strip().split("\n")[1:]):
        attempts = [code, block, attempts[1]]
    # One that parses completely is better than any that parses in part.
    for read in (reader.parse_all, reader.parse_beginning):
        for attempt in attempts:
            tree = read(prompt, attempt)
            if tree is not None and _has_body(tree, entry_point):
                part = _Part(prompt + attempt, tree)
                kept = _needed(part, [], entry_point, frozenset())[id(part)]
                return _kept_lines(part.code, kept, start=prompt.count("\n"))
    return None


def _is_defined(tree: ast.Module, entry_point: str) -> bool:
    return any(entry_point in _defines(node) for node in tree.body)


def _has_body(tree: ast.Module, entry_point: str) -> bool:
    """Return whether the function's last definition has more than a docstring, or a placeholder."""
    for node in reversed(tree.body):
        if isinstance(node, ast.FunctionDef) and node.name == entry_point:
            return any(not _says_nothing(inner) for inner in node.body)
        is_lambda = isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)
        if is_lambda and entry_point in _defines(node):
            return True
    return False


def _says_nothing(node: ast.stmt) -> bool:
    constant = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    raised = isinstance(node, ast.Raise) and "NotImplementedError" in _uses(node)
    return constant or raised or isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass))


def _kept_lines(source: str, kept: Sequence[ast.stmt], *, start: int = 0) -> str:
    lines = source.split("\n")
    wanted = {line for node in kept for line in range(_first_line(node), _last_line(node) + 1)}
    return "\n".join(lines[line - 1] for line in sorted(wanted) if line > start) + "\n"


def _as_written(blocks: Sequence[str], text: str, entry_point: str) -> str:
    """Return the part that will not run but whose error is the most helpful."""
    named = [block for block in blocks if f"def {entry_point}" in block]
    if named or f"def {entry_point}" in text:
        return f"\n{named[-1] if named else text[next(starts(text, entry_point), 0) :]}\n"
    return f"{(blocks or [text])[0]}\n"


def _needed(
    own: _Part, others: Sequence[_Part], entry_point: str, known: frozenset[str]
) -> dict[int, list[ast.stmt]]:
    """Return the statements that define the function and everything it uses, directly or not, by part.

    Other statements (examples, prints, requests for input) are not part of the solution. What the function's
    own part does not define, and is not known, is looked for in the others.
    """
    homes: list[dict[str, list[tuple[_Part, ast.stmt]]]] = [defaultdict(list), defaultdict(list)]
    for home, some in zip(homes, ([own], others), strict=True):
        for part in some:
            for node in part.tree.body:
                for name in _defines(node):
                    home[name].append((part, node))
    kept: dict[int, dict[int, ast.stmt]] = {id(own): {}}
    wanted = [entry_point, "*"]
    while wanted:
        name = wanted.pop()
        places = homes[0].pop(name, None)
        if places is None:
            places = [] if name in known or name == entry_point else homes[1].pop(name, [])
        for part, node in places:
            statements = kept.setdefault(id(part), {})
            if node.lineno not in statements:
                statements[node.lineno] = node
                wanted += _uses(node)
    return {part: list(statements.values()) for part, statements in kept.items()}


def _names_of(tree: ast.Module | None) -> frozenset[str]:
    """Return the names that a source defines at its top."""
    body = [] if tree is None else tree.body
    return frozenset(name for node in body for name in _defines(node))


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
