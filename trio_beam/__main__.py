"""``python -m trio_beam`` and ``trio-beam``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what it needs."""
    try:
        from trio_beam.cli import cli  # noqa: PLC0415  # an extra: it may not be there
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        sys.exit(
            'trio-beam: the command line is an extra: pip install "trio-beam[cli]",'
            ' or "trio-beam[local]" for it and the embedded model'
        )
    cli(prog_name="trio-beam")


if __name__ == "__main__":
    main()
