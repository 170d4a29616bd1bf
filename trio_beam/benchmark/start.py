"""Starting the command, or saying what it needs. Nothing of the extra ``bench`` is imported before that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

#: Packages of the extra ``bench`` that the command itself is made of.
_NEEDED = ("click", "dotenv", "rich", "yaml")


def start(program: str, argv: Sequence[str] | None = None, beside: Path = Path()) -> int | str:
    """Run a benchmark command.

    Args:
        program: how it was called, for its help.
        argv: its arguments; None: those of the process.
        beside: folder of the program, where ``--config-path`` is looked for as well.

    Returns:
        Its exit code, or what has to be installed for it.
    """
    try:
        from trio_beam.benchmark.main import main  # noqa: PLC0415  # an extra: it may not be there
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        return (
            f'{program}: {error.name} is missing: install the extra "bench"'
            ' (pip install "trio-beam[bench]", or uv run --all-extras ... in a checkout)'
        )
    return main(argv, beside, program)
