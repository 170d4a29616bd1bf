"""Settings of all tests."""

from __future__ import annotations

import os
import random
import re
import signal
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hypothesis
import pytest
from trio._core import _run as trio_run

from trio_beam.engine import run

# A deadline for an example, or a limit on how long its data take, would be an assertion about time. Every run
# tries the same examples: no change is refused by chance. `--hypothesis-profile explore` tries others.
hypothesis.settings.register_profile(
    "explore", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile(
    "repeated", hypothesis.settings.get_profile("explore"), derandomize=True
)
hypothesis.settings.load_profile("repeated")

# Compiling the packages takes half the time of collecting the tests, and of starting a command. Where no
# bytecode is wanted beside the sources, the processes of the tests share it in a folder of pytest's.
if sys.dont_write_bytecode:
    bytecode = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
    sys.dont_write_bytecode, sys.pycache_prefix = False, bytecode
    os.environ["PYTHONPYCACHEPREFIX"] = bytecode
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(autouse=True)
def chance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw in each test what the last run drew: seeds of searches, jitter, the order of Trio's tasks."""
    source = random.Random(request.node.nodeid)
    monkeypatch.setattr(run, "secrets", SimpleNamespace(randbits=source.getrandbits))
    random.seed(request.node.nodeid)
    trio_run._r.seed(request.node.nodeid)


# A shell that runs the tests in the background has them ignore Ctrl-C, and so all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_STYLES = re.compile(r"styles/test_styles\.py::test_(numbers|formulas|letters|code)\[")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print which share of the styles of writing an answer is graded rightly, by kind."""
    counts: dict[str, Counter[str]] = {}
    for outcome in ("passed", "failed", "xfailed", "error"):
        for report in terminalreporter.stats.get(outcome, ()):
            if match := _STYLES.search(report.nodeid):
                counts.setdefault(match[1], Counter())[outcome] += 1
    if counts:
        terminalreporter.section("styles of answers that are graded rightly")
        for kind, count in sorted(counts.items()):
            terminalreporter.write_line(f"{kind}: {count['passed']} of {count.total()}")


#: Folders of files with few, long tests: real models, sandboxes, other processes.
_LONG = ("e2e", "batch", "benchmark", "selection")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with the long files, so that no process is left alone with them at the end.

    By itself, pytest-xdist begins with the files that have the most tests.
    """
    root = config.rootpath / "tests"

    def rank(item: pytest.Item) -> int:
        folder = Path(item.path).relative_to(root).parts[0] if root in item.path.parents else ""
        return _LONG.index(folder) if folder in _LONG else len(_LONG)

    items.sort(key=rank)
