"""The whole search once more, as slowly and plainly as it can be written.

Flat lists of tokens, no shared prefixes, no hashes, everything computed anew in each round, straight
from the section "What is computed" of the design. Where that section is silent, the docstrings of
trio_beam decide:

- of several candidates with the same tokens the first one counts, in the order of ties;
- a text that has ended and the same text that goes on are two candidates, not one;
- a beam that ended in an earlier round, or in this one, comes before an active one of equal score.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from trio_beam.core.block import Token
from trio_beam.core.config import BeamSearchConfig


@dataclass(frozen=True)
class Sample:
    """One continuation, as the server gives it."""

    tokens: tuple[Token, ...]
    finish_reason: str
    generated: int


@dataclass(frozen=True)
class Line:
    """One beam."""

    tokens: tuple[Token, ...] = ()
    finish_reason: str = "length"
    text: str = ""
    multiplicity: int = 1
    #: Number of tokens before the step that it is in.
    step: int = 0

    @property
    def ended(self) -> bool:
        return self.finish_reason != "length"

    def keys(self) -> list[int | bytes]:
        return [spelling(token) if token.id is None else token.id for token in self.tokens]


@dataclass(frozen=True)
class Ask:
    """What is asked for one beam in one round."""

    round: int
    rank: int
    beam: tuple[Token, ...]
    n: int
    max_tokens: int


@dataclass
class Found:
    """What the search comes to."""

    beams: list[Line] = field(default_factory=list)
    stop_reason: str = ""
    rounds: int = 0
    completion_tokens: int = 0
    discarded_tokens: int = 0
    asks: list[Ask] = field(default_factory=list)


def search(config: BeamSearchConfig, model: Callable[[Ask], Sequence[Sample]]) -> Found:
    found = Found()
    active, ended = [Line()], list[Line]()
    while True:
        found.stop_reason = stop_reason(config, found.rounds, active, ended)
        if found.stop_reason:
            break
        found.rounds += 1
        candidates = []
        full = [line for line in active if len(line.tokens) >= config.max_tokens]
        for rank, line in enumerate(line for line in active if line not in full):
            ask = Ask(
                round=found.rounds,
                rank=rank,
                beam=line.tokens,
                n=config.beam_width * config.n_per_beam if found.rounds == 1 else config.n_per_beam,
                max_tokens=min(config.tokens_per_step, config.max_tokens - len(line.tokens)),
            )
            found.asks.append(ask)
            for sample in model(ask):
                found.completion_tokens += sample.generated
                candidates.append(grown(line, sample, config))
                extended = len(line.tokens) + len(sample.tokens)
                found.discarded_tokens += extended - len(candidates[-1].tokens)
        ended, fresh = distinct(config, ended, candidates)
        best = sorted([*full, *fresh], key=lambda line: -score(config, line))
        active = [line for line in best if not line.ended][: config.beam_width]
        ended = kept(config, [*ended, *(line for line in best if line.ended)])
    found.beams = kept(config, ended if found.stop_reason == "finished" else [*ended, *active])
    return found


def kept(config: BeamSearchConfig, lines: Sequence[Line]) -> list[Line]:
    return sorted(lines, key=lambda line: -score(config, line))[: config.beam_width]


def score(config: BeamSearchConfig, line: Line) -> float:
    if not line.tokens:
        return -math.inf
    return reachable(config, line, len(line.tokens))


def reachable(config: BeamSearchConfig, line: Line, length: int) -> float:
    """The score of the line if it had that many tokens and its sum were still the same."""
    total = config.alpha * sum(token.logprob for token in line.tokens)
    return total / length**config.length_penalty if config.use_length_penalty else total


def stop_reason(
    config: BeamSearchConfig, rounds: int, active: Sequence[Line], ended: Sequence[Line]
) -> str:
    """Why it ends here; "" if it goes on."""
    if not active:
        return "finished"
    if len(ended) == config.beam_width:
        if config.early_stopping is True:
            return "finished"
        worst = min(score(config, line) for line in ended)
        hopes = [reachable(config, line, config.max_tokens) for line in active]
        if config.early_stopping == "bound" and max(hopes) <= worst:
            return "finished"
    if all(len(line.tokens) >= config.max_tokens for line in active):
        return "max_tokens"
    steps = config.block_part
    shortest = steps.min_tokens if steps else config.tokens_per_step
    return "max_tokens" if rounds == math.ceil(config.max_tokens / shortest) else ""


def distinct(
    config: BeamSearchConfig, ended: Sequence[Line], candidates: Sequence[Line]
) -> tuple[list[Line], list[Line]]:
    """The ended beams and the candidates, each tokens only once, counted."""
    lines = list(ended)
    for one in candidates:
        twins = [
            place
            for place, line in enumerate(lines)
            if line.keys() == one.keys() and line.ended == one.ended
        ]
        if twins and config.deduplicate:
            first = lines[twins[0]]
            lines[twins[0]] = replace(first, multiplicity=first.multiplicity + 1)
        else:
            lines.append(one)
    return lines[: len(ended)], lines[len(ended) :]


def grown(line: Line, sample: Sample, config: BeamSearchConfig) -> Line:
    """The line with the sample behind it, up to the first stop string or the end of the step."""
    for count in range(len(line.tokens), len(line.tokens) + len(sample.tokens) + 1):
        tokens = (line.tokens + sample.tokens)[:count]
        text = spelled(tokens)
        cut = before_stop(text, config.stop)
        if cut is not None:
            return Line(tokens, "stop", cut)
        if count > len(line.tokens) and ends_step(config, line, tokens):
            whole = count == len(line.tokens) + len(sample.tokens)
            reason = sample.finish_reason if whole else "length"
            return Line(tokens, "length" if reason == "stop" else reason, text, step=count)
    nothing = not sample.tokens and sample.finish_reason == "length"
    return Line(tokens, "context" if nothing else sample.finish_reason, text, step=line.step)


def ends_step(config: BeamSearchConfig, line: Line, tokens: Sequence[Token]) -> bool:
    """Whether the last of the tokens completes a delimiter that lies in the step."""
    steps = config.block_part
    if steps is None or len(tokens) - len(line.tokens) < steps.min_tokens:
        return False
    before, after = (b"".join(map(spelling, tokens[line.step : end])) for end in (-1, len(tokens)))
    words = [word.encode() for word in steps.delimiter]
    ends = range(len(before) + 1, len(after) + 1)
    return any(after[:end].endswith(word) for end in ends for word in words)


def before_stop(text: str, stops: Sequence[str]) -> str | None:
    """What stands before the stop string that is complete first, the longest of those; or None."""
    for end in range(len(text) + 1):
        starts = [end - len(stop) for stop in stops if text[:end].endswith(stop)]
        if starts:
            return text[: min(starts)]
    return None


def spelled(tokens: Sequence[Token]) -> str:
    return b"".join(map(spelling, tokens)).decode("utf-8", "replace")


def spelling(token: Token) -> bytes:
    return token.text.encode() if token.bytes is None else token.bytes
