"""``python -m trio_beam`` and ``trio-beam``."""

from __future__ import annotations

import sys

from trio_beam.command.output import guarded

_INTERRUPTED = 130


def main() -> None:
    """Run the command line, or print which extra it needs."""
    try:
        sys.exit(guarded(_run))
    except KeyboardInterrupt:  # Ctrl-C outside a search, which handles it itself
        sys.exit(_INTERRUPTED)


def _run() -> int | str:
    """Return the exit code, or the message to exit with."""
    try:
        return _command()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        return (
            'trio-beam: the command line is an extra: pip install "trio-beam[cli]",'
            ' or "trio-beam[local]" for it and the embedded model'
        )


def _command() -> int | str:
    import click  # noqa: PLC0415  # an extra, which may be missing

    from trio_beam.cli.main import cli  # noqa: PLC0415

    try:
        return cli.main(prog_name="trio-beam", standalone_mode=False) or 0
    except click.Abort:  # Ctrl-C while reading standard input
        return _INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code


if __name__ == "__main__":
    main()
