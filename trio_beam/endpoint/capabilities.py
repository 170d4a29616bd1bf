"""The abilities of a server, as far as a search depends on them. Pure data."""

from __future__ import annotations

from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class Capabilities:
    """The abilities of a server, found out by asking it and by trying. None: it could not be told.

    Attributes:
        base_url: where it is.
        dialect: how it is spoken to.
        model: the model's name.
        server: what it calls itself, with its version.
        context_tokens: longest sequence, prompt included, in tokens.
        slots: sequences that it works on at the same time.
        max_n: most choices that one request may ask for; 1 if it ignores or refuses ``n``; None: no limit
            met up to what was tried.
        choices_differ: whether the choices of one request are samples of their own.
        seed_repeats: whether the same seed gives the same tokens again.
        seed_plus_index: whether choice i is what a request with seed + i gives.
        logprobs: shape of the log-probabilities: ``"native"``, ``"content"`` or ``"legacy"``.
        max_logprobs: most alternatives that it shows for a token; None: no limit met.
        raw_logprobs: whether they are the model's own, whatever the temperature.
        end_of_text_counted: whether the token that ends a text comes with its log-probability.
        token_ids_in: whether a prompt may be token ids.
        token_ids_out: whether the tokens' ids come back.
        continues_chat: whether the last message of a chat, the assistant's, is continued.
        streams: whether it answers with a stream where asked to.
        stops_when_closed: whether a connection that is closed stops the work, on a server with nothing
            else to do.
        notes: what else is known of servers of this kind.
        inexact: why a search on it is not exact, in plain words; empty if it is.
    """

    base_url: str
    dialect: str
    model: str
    server: str | None = None
    context_tokens: int | None = None
    slots: int | None = None
    max_n: int | None = None
    choices_differ: bool | None = None
    seed_repeats: bool | None = None
    seed_plus_index: bool | None = None
    logprobs: str | None = None
    max_logprobs: int | None = None
    raw_logprobs: bool | None = None
    end_of_text_counted: bool | None = None
    token_ids_in: bool = False
    token_ids_out: bool = False
    continues_chat: bool | None = None
    streams: bool | None = None
    stops_when_closed: bool | None = None
    notes: tuple[str, ...] = ()
    inexact: tuple[str, ...] = attrs.field(init=False)

    @inexact.default
    def _why(self) -> tuple[str, ...]:
        return tuple(_reasons(self))

    @property
    def n(self) -> bool:
        """Whether one request may ask for more than one choice."""
        return self.max_n != 1

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return attrs.asdict(self)


def _reasons(found: Capabilities) -> list[str]:
    reasons = []
    if not (found.token_ids_in and found.token_ids_out):
        reasons.append(
            "beams are continued by their text, which the server may cut into other tokens than it sampled"
        )
    if found.raw_logprobs is False:
        reasons.append(
            "log-probabilities are scaled by the temperature: they are the model's own only with"
            " proposal_temperature=1"
        )
    if found.end_of_text_counted is False:
        reasons.append(
            "the token that ends a text has no log-probability, so an ended beam scores too high by it"
        )
    if found.choices_differ is False:
        reasons.append("the choices of one request are all the same: set max_n=1")
    if found.seed_repeats is False:
        reasons.append("the same seed gave other tokens: a search cannot be repeated")
    if found.continues_chat is False:
        reasons.append(
            "an assistant's message is not continued, so a chat cannot be searched; a string can"
        )
    return reasons
