"""One record: the outcome of a problem with a strategy; and its line on disk.

A line is a JSON object whose last member, ``crc``, is a CRC-32 of all before it: a line that was torn, or
damaged since, is told from a whole one, and any tool that reads JSON lines reads the file.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from trio_beam.benchmark.common.problem import Problem

_SEAL = b',"crc":"%08x"}'
_SEAL_LENGTH = len(_SEAL % 0)


class Key(NamedTuple):
    """Identifies a record: by the problem, the strategy and the configuration."""

    problem: str
    digest: str
    strategy: str
    configuration: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a problem with a strategy.

    Attributes:
        problem: its id.
        digest: of the problem's prompt and reference.
        strategy: its kind, such as ``beam_search``.
        label: its name for people.
        configuration: digest of everything else that the answer depends on.
        seed: of the search; None: the server's own randomness.
        text: the answer, whole.
        passed: None if it was not graded.
        score: of the grading, 0 to 1; None if it was not graded.
        answer: found in the text by the grading.
        detail: why it did not pass.
        search_score: of the answer, in nats; None if it has none.
        round_scores: the best score of each round, in nats.
        rounds: rounds that were completed.
        prompt_tokens: as the server counted, all requests together.
        completion_tokens: tokens generated, those of beams that were dropped included.
        requests: requests sent.
        seconds: of the search, while other problems were under way; without the grading.
        stop_reason: the search's; ``"failed"`` with an error.
        exact: whether all scores are the model's own of the tokens sampled.
        error: why there is no answer, or why the grading broke; "" if all went well.
        votes: with a vote: each answer's share.
        meta: of the problem.
    """

    problem: str
    digest: str
    strategy: str
    label: str
    configuration: str
    text: str
    passed: bool | None
    # Whatever else there is may be missing in a record of another version.
    seed: int | None = None
    score: float | None = None
    answer: str | None = None
    detail: str = ""
    search_score: float | None = None
    round_scores: list[float | None] = []
    rounds: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    requests: int = 0
    seconds: float = 0.0
    stop_reason: str = ""
    exact: bool = True
    error: str = ""
    votes: list[tuple[str, float]] = []
    meta: dict[str, Any] = {}

    @property
    def key(self) -> Key:
        """The key that it is found by."""
        return Key(self.problem, self.digest, self.strategy, self.configuration)


def digest_of(value: Mapping[str, Any]) -> str:
    """Make a stable digest of a value that JSON can carry."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def digest_of_problem(problem: Problem) -> str:
    """Make a digest that changes if a problem with the same id has another prompt or reference."""
    return digest_of({"prompt": problem.prompt, "reference": problem.reference})


def to_line(record: Record) -> bytes:
    """Write the record as a line, with its end."""
    try:
        body = msgspec.json.encode(record)
    except (UnicodeEncodeError, OverflowError, TypeError):
        body = msgspec.json.encode(_encodable(msgspec.structs.asdict(record)))
    return body[:-1] + _SEAL % zlib.crc32(body) + b"\n"


def _encodable(value: Any) -> Any:
    """Make a value encodable: a lone surrogate becomes its number, an unknown object a text."""
    match value:
        case None | bool() | float():
            return value
        case int() if -(2**63) <= value < 2**63:
            return value
        case list() | tuple():
            return [_encodable(one) for one in value]
        case dict():
            return {_encodable(str(key)): _encodable(one) for key, one in value.items()}
        case _:
            return str(value).encode("utf-8", "backslashreplace").decode()


def from_line(line: bytes) -> Record | None:
    """Read the record in a line without its end; None if the line is torn, or not as it was written."""
    body = line[:-_SEAL_LENGTH] + b"}"
    if line[-_SEAL_LENGTH:] != _SEAL % zlib.crc32(body):
        return None
    try:
        return msgspec.json.decode(body, type=Record)
    except msgspec.DecodeError:
        return None
