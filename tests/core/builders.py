"""Short ways to make tokens, blocks and beams, and to walk a search through its rounds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

from trio_beam.core.beam import Beam
from trio_beam.core.beam_search.machine import BeamSearchMachine
from trio_beam.core.block import LENGTH, Continuation, Token
from trio_beam.core.config import BeamSearchConfig
from trio_beam.core.result import BeamFailure, SearchResult
from trio_beam.core.steps import Outcome, Round
from trio_beam.errors import EndpointError

T = TypeVar("T")
E = TypeVar("E", bound=Exception)


def block_of(tokens: Iterable[Token], reason: str = LENGTH) -> Continuation:
    tokens = tuple(tokens)
    data = b"".join(token.data for token in tokens)
    return Continuation(tokens=tokens, data=data, finish_reason=reason)


def block(*texts: str, reason: str = LENGTH, logprob: float = -1.0) -> Continuation:
    """A block of tokens with these texts and no ids, all of the same log-probability."""
    return block_of([Token(text, logprob) for text in texts], reason)


def bytes_block(*pieces: bytes) -> Continuation:
    """A block whose tokens may be parts of characters."""
    return block_of(Token(piece.decode("utf-8", "replace"), -1.0, bytes=piece) for piece in pieces)


def chain(blocks: Iterable[Continuation]) -> Beam:
    beam = Beam()
    for one in blocks:
        beam = beam.extend(one)
    return beam


def pieces_of(whole: Sequence[T], cuts: Iterable[int]) -> list[Sequence[T]]:
    """The sequence, cut at these places."""
    places = sorted({0, len(whole), *(cut for cut in cuts if 0 < cut < len(whole))})
    return [whole[a:b] for a, b in pairwise(places)]


def answer(rank: int, *blocks: Continuation) -> Outcome:
    return Outcome(rank=rank, continuations=dict(enumerate(blocks)))


def opened(state: BeamSearchMachine) -> Round:
    """The next round, of a search that is sure to go on."""
    step = state.step()
    assert isinstance(step, Round)
    return step


def in_round_two(config: BeamSearchConfig) -> BeamSearchMachine:
    """A search whose first round brought the beams "a" and "b", and whose second is open."""
    state = BeamSearchMachine(config)
    opened(state)
    state.receive(answer(0, block("a", logprob=-1.0), block("b", logprob=-2.0)))
    assert [expansion.beam.text for expansion in opened(state).expansions] == ["a", "b"]
    return state


def failed(rank: int, error: EndpointError) -> Outcome:
    return Outcome(rank=rank, continuations={}, errors=(error,))


def texts(result: SearchResult) -> list[str]:
    return [beam.text for beam in result.beams]


def failure_pairs(failures: Iterable[BeamFailure]) -> list[tuple[str, EndpointError]]:
    """What failed: the text of each beam, and the error."""
    return [(failure.beam.text, failure.error) for failure in failures]


def subclasses(kind: type[E]) -> list[type[E]]:
    """All classes below this one."""
    return [below for child in kind.__subclasses__() for below in (child, *subclasses(child))]
