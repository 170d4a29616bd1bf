"""Generate the parts of the docs derived from the code: parameter, key and event tables, and help texts.

    uv run --group dev python scripts/generate_docs.py
    uv run --group dev python scripts/generate_docs.py --check

A test runs the second command, which changes nothing and fails if a page is out of date.
"""

from __future__ import annotations

import argparse
import inspect
import itertools
import re
import sys
import typing
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import click
import msgspec
from click.testing import CliRunner

import trio_beam
from trio_beam.benchmark.keys import all_keys, strategy_groups
from trio_beam.benchmark.providers import PROVIDERS
from trio_beam.benchmark.settings import Settings
from trio_beam.benchmark.values import write_value
from trio_beam.cli.main import cli
from trio_beam.core.answer_rule import ANSWERS
from trio_beam.core.config import SELECTIONS
from trio_beam.core.delimiters import BLOCKS
from trio_beam.core.parameters import Option, options_of
from trio_beam.core.scorer import SCORERS
from trio_beam.core.validation import Parameter, parameters_of
from trio_beam.strategies import STRATEGIES, strategy_options
from trio_beam.traces.format import (
    AnyLine,
    Block,
    Error,
    Failure,
    Node,
    Particles,
    PromptData,
    Result,
    Standing,
    Token,
)

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
    for slot, registry in (
        ("selection", SELECTIONS),
        ("scorer", SCORERS),
        ("answer", ANSWERS),
        ("block", BLOCKS),
    ):
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


def groups_table() -> str:
    """The groups of benchmark runs, each with the first line of its documentation."""
    rows = ["| group | |", "|---|---|"]
    settings = Settings()
    for attribute in attrs.fields(Settings):
        if attribute.name == "strategies":
            for group, name in strategy_groups().items():
                words = first_line(STRATEGIES[name])
                words = words if group == name else f"The strategy `{name}` once more; see below."
                rows.append(f"| `{group}` | {words} |")
        else:
            rows.append(f"| `{attribute.name}` | {first_line(getattr(settings, attribute.name))} |")
    return "\n".join(rows)


def keys_table() -> str:
    """The keys of benchmark runs that are not parameters of strategies."""
    rows = ["| key | default | bound | |", "|---|---|---|---|"]
    shown: set[str] = set()
    for key in all_keys().values():
        group, _, rest = key.name.partition(".")
        provider, _, last = rest.partition(".")
        if group in strategy_groups():
            continue
        served = group == "model" and provider in PROVIDERS
        name = f"model.PROVIDER.{last}" if served else key.name
        if name not in shown:
            shown.add(name)
            default = "" if served else f"`{write_value(key.default)}`"
            rows.append(
                f"| `{name}` | {default} | {bound_of(key.parameter)} | {key.parameter.help} |"
            )
    return "\n".join(rows)


def bound_of(parameter: Parameter) -> str:
    """A bound as a command line or a file spells it."""
    unit = f" ({parameter.unit})" if parameter.unit else ""
    bound = parameter.bound.replace("'' or a text that is not empty", "a text")
    for ours, yaml in (("None", "null"), ("True", "true"), ("False", "false"), ("'", "")):
        bound = bound.replace(ours, yaml)
    return bound + unit


def providers_table() -> str:
    """The providers of models."""
    rows = ["| provider | address | model | key |", "|---|---|---|---|"]
    for name, one in PROVIDERS.items():
        named = f"in `{one.base_url_env}`" if one.base_url_env else ""
        address = ", else ".join(filter(None, [named, one.base_url]))
        model = f"`{one.model}`" if one.model else "the only one that the server lists"
        rows.append(f"| {name} | {address} | {model} | `{one.api_key_env}` |")
    return "\n".join(rows)


def events_page() -> str:
    """Every event, with its attributes as its docstring explains them."""
    parts = [
        "# Events",
        (
            "Generated from the declarations in the code: `scripts/generate_docs.py`. An observer is"
            " called with each event of a search ([how to write one](../how-to/observer.md)). Every"
            " event has `index`: in `search_many` the place of its prompt, from 0."
        ),
    ]
    for event in typing.get_args(trio_beam.Event):
        summary, explained = described(event)
        rows = ["| attribute | type | |", "|---|---|---|"]
        for attribute in attrs.fields(event):
            if attribute.name != "index":
                meaning = explained[attribute.name].replace("``", "`")
                kind = str(attribute.type).replace("|", "\\|")
                rows.append(f"| `{attribute.name}` | `{kind}` | {meaning} |")
        parts += [f"## `{event.__name__}`", summary, "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def annotation_of(kind: type, name: str) -> str:
    """The type of a member as it is written in the code."""
    found = next(
        one.__annotations__[name] for one in kind.__mro__ if name in vars(one)["__annotations__"]
    )
    return str(found).removeprefix("builtins.")


def trace_tables() -> str:
    """The lines of a trace and what they hold, with the types of their members."""
    kinds = [
        *typing.get_args(AnyLine),
        Node,
        Standing,
        Block,
        Token,
        Result,
        Particles,
        Failure,
        Error,
        PromptData,
    ]
    parts = []
    for kind in kinds:
        summary, _ = described(kind)
        explained = {
            name: text
            for base in reversed(kind.__mro__)
            for name, text in described(base)[1].items()
        }
        config = kind.__struct_config__
        title = f'`"kind": "{config.tag}"`' if config.tag else f"`{kind.__name__}`"
        rows = ["| member | type | |", "|---|---|---|"]
        for member in msgspec.structs.fields(kind):
            if member.name not in ("search", "at"):
                shown = annotation_of(kind, member.name).replace("|", "\\|")
                meaning = explained[member.name].replace("``", "`")
                rows.append(f"| `{member.encode_name}` | `{shown}` | {meaning} |")
        parts += [f"### {title}", summary.replace("``", "`"), "\n".join(rows)]
    return "\n\n".join(parts)


def described(kind: type) -> tuple[str, dict[str, str]]:
    """The first paragraph of a docstring, and its attributes with their explanations."""
    doc = inspect.getdoc(kind) or ""
    summary, _, rest = doc.partition("\n\nAttributes:\n")
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", rest, re.MULTILINE)
    return " ".join(summary.split()), {name: " ".join(text.split()) for name, text in entries}


def commands_page() -> str:
    """The help of every command, as a terminal of 80 columns shows it."""
    parts = [
        "# Commands",
        (
            "Generated: what `--help` prints. Benchmark runs have keys instead of options:"
            " [running-benchmarks.md](../running-benchmarks.md)."
        ),
    ]
    for name in ["", *cli.list_commands(click.Context(cli))]:
        words = [name, "--help"] if name else ["--help"]
        if name != "bench":  # its help is that of the keys
            shown = CliRunner().invoke(cli, words, prog_name="trio-beam", terminal_width=80).output
            title = f"trio-beam {name}".strip()
            parts += [f"## `{title}`", f"```text\n{shown.strip()}\n```"]
    return "\n\n".join(parts) + "\n"


def failures_table() -> str:
    """The README's table of what can go wrong."""
    readme = (DOCS.parent / "README.md").read_text("utf-8")
    section = readme.partition("\n## What happens when something goes wrong\n")[2]
    rows = itertools.dropwhile(lambda line: not line.startswith("|"), section.splitlines())
    return "\n".join(itertools.takewhile(lambda line: line.startswith("|"), rows))


def filled(text: str, name: str, content: str) -> str:
    """The text with its section between ``<!-- name -->`` and ``<!-- /name -->`` replaced."""
    pattern = re.compile(f"<!-- {name} -->.*?<!-- /{name} -->", re.DOTALL)
    assert pattern.search(text), f"no section {name}"
    return pattern.sub(lambda _: f"<!-- {name} -->\n{content}\n<!-- /{name} -->", text)


def pages() -> dict[Path, str]:
    running = DOCS / "running-benchmarks.md"
    tables = {"groups": groups_table(), "keys": keys_table(), "providers": providers_table()}
    text = running.read_text("utf-8")
    for name, content in tables.items():
        text = filled(text, name, content)
    failures = DOCS / "failures.md"
    trace = DOCS / "reference" / "trace.md"
    return {
        running: text,
        trace: filled(trace.read_text("utf-8"), "lines", trace_tables()),
        failures: filled(failures.read_text("utf-8"), "failures", failures_table()),
        DOCS / "parameters.md": parameters_page(),
        DOCS / "reference" / "events.md": events_page(),
        DOCS / "reference" / "commands.md": commands_page(),
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
            print(f"{path.name} is out of date: uv run --group dev python scripts/generate_docs.py")
        else:
            path.write_text(pages()[path], "utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
