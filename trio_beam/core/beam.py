"""A beam: a partial text as a chain of blocks that shares its prefix with its siblings."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Sequence
from typing import Any

import attrs

from trio_beam.core.block import CONTEXT, LENGTH, LOW_CONFIDENCE, Continuation, Token
from trio_beam.core.reasoning import Thinking, split
from trio_beam.core.tool_calls import ToolCall, as_text


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Beam:
    """A partial or finished text with its score. Create one with `extend`.

    A beam holds its last block and a pointer to its parent, so creating one costs only as much as its
    last block. `tokens` and `text` walk the chain on demand.

    Attributes:
        parent: the beam it continues; None for the empty beam.
        continuation: its last block; None for the empty beam.
        logprob: sum of the log-probabilities of its tokens, in nats; None if none were asked for.
        length: number of tokens.
        forced: number of those that were not sampled (`Token.forced`).
        score: from the scorer; higher is better.
        finished: whether the model ended the text (see `finish_reason`). A beam that fills the model's
            context has ``finish_reason="context"``, one given up ``"low_confidence"``; neither is finished.
        finish_reason: as the server reports it; ``"length"`` if the beam can go on.
        exact: whether every block was continued by token ids with true log-probabilities.
        multiplicity: number of candidates with exactly these tokens.
        thinking: where `full_text` may hold thinking; see `Strategy.reasoning`.
        weight: its share of p^alpha in a result of ``selection="resample"``, summing to 1 over the beams;
            otherwise None.
        step_scores: a reward model's score of each step of the answer; () without one.
        confidence: the lowest confidence over a window of its tokens (nats), with `Confidence`; else None.
        confident: whether that is at least the threshold; a beam that is not casts no vote.
    """

    parent: Beam | None = None
    continuation: Continuation | None = None
    logprob: float | None = 0.0
    length: int = 0
    forced: int = 0
    score: float = float("-inf")
    finished: bool = False
    finish_reason: str = LENGTH
    exact: bool = True
    multiplicity: int = 1
    weight: float | None = None
    thinking: Thinking = "auto"
    step_scores: tuple[float, ...] = ()
    confidence: float | None = None
    confident: bool = True
    #: Unnormalised log-weight of the particle, in nats.
    log_weight: float = 0.0
    #: The reward that counts in `log_weight`; 0 before there is one.
    reward: float = 0.0
    #: Whether it follows the reference of a conditional search.
    is_reference: bool = False
    #: Characters that the last block completed.
    fragment: str = ""
    #: Bytes of an incomplete character at the end of the last block.
    pending: bytes = b""
    #: Number of characters that a stop string removes from the end; only on ended beams.
    trim: int = 0
    #: Rolling checksum of all tokens.
    fingerprint: int = 0

    @property
    def sampled_length(self) -> int:
        """Number of sampled tokens, which scores divide by."""
        return self.length - self.forced

    @property
    def ended(self) -> bool:
        """Whether the beam can no longer be continued."""
        return self.finish_reason != LENGTH

    def lineage(self) -> list[Beam]:
        """Return the chain from the first block to this one, without the empty beam."""
        chain: list[Beam] = []
        beam: Beam | None = self
        while beam is not None and beam.continuation is not None:
            chain.append(beam)
            beam = beam.parent
        chain.reverse()
        return chain

    @property
    def tokens(self) -> tuple[Token, ...]:
        """All tokens, in order. Costs the length of the beam."""
        return tuple(
            token
            for beam in self.lineage()
            if beam.continuation
            for token in beam.continuation.tokens
        )

    @property
    def full_text(self) -> str:
        """The text with the thinking in it, decoded from joined bytes. Costs the length of the beam.

        An incomplete character at the end shows as U+FFFD.
        """
        text = "".join(beam.fragment for beam in self.lineage())
        text += self.pending.decode("utf-8", "replace")
        return text[: len(text) - self.trim] if self.trim else text

    @property
    def added_text(self) -> str:
        """Text of the last block, without what a stop string removes of it."""
        text = self.fragment + (self.pending.decode("utf-8", "replace") if self.ended else "")
        return text[: max(0, len(text) - self.trim)] if self.trim else text

    @property
    def text(self) -> str:
        """The answer, without the thinking before it; "" if it has not begun. Costs as `full_text`."""
        text = self.full_text
        return text[split(text, self.thinking).start :]

    @property
    def reasoning(self) -> str:
        """The thinking, without its tags; "" if there is none, or the server hides it."""
        apart = [beam.continuation.reasoning for beam in self.lineage() if beam.continuation]
        inside = split(self.full_text, self.thinking).reasoning
        return "".join(part for part in apart if part) + inside

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tools that the model calls; a call that was cut off is left out."""
        calls = self.begun_calls
        return calls if self.finished else tuple(call for call in calls if call.is_json)

    @property
    def begun_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls, one that was cut off included."""
        blocks = [beam.continuation for beam in self.lineage()]
        return tuple(call for block in blocks if block is not None for call in block.tool_calls)

    @property
    def answer(self) -> str:
        """The text followed by the tool calls, each as a line of JSON."""
        return "\n".join(part for part in (self.text, as_text(self.tool_calls)) if part)

    @property
    def thinks_apart(self) -> bool:
        """Whether the server sent its thinking apart from the text, or hid it."""
        blocks = [beam.continuation for beam in self.lineage()]
        return any(block is not None and block.reasoning is not None for block in blocks)

    @property
    def unanswered(self) -> bool:
        """Whether the model thought or began a tool call, but gave no answer (yet)."""
        text = self.full_text
        reasoning, start = split(text, self.thinking)
        begun = bool(reasoning or start or self.begun_calls) or self.thinks_apart
        return begun and not text[start:].strip() and not self.tool_calls

    def extend(self, continuation: Continuation, **changes: Any) -> Beam:
        """Return this beam with one more block. Costs the length of the block."""
        fragment, pending = decode_more(self.pending, continuation.data)
        reason = continuation.finish_reason
        if reason == LENGTH and not len(continuation):
            reason = CONTEXT  # no room for a single token
        values: dict[str, Any] = {
            "parent": self,
            "continuation": continuation,
            "logprob": _add(self.logprob, continuation.logprob),
            "length": self.length + len(continuation),
            "forced": self.forced + continuation.forced,
            "finish_reason": reason,
            "finished": reason not in (LENGTH, CONTEXT, LOW_CONFIDENCE),
            "exact": self.exact and continuation.exact,
            "fragment": fragment,
            "pending": pending,
            "thinking": self.thinking,
            "reward": self.reward,
            "fingerprint": _roll(self.fingerprint, continuation.keys),
        }
        return Beam(**(values | changes))

    def replace(self, **changes: Any) -> Beam:
        """Return a copy with some attributes changed."""
        return attrs.evolve(self, **changes)

    def same_tokens(self, other: Beam) -> bool:
        """Return whether both have the same tokens. Costs only what they do not share."""
        if self.length != other.length or self.fingerprint != other.fingerprint:
            return False
        if self.parent is other.parent and self.continuation and other.continuation:
            return list(self.continuation.keys) == list(other.continuation.keys)
        return _all_keys(self) == _all_keys(other)

    def __repr__(self) -> str:
        return (
            f"<Beam {self.text!r} length={self.length} score={self.score:.4f} {self.finish_reason}>"
        )

    def tail(self, characters: int) -> str:
        """Return the last characters of the text, walking back no further than needed."""
        parts: list[str] = []
        beam: Beam | None = self
        while beam is not None and characters > 0:
            parts.append(beam.fragment[-characters:])
            characters -= len(parts[-1])
            beam = beam.parent
        return "".join(reversed(parts))


def _add(before: float | None, more: float | None) -> float | None:
    return None if before is None or more is None else before + more


def decode_more(pending: bytes, data: bytes) -> tuple[str, bytes]:
    """Decode `pending` + `data`; return the text and the bytes of an incomplete character."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(pending + data)
    rest, _ = decoder.getstate()
    return text, rest


def _all_keys(beam: Beam) -> list[int | bytes]:
    return [key for node in beam.lineage() if node.continuation for key in node.continuation.keys]


def _roll(fingerprint: int, keys: Sequence[int | bytes]) -> int:
    """Extend a rolling checksum that does not depend on how tokens are split into blocks.

    32 bits are enough, since equal checksums lead to a comparison of tokens (`Beam.same_tokens`).
    """
    if not keys:
        return fingerprint
    return zlib.crc32((repr(list(keys))[1:-1] + ",").encode().replace(b" ", b""), fingerprint)
