"""A notebook, as Jupyter runs it: asyncio in its cells, and Trio after ``%autoawait trio``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat

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
        cells = [f"URL = {url!r}", *CELLS]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
        path = tmp_path / "notebook.ipynb"
        nbformat.write(notebook, path)
        command = [sys.executable, "-m", "jupyter", "execute", "--inplace", "--timeout=60", path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (output,) = nbformat.read(path, as_version=4).cells[-1].outputs
    assert output.text == "3 1\n"
