"""Import packages of the extras ``bench`` and ``reasoning`` on demand."""

from __future__ import annotations

import importlib
import importlib.util
import warnings
from typing import Any

from trio_beam.benchmark.common.problem import BenchmarkError

#: Packages of another extra than ``bench``, and what pip needs for them.
_OTHERS = {
    "reasoning-gym": ("reasoning", " (which compiles a package of its: a C compiler is needed)")
}


def import_extra(module: str) -> Any:
    """Import a module of the extra.

    Raises:
        BenchmarkError: it is not installed; the message says what to install.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the package about itself
            return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise _missing(module, error.name or module) from error


def need_extra(module: str) -> None:
    """Check that a package is installed without importing it.

    Raises:
        BenchmarkError: it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise _missing(module, module)


def _missing(module: str, what: str) -> BenchmarkError:
    package = module.partition(".")[0].replace("_", "-")
    why = "" if what == module else f" ({what} is missing)"
    extra, needs = _OTHERS.get(package, ("bench", ""))
    return BenchmarkError(
        f'{package} is not installed{why}; install the extra "{extra}": '
        f'pip install "trio-beam[{extra}]"{needs}, or uv run --extra {extra} ... in a checkout'
    )
