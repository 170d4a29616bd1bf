"""Log records: what they say, at which level, and that nobody sees them who did not ask."""

from __future__ import annotations

import io
import logging
import typing
from collections.abc import Iterator

import pytest

import trio_beam
from trio_beam import BeamSearchConfig, McmcConfig, SearchFailed, ServerError
from trio_beam.command.observing import open_log, open_trace
from trio_beam.observers import Log
from trio_beam.observers.log import _RECORDS
from trio_beam.testing import FakeEndpoint

CONFIG = BeamSearchConfig(tokens_per_step=2, max_tokens=4, seed=1)


@pytest.fixture(autouse=True)
def _logger_as_before() -> Iterator[None]:
    logger = logging.getLogger("trio_beam")
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], logger.level, logger.propagate = before


def test_every_event_has_a_record() -> None:
    assert set(_RECORDS) == set(typing.get_args(trio_beam.Event))


async def test_records_have_the_numbers_as_attributes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "trio_beam")
    result = await trio_beam.search(FakeEndpoint(), "secret", CONFIG, observers=[Log()])
    first, *_, last = caplog.records
    assert (first.event, first.levelname, first.rounds) == ("SearchStarted", "INFO", 2)  # type: ignore[attr-defined]
    assert last.getMessage() == (f"search 0 ended: {result.stop_reason}, score {result.score:.4f}")
    assert last.completion_tokens == result.usage.completion_tokens  # type: ignore[attr-defined]
    assert {record.name for record in caplog.records} == {"trio_beam"}
    assert "secret" not in caplog.text
    assert " cat" not in caplog.text


async def test_chains_and_failures(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "trio_beam")
    chains = McmcConfig(tokens_per_step=2, max_tokens=4, steps=1)
    await trio_beam.search(FakeEndpoint(), "x", chains, observers=[Log()])

    async def fail(request: object) -> None:
        raise ServerError("lost\n\x1b[2J", status=500)

    with pytest.raises(SearchFailed):
        await trio_beam.search(FakeEndpoint(before=fail), "x", CONFIG, observers=[Log()])
    *_, failed, stopped = caplog.records
    assert (failed.levelname, stopped.levelname) == ("WARNING", "ERROR")
    assert failed.getMessage() == r"round 1: beam 0 failed: lost\n\x1b[2J"


async def test_without_a_level_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    await trio_beam.search(FakeEndpoint(), "x", CONFIG)
    assert open_log(None) is None
    assert open_trace(None, (), "") is None
    assert capsys.readouterr() == ("", "")


async def test_lines_on_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    monkeypatch.setattr("sys.stderr", err)
    observer = open_log("info")
    assert observer is not None
    await trio_beam.search(FakeEndpoint(), "x", CONFIG, observers=[observer])
    logging.getLogger("trio_beam").error("a\nb\u202e")
    *lines, last = err.getvalue().splitlines()
    assert "INFO search 0 began: at most 2 rounds" in lines[0]
    assert r"ERROR a\nb\u202e" in last
    assert not any("DEBUG" in line for line in lines)


async def test_concurrent_searches_are_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "trio_beam")
    log = Log()
    for label in ("a", "100 %d"):
        await trio_beam.search(FakeEndpoint(), "p", CONFIG, observers=[log.search(label)])
    said = [record.getMessage() for record in caplog.records]
    assert said[0].startswith("a: search 0 began")
    assert said[-1].startswith("100 %d: search 0 ended")
