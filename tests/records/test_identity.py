"""Descriptions of strategies: the same in every process, and another wherever an answer would change."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from trio_beam.answers import Vote
from trio_beam.core.beam import Beam
from trio_beam.core.config import BeamSearchConfig, Lookahead
from trio_beam.core.mcmc_config import McmcConfig
from trio_beam.records.identity import digest_of, fingerprint, identity_of
from trio_beam.scorers import Judge
from trio_beam.selection import Resample, Subtrees


def shortest(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    return [-float(beam.length) for beam in beams]


def longest(beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    return [float(beam.length) for beam in beams]


class Weighted:
    """A scorer of somebody's own, with state."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
        return [self.weight * beam.length for beam in beams]


def by(weight: float, beams: Sequence[Beam], config: BeamSearchConfig) -> list[float]:
    return [weight * beam.length for beam in beams]


CONFIGS: list[Any] = [
    BeamSearchConfig(),
    McmcConfig(),
    BeamSearchConfig(alpha=2.0),
    BeamSearchConfig(selection="subtrees"),
    BeamSearchConfig(selection="resample"),
    BeamSearchConfig(selection=Resample(0.25)),
    BeamSearchConfig(selection=Resample(0.25, Lookahead(8))),
    BeamSearchConfig(selection=Resample(0.25, Lookahead(8, 2))),
    BeamSearchConfig(scorer="mean_logprob"),
    BeamSearchConfig(scorer="judge"),
    BeamSearchConfig(scorer=Judge(yes=("right",))),
    BeamSearchConfig(scorer=shortest),
    BeamSearchConfig(scorer=longest),
    BeamSearchConfig(scorer=Weighted(1)),
    BeamSearchConfig(scorer=Weighted(2)),
    BeamSearchConfig(scorer=functools.partial(by, 1)),
    BeamSearchConfig(scorer=functools.partial(by, 2)),
    BeamSearchConfig(scorer=lambda beams, config: [1.0 for _ in beams]),
    BeamSearchConfig(scorer=lambda beams, config: [2.0 for _ in beams]),
    BeamSearchConfig(answer="vote"),
    BeamSearchConfig(answer=Vote(by="score")),
    BeamSearchConfig(answer=Vote("[0-9]+")),
    BeamSearchConfig(answer=Vote("[a-z]+")),
    BeamSearchConfig(answer=Vote(str.strip)),
    BeamSearchConfig(answer=Vote(str.lower)),
    BeamSearchConfig(stop=("a", "b")),
    BeamSearchConfig(stop=("a,b",)),
]


def digests() -> list[str]:
    return [digest_of({"": identity_of(config)}) for config in CONFIGS]


def test_different_configurations_are_told_apart() -> None:
    assert len(set(digests())) == len(CONFIGS)


def test_it_is_json_without_anything_of_this_process() -> None:
    for config in CONFIGS:
        assert " at 0x" not in json.dumps(identity_of(config))


def test_another_process_says_the_same() -> None:
    code = "from tests.records.test_identity import digests\nprint(*digests())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.split() == digests()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (BeamSearchConfig(selection="resample"), BeamSearchConfig(selection=Resample())),
        (BeamSearchConfig(selection="subtrees"), BeamSearchConfig(selection=Subtrees())),
        (BeamSearchConfig(scorer="judge"), BeamSearchConfig(scorer=Judge())),
        (BeamSearchConfig(answer="vote"), BeamSearchConfig(answer=Vote())),
        (BeamSearchConfig(), BeamSearchConfig(alpha=4.0, selection="top_k")),
    ],
)
def test_a_part_by_its_name_is_the_part(one: BeamSearchConfig, other: BeamSearchConfig) -> None:
    assert identity_of(one) == identity_of(other)


def test_defaults_are_left_out() -> None:
    assert list(identity_of(BeamSearchConfig(alpha=2.0))) == ["class", "alpha"]


def test_no_byte_of_a_large_file_is_left_out(tmp_path: Path) -> None:
    file = tmp_path / "a"
    content = bytearray(1 << 20)
    file.write_bytes(content)
    found = {fingerprint(file)}
    for place in range(0, len(content), 100_001):
        content[place] = 1
        file.write_bytes(content)
        found.add(fingerprint(file))
    assert len(found) == 12


def test_files_of_the_same_name_are_told_apart_by_their_content(tmp_path: Path) -> None:
    for name, content in (("a", b"GGUF one"), ("b", b"GGUF two"), ("c", b"GGUF one")):
        (tmp_path / name).write_bytes(content)
    first, second, again = (fingerprint(tmp_path / name) for name in "abc")
    assert first == again != second
    assert fingerprint(tmp_path / "none") is None
