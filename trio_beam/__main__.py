"""``python -m trio_beam`` and ``trio-beam``."""

from __future__ import annotations

import sys

_INTERRUPTED = 130


def main() -> None:
    """Run the command line, or say what it needs."""
    try:
        import click  # noqa: PLC0415  # an extra: it may not be there

        from trio_beam.cli import cli  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("click", "rich"):
            raise
        sys.exit(
            'trio-beam: the command line is an extra: pip install "trio-beam[cli]",'
            ' or "trio-beam[local]" for it and the embedded model'
        )
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    try:
        code = cli.main(prog_name="trio-beam", standalone_mode=False)
    except click.Abort:  # Ctrl-C outside of a search, such as while standard input is read
        sys.exit(_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    sys.exit(code)


if __name__ == "__main__":
    main()
