"""Requests made from the gateway's own OpenAPI document, valid and not, on a real socket."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import trio

from tests.gateway.serving import gateway_over, serving
from trio_beam.testing import FakeEndpoint

#: Not that valid requests are accepted: fields have rules about each other, and models have limits.
_WITHOUT = "positive_data_acceptance"
#: A deadline that passes is no fault of the server's.
_CONFIG = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 504]
"""


async def test_every_response_is_as_the_document_says(tmp_path: Path) -> None:
    """No 5xx, documented statuses, types and shapes, refusals of what is not valid, methods."""
    (tmp_path / "schemathesis.toml").write_text(_CONFIG)
    async with serving(gateway_over(FakeEndpoint()), seconds=300) as url:
        document = url.removesuffix("/v1") + "/openapi.json"
        words = ["run", document, "--checks=all", f"--exclude-checks={_WITHOUT}"]
        amount = ["--phases=fuzzing", "--max-examples=25", "--generation-deterministic"]
        quietly = ["--no-color", "--no-shrink", "--warnings=off", "--continue-on-failure"]
        done = await trio.run_process(
            [Path(sys.executable).with_name("schemathesis"), *words, *amount, *quietly],
            capture_stdout=True,
            stderr=subprocess.STDOUT,
            check=False,
            cwd=tmp_path,
        )
    assert done.returncode == 0, done.stdout.decode()[-5000:]
    assert b"Tested: 6" in done.stdout
