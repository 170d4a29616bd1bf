"""Derive a seed for every sample from the seed of the search.

Servers use ``seed + i`` for choice i of a request (llama.cpp and vLLM both do). The samples of a search
are therefore numbered without gaps and sample k uses ``base + k``: no two samples share a seed, however
many one request asks for, and splitting a search over more requests draws the same samples.
"""

from __future__ import annotations

from hashlib import blake2b

import attrs


def base_seed(seed: int, text: str = "") -> int:
    """Derive a number below 2**30 from a seed and a text, the same on every machine.

    This leaves room for 2**30 samples below 2**31: llama.cpp takes 32 bits and reads the largest value
    as "random", and other servers' JSON schemas use int32.
    """
    digest = blake2b(
        f"{seed}{text}".encode("utf-8", "replace"), digest_size=8, person=b"trio_beam"
    ).digest()
    return int.from_bytes(digest, "big") >> 34


def prompt_seed(seed: int, index: int) -> int:
    """The seed of a prompt among many, by its place from 0: `search` with it does the same."""
    return base_seed(seed, f" prompt {index}")


def sample_number(round_number: int, beam: int, sample: int, *, width: int, n: int) -> int:
    """Return the number of a sample within its search.

    Args:
        round_number: the round, from 1.
        beam: rank of the beam among those expanded in the round, from 0.
        sample: index of the sample within the beam, from 0; below ``width * n`` in round 1, where a
            single beam is expanded, else below ``n``.
        width: the search's ``beam_width``.
        n: the search's ``n_per_beam``.
    """
    return (round_number - 1) * width * n + beam * n + sample


def uniform(seed: int, text: str) -> float:
    """Return a number in [0, 1) determined by seed and text."""
    digest = blake2b(f"{seed} {text}".encode(), digest_size=8, person=b"trio_beam draw").digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


@attrs.frozen
class Chance:
    """Uniform numbers by name, so that no decision depends on how many were made before it.

    Attributes:
        entropy: seed of all numbers.
        scope: prefix of every name.
    """

    entropy: int
    scope: str = ""

    def __call__(self, name: str) -> float:
        """Return a number in [0, 1)."""
        return uniform(self.entropy, self.scope + name)
