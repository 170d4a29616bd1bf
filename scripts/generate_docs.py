"""Write what the docs have from the code: the tables of parameters, and the diagram of phases.

    uv run python scripts/generate_docs.py
    uv run python scripts/generate_docs.py --check

A test runs the second: it changes nothing, and fails where a page is out of date.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

import trio_beam
from trio_beam.core.beam_search.phases import diagram
from trio_beam.core.config import ANSWERS, SCORERS, SELECTIONS
from trio_beam.core.parameters import Option, options_of
from trio_beam.core.validation import parameters_of
from trio_beam.strategies import STRATEGIES, strategy_options

DOCS = Path(__file__).parents[1] / "docs"


def parameters_page() -> str:
    parts = [
        "# Parameters",
        "Generated from the declarations in the code: `scripts/generate_docs.py`.",
    ]
    for title, owner, words in (
        ("All strategies", trio_beam.Strategy, "What `BeamSearchConfig` and `McmcConfig` share."),
        (
            "`BeamSearchConfig`",
            trio_beam.BeamSearchConfig,
            "Strategy `beam_search`; besides the above:",
        ),
        ("`McmcConfig`", trio_beam.McmcConfig, "Strategy `mcmc`; besides the above:"),
    ):
        shared = () if owner is trio_beam.Strategy else parameters_of(trio_beam.Strategy)
        own = [one for one in options_of(owner) if not one.part and one.name not in shared]
        parts += [f"## {title}", words, table(own)]
    parts += ["## Parts", "A part is given by its name, with its defaults, or as an object."]
    for slot, registry in (("selection", SELECTIONS), ("scorer", SCORERS), ("answer", ANSWERS)):
        for name in registry.names():
            parts += part(slot, name, registry[name])
    parts += part("lookahead", "lookahead", trio_beam.Lookahead)
    parts += ["## Presets", "Functions in `trio_beam.strategies` that return a `BeamSearchConfig`."]
    for name in STRATEGIES.names():
        preset = STRATEGIES[name]
        if not isinstance(preset, type):
            names = set(inspect.signature(preset).parameters)
            own = [one for one in strategy_options(name) if one.name in names]
            parts += [f"### `{name}`", first_line(preset), *([table(own)] if own else [])]
    parts += [
        "## `RetryPolicy`",
        first_line(trio_beam.RetryPolicy),
        table(options_of(trio_beam.RetryPolicy)),
    ]
    return "\n\n".join(parts) + "\n"


def part(slot: str, name: str, kind: Any) -> list[str]:
    own = [one for one in options_of(kind) if one.part in ("", name)] if attrs.has(kind) else []
    title = f'`{kind.__name__}` ({slot}="{name}")' if slot != name else f"`{kind.__name__}`"
    return [f"### {title}", first_line(kind), *([table(own)] if own else [])]


def first_line(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def table(options: Iterable[Option]) -> str:
    rows = ["| parameter | default | bound | |", "|---|---|---|---|"]
    for option in options:
        unit = f" ({option.parameter.unit})" if option.parameter.unit else ""
        missing = option.default in (attrs.NOTHING, inspect.Parameter.empty)
        default = "" if missing else f"`{option.default!r}`"
        if isinstance(option.default, str) and len(option.default) > 40:
            default = "see its source"
        bound = option.parameter.bound + unit
        rows.append(f"| `{option.name}` | {default} | {bound} | {option.parameter.help} |")
    return "\n".join(rows)


def filled(text: str, name: str, content: str) -> str:
    """The text with its section between ``<!-- name -->`` and ``<!-- /name -->`` replaced."""
    pattern = re.compile(f"<!-- {name} -->.*?<!-- /{name} -->", re.DOTALL)
    assert pattern.search(text), f"no section {name}"
    return pattern.sub(lambda _: f"<!-- {name} -->\n{content}\n<!-- /{name} -->", text)


def pages() -> dict[Path, str]:
    design = DOCS / "design.md"
    drawn = f"```mermaid\n{diagram()}\n```"
    return {
        DOCS / "parameters.md": parameters_page(),
        design: filled(design.read_text("utf-8"), "phases", drawn),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if a page is out of date"
    )
    check = parser.parse_args().check
    stale = [
        path
        for path, text in pages().items()
        if not path.exists() or path.read_text("utf-8") != text
    ]
    for path in stale:
        if check:
            print(f"{path.name} is out of date: uv run python scripts/generate_docs.py")
        else:
            path.write_text(pages()[path], "utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
