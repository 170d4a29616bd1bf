"""A seed for every sample, derived from the search's own.

Servers give choice i of a request the seed ``seed + i`` (llama.cpp and vLLM both do). So the
samples of a search are numbered without gaps and sample k gets ``base + k``: no two samples share
a seed, however many of them travel in one request, and a search split over more requests draws
the same samples.
"""

from __future__ import annotations

from hashlib import blake2b

import attrs


def base_seed(seed: int, text: str = "") -> int:
    """A number below 2**30 that is the same for the same seed (and text) on every machine.

    It leaves room for 2**30 samples below 2**31: llama.cpp takes 32 bits and reads the largest as
    "random", and JSON schemas of other servers say int32.
    """
    digest = blake2b(
        f"{seed}{text}".encode("utf-8", "replace"), digest_size=8, person=b"trio_beam"
    ).digest()
    return int.from_bytes(digest, "big") >> 34


def prompt_seed(seed: int, index: int) -> int:
    """The seed of a prompt among many, by its place from 0: `search` with it does the same."""
    return base_seed(seed, f" prompt {index}")


def sample_number(round_number: int, beam: int, sample: int, *, width: int, n: int) -> int:
    """The number of a sample in its search.

    Args:
        round_number: the round, from 1.
        beam: the rank of the beam among those expanded in the round, from 0.
        sample: the index of the sample within the beam, from 0; below ``width * n`` in round 1,
            where one beam is expanded for all, else below ``n``.
        width: the search's ``beam_width``.
        n: the search's ``n_per_beam``.
    """
    return (round_number - 1) * width * n + beam * n + sample


def uniform(seed: int, text: str) -> float:
    """A number from 0 up to but not 1: the same for the same seed and text, for others another."""
    digest = blake2b(f"{seed} {text}".encode(), digest_size=8, person=b"trio_beam draw").digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


@attrs.frozen
class Chance:
    """Uniform numbers by name, so that a decision does not depend on how many were made before it.

    Attributes:
        entropy: the seed of all of them.
        scope: in front of every name.
    """

    entropy: int
    scope: str = ""

    def __call__(self, name: str) -> float:
        """A number from 0 up to but not 1."""
        return uniform(self.entropy, self.scope + name)
