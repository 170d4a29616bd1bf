"""A notebook, as Jupyter runs it: asyncio in its cells, and Trio after ``%autoawait trio``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.servers.socket_server import threaded_server

CELLS = [
    """
import asyncio, trio, trio_beam.asyncio
from trio_beam import BeamSearchConfig, BeamSearchSampling
config = BeamSearchConfig(tokens_per_step=4, max_tokens=8, seed=3)
options = {"dialect": "openai", "model": "mock"}
texts = []
""",
    """
async with trio_beam.asyncio.Endpoint(URL, **options) as endpoint:
    texts.append((await trio_beam.asyncio.search(endpoint, "p", config)).text)
""",
    # An endpoint that stays open from cell to cell.
    "endpoint = await trio_beam.asyncio.Endpoint(URL, **options).__aenter__()",
    'texts.append((await trio_beam.asyncio.search(endpoint, "p", config)).text)',
    """
try:
    async with asyncio.timeout(0):
        await trio_beam.asyncio.search(endpoint, "p", config)
except TimeoutError:
    await endpoint.__aexit__(None, None, None)
assert not trio.lowlevel.in_trio_run()
""",
    """
try:
    async with trio_beam.Endpoint(URL):
        pass
except trio_beam.TrioBeamError as error:
    assert "trio_beam.asyncio.Endpoint" in str(error)
else:
    assert False
""",
    "%autoawait trio",
    """
async with trio_beam.Endpoint(URL, **options) as endpoint:
    texts.append((await trio_beam.search(endpoint, "p", config)).text)
""",
    "print(len(texts), len(set(texts)))",
]


def test_a_notebook_runs(tmp_path: Path) -> None:
    with threaded_server() as (url, _):
        cells = [cell_of(number, one) for number, one in enumerate([f"URL = {url!r}", *CELLS])]
        path = tmp_path / "notebook.ipynb"
        notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        path.write_text(json.dumps(notebook), "utf-8")
        command = [
            sys.executable,
            "-m",
            "jupyter",
            "execute",
            "--inplace",
            "--timeout=60",
            str(path),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (output,) = json.loads(path.read_text("utf-8"))["cells"][-1]["outputs"]
    assert "".join(output["text"]) == "3 1\n"


def cell_of(number: int, source: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": "code", "id": f"cell-{number}", "source": source.strip()}
    return cell | {"metadata": {}, "outputs": [], "execution_count": None}
