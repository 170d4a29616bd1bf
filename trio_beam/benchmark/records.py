"""Records of outcomes, and their lines on disk.

A line is a JSON object whose last member, ``crc``, is a CRC-32 of everything before it, which reveals torn
or damaged lines; any JSON lines tool can read the file.
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
    """Identifies a record by problem, strategy and configuration."""

    problem: str
    digest: str
    strategy: str
    configuration: str


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a strategy on a problem.

    Attributes:
        problem: id of the problem.
        digest: of the problem's prompt and reference.
        strategy: kind of the strategy, such as ``beam_search``.
        label: its display name.
        configuration: digest of everything else that the answer depends on.
        seed: of the search; None: the server's own randomness.
        text: the complete answer.
        passed: None if not graded.
        score: grade, from 0 to 1; None if not graded.
        answer: the answer that the grading found in the text.
        detail: why it did not pass.
        search_score: the search's score in nats; None if it has none.
        round_scores: the best score of each round, in nats.
        rounds: number of completed rounds.
        prompt_tokens: by the server's count, over all requests.
        completion_tokens: generated tokens, including those of dropped beams.
        requests: requests sent.
        seconds: duration of the search, with other problems running; without grading.
        stop_reason: the search's; ``"failed"`` after an error.
        exact: whether all scores are the model's own for the sampled tokens.
        error: why there is no answer, or why grading failed; "" on success.
        votes: each answer's share of the votes, if there was a vote.
        meta: metadata of the problem.
    """

    problem: str
    digest: str
    strategy: str
    label: str
    configuration: str
    text: str
    passed: bool | None
    # Other fields may be missing in records of another version.
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
        """The key that identifies it."""
        return Key(self.problem, self.digest, self.strategy, self.configuration)


def digest_of(value: Mapping[str, Any]) -> str:
    """Return a stable digest of a JSON-compatible value."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def digest_of_problem(problem: Problem) -> str:
    """Return a digest of a problem's prompt and reference."""
    return digest_of({"prompt": problem.prompt, "reference": problem.reference})


def to_line(record: Record) -> bytes:
    """Encode the record as a line, including the line end."""
    try:
        body = msgspec.json.encode(record)
    except (UnicodeEncodeError, OverflowError, TypeError):
        body = msgspec.json.encode(_encodable(msgspec.structs.asdict(record)))
    return body[:-1] + _SEAL % zlib.crc32(body) + b"\n"


def _encodable(value: Any) -> Any:
    """Make a value encodable: a lone surrogate becomes its code, an unknown object its text."""
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
    """Decode a line without its line end; None if it is torn or damaged."""
    body = line[:-_SEAL_LENGTH] + b"}"
    if line[-_SEAL_LENGTH:] != _SEAL % zlib.crc32(body):
        return None
    try:
        return msgspec.json.decode(body, type=Record)
    except msgspec.DecodeError:
        return None
